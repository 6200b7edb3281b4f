"""Dates as OpenSearch reads and writes them: formats, epoch milliseconds, date math.

A date is an int, milliseconds since 1970-01-01T00:00:00Z. A format is one or several patterns
between `||`: `epoch_millis`, `epoch_second`, or one of `date_patterns`.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from index.date_patterns import MAX_FORMAT_CHARS, Match, compile_pattern, milliseconds_of
from index.date_patterns import java_pattern as java_pattern
from index.errors import InvalidQueryError, MappingError
from index.zones import OffsetAt, read_offsets, to_utc, utc

DEFAULT_FORMAT = "strict_date_optional_time||epoch_millis"
DYNAMIC_FORMAT = "strict_date_optional_time||yyyy/MM/dd HH:mm:ss Z||yyyy/MM/dd Z||yyyy/MM/dd"
"""What a string must look like for dynamic mapping to guess a date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
MIN_MS = -62_135_596_800_000
"""0001-01-01T00:00:00Z"""
MAX_MS = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""

Parser = Callable[[Any], "int | None"]


class _Pattern(NamedTuple):
    parse: Parser
    match: Match | None
    """None: what it reads are numbers, which have no zone and no parts."""


def parse_date(value: Any, format: str | None = None) -> int:
    """Return the epoch milliseconds of a string or number.

    Raises: MappingError if no pattern of `format` (None: the default) fits.
    """
    for pattern in _patterns(format or DEFAULT_FORMAT):
        ms = pattern.parse(value)
        if ms is not None:
            if not MIN_MS <= ms <= MAX_MS:
                break
            return ms
    raise _no_date(value, format)


def _no_date(value: Any, format: str | None) -> MappingError:
    return MappingError(
        f"failed to parse date field [{_short(value)}] with format [{format or DEFAULT_FORMAT}]"
    )


def looks_like_date(text: str) -> bool:
    """Return whether dynamic mapping takes the string for a date. Numbers are none."""
    if not text or not text[0].isdigit() or len(text) > 40:
        return False
    try:
        float(text)
    except ValueError:
        return any(_is_date(each.parse(text)) for each in _patterns(DYNAMIC_FORMAT))
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
    _patterns(format)
    return format


# --- date math -----------------------------------------------------------------------------
_STEP = re.compile(r"([+-])(\d{0,12})([yMwdhHms])|/([yMwdhHms])")
_UNIT_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_MAX_MATH_CHARS = 200

_Round = Callable[[int, str], int]


def resolve_date(
    value: Any, *, now_ms: int, format: str | None = None, time_zone: str | None = None
) -> int:
    """Return the milliseconds of a date or of date math, rounding down: for `gte` and `lt`.

    Date math: `now` or `DATE||`, then steps such as `+1d`, `-2M`, `/d` (round to the day), all by
    the clocks of `time_zone`. A date without a zone of its own is a time there too.
    Raises: InvalidQueryError.
    """
    return _resolve(value, now_ms, format, read_offsets(time_zone), _floor)


def resolve_date_up(
    value: Any, *, now_ms: int, format: str | None = None, time_zone: str | None = None
) -> int:
    """Return the same, rounding up: for `gt` and `lte`. A rounding goes to the last millisecond of
    its unit; a date that leaves out its time of the day, or the end of it, means the last
    millisecond of the day, hour, minute or second that it names (but the first month and day of
    a year or month, as in OpenSearch)."""
    return _resolve(value, now_ms, format, read_offsets(time_zone), _ceil)


def _resolve(
    value: Any, now_ms: int, format: str | None, offset_at: OffsetAt, round_to: _Round
) -> int:
    try:
        if isinstance(value, str) and value.startswith("now"):
            return _apply_math(now_ms, value[3:], value, offset_at, round_to)
        base, bars, math = value.partition("||") if isinstance(value, str) else (value, "", "")
        ms = _read(base, format, offset_at, up=not bars and round_to is _ceil)
        return _apply_math(ms, math, value, offset_at, round_to)
    except (MappingError, OverflowError, ValueError) as error:
        raise InvalidQueryError(str(error)) from error


def _read(value: Any, format: str | None, offset_at: OffsetAt, *, up: bool) -> int:
    for pattern in _patterns(format or DEFAULT_FORMAT):
        if pattern.match is None:
            ms = pattern.parse(value)
        elif isinstance(value, str):
            ms = milliseconds_of(pattern.match(value), up=up, offset_at=offset_at)
        else:
            continue
        if ms is not None and MIN_MS <= ms <= MAX_MS:
            return ms
    raise _no_date(value, format)


def _apply_math(ms: int, math: str, whole: str, offset_at: OffsetAt, round_to: _Round) -> int:
    if not math:
        return ms
    if len(math) > _MAX_MATH_CHARS:
        raise InvalidQueryError(f"date math [{_short(whole)}] is too long")
    ms += offset_at(ms)
    at = 0
    while at < len(math):
        step = _STEP.match(math, at)
        if step is None:
            raise InvalidQueryError(
                f"date math [{_short(whole)}] cannot be understood at [{_short(math[at:])}]"
            )
        sign, count, unit, rounding = step.groups()
        ms = round_to(ms, rounding) if rounding else _add(ms, int(f"{sign}{count or 1}"), unit)
        if not MIN_MS <= ms <= MAX_MS:
            raise InvalidQueryError(f"date math [{_short(whole)}] leaves the years 1 to 9999")
        at = step.end()
    return ms if offset_at is utc else to_utc(ms, offset_at)


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


# --- parsers -------------------------------------------------------------------------------
@lru_cache(maxsize=256)
def _patterns(format: str) -> tuple[_Pattern, ...]:
    if len(format) > MAX_FORMAT_CHARS:
        raise MappingError(f"date format [{_short(format)}] is too long")
    return tuple(_pattern(name) for name in format.split("||"))


def _pattern(name: str) -> _Pattern:
    if name == "epoch_millis":
        return _Pattern(lambda value: _epoch(value, 1), None)
    if name == "epoch_second":
        return _Pattern(lambda value: _epoch(value, 1000), None)
    match = compile_pattern(name)
    if name == "strict_date_optional_time":
        return _Pattern(lambda v: _iso(v, match) if isinstance(v, str) else None, match)
    return _Pattern(lambda v: milliseconds_of(match(v)) if isinstance(v, str) else None, match)


def _iso(text: str, match: Match) -> int | None:
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
            return milliseconds_of(match(text))
        return _to_ms(moment if size > 10 else moment.replace(tzinfo=UTC))
    return milliseconds_of(match(text))


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


def _to_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _short(value: Any) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:80]}..."
