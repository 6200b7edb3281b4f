"""Dates as OpenSearch reads and writes them: formats, epoch milliseconds, date math.

A date is an int, milliseconds since 1970-01-01T00:00:00Z. A format is one or several patterns
between `||`: a named one of `NAMED`, or Java's letters (yyyy MM dd HH mm ss SSS XXX ...).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from index.errors import InvalidQueryError, MappingError

DEFAULT_FORMAT = "strict_date_optional_time||epoch_millis"
DYNAMIC_FORMAT = "strict_date_optional_time||yyyy/MM/dd HH:mm:ss Z||yyyy/MM/dd Z||yyyy/MM/dd"
"""What a string must look like for dynamic mapping to guess a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
MIN_MS = -62_135_596_800_000
"""0001-01-01T00:00:00Z"""
MAX_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""

_ZONE = r"(?P<zone>Z|z|[+-]\d{2}:?\d{2}|[+-]\d{2})"
_TIME = (
    r"(?P<hour>\d{2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
)
_DATE = r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
_LENIENT = r"(?P<year>\d{1,4})(?:-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2})"

NAMED: dict[str, str] = {
    "strict_date_optional_time": rf"{_DATE}(?:T(?:{_TIME}{_ZONE}?)?)?)?)?",
    "date_optional_time": rf"{_LENIENT}(?:T(?:{_TIME}{_ZONE}?)?)?)?)?",
    "strict_date_optional_time_nanos": rf"{_DATE}(?:T(?:{_TIME}{_ZONE}?)?)?)?)?",
}
_JAVA_NAMED: dict[str, str] = {
    "date": "yyyy-MM-dd",
    "date_hour": "yyyy-MM-dd'T'HH",
    "date_hour_minute": "yyyy-MM-dd'T'HH:mm",
    "date_hour_minute_second": "yyyy-MM-dd'T'HH:mm:ss",
    "date_hour_minute_second_millis": "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "date_hour_minute_second_fraction": "yyyy-MM-dd'T'HH:mm:ss.SSS",
    "date_time": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "date_time_no_millis": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "basic_date": "yyyyMMdd",
    "basic_date_time": "yyyyMMdd'T'HHmmss.SSSXXX",
    "basic_date_time_no_millis": "yyyyMMdd'T'HHmmssXXX",
    "year": "yyyy",
    "year_month": "yyyy-MM",
    "year_month_day": "yyyy-MM-dd",
}
for _name, _java in list(_JAVA_NAMED.items()):
    _JAVA_NAMED[f"strict_{_name}"] = _java

_LETTERS: dict[str, str] = {
    "yyyy": r"(?P<year>\d{4})", "uuuu": r"(?P<year>\d{4})", "yy": r"(?P<year2>\d{2})",
    "MM": r"(?P<month>\d{2})", "M": r"(?P<month>\d{1,2})",
    "dd": r"(?P<day>\d{2})", "d": r"(?P<day>\d{1,2})",
    "HH": r"(?P<hour>\d{2})", "H": r"(?P<hour>\d{1,2})",
    "mm": r"(?P<minute>\d{2})", "m": r"(?P<minute>\d{1,2})",
    "ss": r"(?P<second>\d{2})", "s": r"(?P<second>\d{1,2})",
    "Z": _ZONE, "ZZ": _ZONE, "ZZZ": _ZONE, "X": _ZONE, "XX": _ZONE, "XXX": _ZONE,
    **{"S" * n: r"(?P<fraction>\d{1,9})" for n in range(1, 10)},
}  # fmt: skip

Parser = Callable[[Any], "int | None"]


def java_pattern(pattern: str) -> str:
    """Return the letters that one of the named patterns stands for; others as they are."""
    return _JAVA_NAMED.get(pattern, pattern)


def parse_date(value: Any, format: str | None = None) -> int:
    """Return the epoch milliseconds of a string or number.

    Raises: MappingError if no pattern of `format` (None: the default) fits.
    """
    for parser in _parsers(format or DEFAULT_FORMAT):
        ms = parser(value)
        if ms is not None:
            if not MIN_MS <= ms <= MAX_MS:
                break
            return ms
    raise MappingError(
        f"failed to parse date field [{_short(value)}] with format [{format or DEFAULT_FORMAT}]"
    )


def looks_like_date(text: str) -> bool:
    """Return whether dynamic mapping takes the string for a date. Numbers are none."""
    if not text or not text[0].isdigit() or len(text) > 40:
        return False
    try:
        float(text)
    except ValueError:
        return any(_is_date(parser(text)) for parser in _parsers(DYNAMIC_FORMAT))
    return False


def _is_date(ms: int | None) -> bool:
    return ms is not None and MIN_MS <= ms <= MAX_MS


def format_date(ms: int) -> str:
    """Return `2024-01-31T12:00:00.000Z`. Out of the calendar's range: the number."""
    if not MIN_MS <= ms <= MAX_MS:
        return str(ms)
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z".rjust(24, "0")


def check_format(format: Any) -> str | None:
    """Return the format. Raises: MappingError if it cannot be understood."""
    if format is None:
        return None
    if not isinstance(format, str):
        raise MappingError(f"date format must be a string, not [{format}]")
    _parsers(format)
    return format


# --- date math -----------------------------------------------------------------------------
_STEP = re.compile(r"([+-])(\d*)([yMwdhHms])|/([yMwdhHms])")
_UNIT_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}


def resolve_date(value: Any, *, now_ms: int, format: str | None = None) -> int:
    """Return the milliseconds of a date or of date math, rounding down.

    Date math: `now` or `DATE||`, then steps such as `+1d`, `-2M`, `/d` (round to the day).
    Raises: InvalidQueryError.
    """
    return _resolve(value, now_ms, format, _floor)


def resolve_date_up(value: Any, *, now_ms: int, format: str | None = None) -> int:
    """Return the same, each rounding going to the last millisecond of its unit, as for the bounds
    `gt` and `lte` of a range. A date that names no time stands for its last millisecond."""
    return _resolve(value, now_ms, format, _ceil)


def _resolve(
    value: Any, now_ms: int, format: str | None, round_to: Callable[[int, str], int]
) -> int:
    try:
        if not isinstance(value, str):
            return parse_date(value, format)
        if value.startswith("now"):
            return _apply_math(now_ms, value[3:], value, round_to)
        base, bars, math = value.partition("||")
        ms = parse_date(base, format)
        if not bars and round_to is _ceil:
            return _ceil(ms, _missing_unit(base))
        return _apply_math(ms, math, value, round_to)
    except (MappingError, OverflowError, ValueError) as error:
        raise InvalidQueryError(str(error)) from error


def _apply_math(ms: int, math: str, whole: str, round_to: Callable[[int, str], int]) -> int:
    at = 0
    while at < len(math):
        step = _STEP.match(math, at)
        if step is None:
            raise InvalidQueryError(
                f"date math [{_short(whole)}] cannot be understood at [{math[at:]}]"
            )
        sign, count, unit, rounding = step.groups()
        if rounding:
            ms = round_to(ms, rounding)
        else:
            ms = _add(ms, int(f"{sign}{count or 1}"), unit)
        if not MIN_MS <= ms <= MAX_MS:
            raise InvalidQueryError(f"date math [{_short(whole)}] leaves the years 1 to 9999")
        at = step.end()
    return ms


def _add(ms: int, count: int, unit: str) -> int:
    if unit not in "yM":
        return ms + count * _UNIT_MS["h" if unit == "H" else unit]
    moment = _EPOCH + timedelta(milliseconds=ms)
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise InvalidQueryError("date math leaves the years 1 to 9999")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return _to_ms(moment.replace(year=year, month=month + 1, day=day))


def _floor(ms: int, unit: str) -> int:
    if unit in "dhHms":
        size = _UNIT_MS["h" if unit == "H" else unit]
        return ms - ms % size
    moment = _EPOCH + timedelta(milliseconds=ms)
    moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "w":
        return _to_ms(moment) - moment.weekday() * _UNIT_MS["d"]
    return _to_ms(moment.replace(day=1, month=1 if unit == "y" else moment.month))


def _ceil(ms: int, unit: str) -> int:
    if not unit:
        return ms
    floor = _floor(ms, unit)
    if unit == "y" or unit == "M":
        moment = _EPOCH + timedelta(milliseconds=floor)
        if moment.year == 9999 and (unit == "y" or moment.month == 12):
            return MAX_MS
        return _add(floor, 1, unit) - 1
    return floor + _UNIT_MS["h" if unit == "H" else unit] - 1


_PARTS = re.compile(rf"{_LENIENT}(?:T(?:{_TIME}{_ZONE}?)?)?)?)?\Z")


def _missing_unit(text: str) -> str:
    """Return the smallest unit that an ISO date names, so that it can be rounded up to its end."""
    match = _PARTS.match(text)
    if match is None or match["fraction"]:
        return ""
    for part, unit in (
        ("second", "s"),
        ("minute", "m"),
        ("hour", "h"),
        ("day", "d"),
        ("month", "M"),
    ):
        if match[part]:
            return unit
    return "y"


# --- parsers -------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def _parsers(format: str) -> tuple[Parser, ...]:
    return tuple(_parser(pattern) for pattern in format.split("||"))


def _parser(pattern: str) -> Parser:
    if pattern == "epoch_millis":
        return lambda value: _epoch(value, 1)
    if pattern == "epoch_second":
        return lambda value: _epoch(value, 1000)
    if pattern in NAMED:
        source = NAMED[pattern]
    else:
        source = _java_pattern(java_pattern(pattern))
    match = re.compile(rf"{source}\Z", re.ASCII).match
    if pattern == "strict_date_optional_time":
        return lambda value: _iso(value, match) if isinstance(value, str) else None
    return lambda value: _calendar(match(value)) if isinstance(value, str) else None


def _iso(text: str, match: Callable[[str], re.Match[str] | None]) -> int | None:
    """Read the two usual shapes, 2024-02-29 and 2024-02-29T13:14:15[.678]Z, the fast way."""
    size = len(text)
    if (
        size in (10, 20, 24)
        and text[4] == text[7] == "-"
        and (size == 10 or (text[10] == "T" and text[13] == text[16] == ":" and text[-1] == "Z"))
    ):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return _calendar(match(text))
        return _to_ms(moment if size > 10 else moment.replace(tzinfo=UTC))
    return _calendar(match(text))


def _epoch(value: Any, scale: int) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not re.fullmatch(r"-?\d{1,18}(\.\d{1,9})?", value, re.ASCII):
            return None
        value = float(value) if "." in value else int(value)
    if isinstance(value, int):
        return value * scale
    if isinstance(value, float) and abs(value) < 1e15:
        return int(value * scale // 1)
    return None


def _java_pattern(pattern: str) -> str:
    """Return the regular expression of a Java date pattern. Raises: MappingError."""
    out = ""
    for token in re.finditer(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", pattern, re.DOTALL):
        text = token[0]
        if token[1] is not None:
            out += re.escape(token[1].replace("''", "'") or "'")
        elif token[2]:
            if text not in _LETTERS:
                raise MappingError(
                    f"invalid date format [{pattern}]: unknown pattern letter [{text}]"
                )
            out += _LETTERS[text]
        else:
            out += re.escape(text)
    try:
        re.compile(out)
    except re.error as error:
        raise MappingError(f"invalid date format [{pattern}]: a part comes twice") from error
    return out


def _calendar(match: re.Match[str] | None) -> int | None:
    """Return the milliseconds of what a pattern found, or None if there is no such day."""
    if match is None:
        return None
    part = match.groupdict()
    year = part.get("year") or (f"20{part['year2']}" if part.get("year2") else "1970")
    fraction = part.get("fraction") or "0"
    try:
        moment = datetime(
            int(year),
            int(part.get("month") or 1),
            int(part.get("day") or 1),
            int(part.get("hour") or 0),
            int(part.get("minute") or 0),
            int(part.get("second") or 0),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    ms = _to_ms(moment) + int(fraction[:3].ljust(3, "0"))
    return ms - _zone_ms(part.get("zone"))


def _zone_ms(zone: str | None) -> int:
    if zone is None or zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ms = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000
    return -ms if zone[0] == "-" else ms


def _to_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _short(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:80]}..."
