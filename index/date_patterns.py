"""Patterns of dates: the names that OpenSearch knows and Java's letters, as regular expressions.

Letters: y u (year), M (month, a number or a name), d (day), D (day of the year), H h a m s S
(time), x Y w e (week), E (name of the day), Z X (zone); 'text' stands for itself, [..] may be
left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from index.errors import MappingError
from index.zones import OffsetAt, to_utc

MAX_FORMAT_CHARS = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

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
    "iso8601": rf"{_DATE}(?:T(?:{_TIME}{_ZONE}?)?)?)?)?",
    "rfc3339_lenient": rf"{_DATE}(?:[Tt ](?:{_TIME}{_ZONE})?)?)?)?",
}
_DAYS = {
    "date": "yyyy-MM-dd",
    "year": "yyyy",
    "year_month": "yyyy-MM",
    "year_month_day": "yyyy-MM-dd",
    "ordinal_date": "yyyy-DDD",
    "week_date": "xxxx-'W'ww-e",
    "weekyear": "xxxx",
    "weekyear_week": "xxxx-'W'ww",
    "weekyear_week_day": "xxxx-'W'ww-e",
}
_TIMES = {
    "hour": "HH",
    "hour_minute": "HH:mm",
    "hour_minute_second": "HH:mm:ss",
    "hour_minute_second_fraction": "HH:mm:ss.SSS",
    "hour_minute_second_millis": "HH:mm:ss.SSS",
    "time": "HH:mm:ss.SSSXXX",
    "time_no_millis": "HH:mm:ssXXX",
}
_JAVA_NAMED: dict[str, str] = {
    **_DAYS,
    **_TIMES,
    **{f"date_{name}": f"yyyy-MM-dd'T'{java}" for name, java in _TIMES.items()},
    **{f"ordinal_date_{name}": f"yyyy-DDD'T'{java}" for name, java in _TIMES.items()},
    **{f"week_date_{name}": f"xxxx-'W'ww-e'T'{java}" for name, java in _TIMES.items()},
    "t_time": "'T'HH:mm:ss.SSSXXX",
    "t_time_no_millis": "'T'HH:mm:ssXXX",
    "basic_date": "yyyyMMdd",
    "basic_date_time": "yyyyMMdd'T'HHmmss.SSSXXX",
    "basic_date_time_no_millis": "yyyyMMdd'T'HHmmssXXX",
    "basic_ordinal_date": "yyyyDDD",
    "basic_time": "HHmmss.SSSXXX",
    "basic_time_no_millis": "HHmmssXXX",
    "basic_t_time": "'T'HHmmss.SSSXXX",
    "basic_t_time_no_millis": "'T'HHmmssXXX",
    "basic_week_date": "xxxx'W'wwe",
}
_JAVA_NAMED |= {f"strict_{name}": java for name, java in _JAVA_NAMED.items()}

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _one_of(group: str, words: tuple[str, ...], n_chars: int | None = None) -> str:
    return rf"(?P<{group}>(?i:{'|'.join(word[:n_chars] for word in words)}))"


_LETTERS: dict[str, str] = {
    **dict.fromkeys(("yyyy", "uuuu"), r"(?P<year>\d{4})"), "yy": r"(?P<year2>\d{2})",
    **dict.fromkeys(("y", "u"), r"(?P<year>\d{1,4})"),
    "MMMM": _one_of("named", _MONTHS), "MMM": _one_of("named", _MONTHS, 3),
    "MM": r"(?P<month>\d{2})", "M": r"(?P<month>\d{1,2})",
    "dd": r"(?P<day>\d{2})", "d": r"(?P<day>\d{1,2})",
    "DDD": r"(?P<ordinal>\d{3})", "D": r"(?P<ordinal>\d{1,3})",
    "HH": r"(?P<hour>\d{2})", "H": r"(?P<hour>\d{1,2})",
    "hh": r"(?P<half>\d{2})", "h": r"(?P<half>\d{1,2})", "a": r"(?P<noon>(?i:am|pm))",
    "mm": r"(?P<minute>\d{2})", "m": r"(?P<minute>\d{1,2})",
    "ss": r"(?P<second>\d{2})", "s": r"(?P<second>\d{1,2})",
    **dict.fromkeys(("xxxx", "YYYY"), r"(?P<weekyear>\d{4})"),
    "ww": r"(?P<week>\d{2})", "w": r"(?P<week>\d{1,2})", "e": r"(?P<weekday>[1-7])",
    "EEEE": _one_of("dayname", _WEEKDAYS),
    **dict.fromkeys(("E", "EE", "EEE"), _one_of("dayname", _WEEKDAYS, 3)),
    **dict.fromkeys(("Z", "ZZ", "ZZZ", "ZZZZZ", "X", "XX", "XXX"), _ZONE),
    **{"S" * n: r"(?P<fraction>\d{1,9})" for n in range(1, 10)},
}  # fmt: skip

Match = Callable[[str], "re.Match[str] | None"]


def java_pattern(pattern: str) -> str:
    """Return the letters that one of the named patterns stands for; others as they are."""
    return _JAVA_NAMED.get(pattern, pattern)


def compile_pattern(pattern: str) -> Match:
    """Return what matches a whole text of one pattern. Raises: MappingError."""
    source = NAMED.get(pattern) or _regex_of(java_pattern(pattern))
    return re.compile(rf"{source}\Z", re.ASCII).match


def _regex_of(pattern: str) -> str:
    out, depth = "", 0
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
        elif text in "[]":
            depth += 1 if text == "[" else -1
            out += "(?:" if text == "[" else ")?"
        else:
            out += re.escape(text)
        if depth < 0:
            break
    if depth != 0:
        raise MappingError(f"invalid date format [{pattern}]: a bracket is missing")
    try:
        re.compile(out)
    except re.error as error:
        raise MappingError(f"invalid date format [{pattern}]: a part comes twice") from error
    return out


def milliseconds_of(
    match: re.Match[str] | None, *, up: bool = False, offset_at: OffsetAt | None = None
) -> int | None:
    """Return the epoch milliseconds of what a pattern found, None where there is no such day.

    A part that the text leaves out is the first of its kind; with `up` what it leaves out of
    the time of the day is the last. Without a zone in the text it is the time of `offset_at`.
    """
    if match is None:
        return None
    part = match.groupdict()
    try:
        day = _day_of(part)
        hour = _hour_of(part)
        minute, second, fraction = part.get("minute"), part.get("second"), part.get("fraction")
        moment = datetime(
            day.year,
            day.month,
            day.day,
            (23 if up else 0) if hour is None else hour,
            int(minute or (59 if up else 0)),
            int(second or (59 if up else 0)),
            tzinfo=UTC,
        )
    except (ValueError, OverflowError):
        return None
    rest = 999 if up and not fraction else int((fraction or "0")[:3].ljust(3, "0"))
    ms = (moment - _EPOCH) // _MILLISECOND + rest
    zone = part.get("zone")
    if zone is None:
        return ms if offset_at is None else to_utc(ms, offset_at)
    return ms - _zone_ms(zone)


def _day_of(part: dict[str, str | None]) -> date:
    if (weekyear := part.get("weekyear")) is not None:
        return date.fromisocalendar(
            int(weekyear), int(part.get("week") or 1), int(part.get("weekday") or 1)
        )
    short = part.get("year2")
    year = int(part.get("year") or (f"20{short}" if short else 1970))
    if (ordinal := part.get("ordinal")) is not None:
        day = date(year, 1, 1) + timedelta(days=int(ordinal) - 1)
        if day.year != year:
            raise ValueError(f"{year} has no day {ordinal}")
        return day
    month = int(part.get("month") or 1)
    if (name := part.get("named")) is not None:
        month = 1 + [full[: len(name)] for full in _MONTHS].index(name.lower())
    return date(year, month, int(part.get("day") or 1))


def _hour_of(part: dict[str, str | None]) -> int | None:
    hour, half = part.get("hour"), part.get("half")
    if half is None:
        return None if hour is None else int(hour)
    if not 1 <= int(half) <= 12:
        raise ValueError(f"no clock shows {half}")
    return int(half) % 12 + (12 if (part.get("noon") or "").lower() == "pm" else 0)


def _zone_ms(zone: str) -> int:
    if zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ms = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000
    return -ms if zone[0] == "-" else ms
