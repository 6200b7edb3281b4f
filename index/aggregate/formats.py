"""How bucket keys and numbers are written as text: dates by patterns, booleans by words."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from index.aggregate.zones import UTC_ZONE, Zone
from index.dates import MAX_MS, MIN_MS, java_pattern
from index.errors import InvalidQueryError
from index.field import Field

Shown: TypeAlias = Callable[[float], str]
"""From a number to its text."""

_Part: TypeAlias = Callable[[datetime, int], str]
"""Writes a part of a local time, whose offset is so many milliseconds."""

_EPOCH = datetime(1970, 1, 1)
_ISO = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX"
_OPTIONAL_TIME = ("strict_date_optional_time", "date_optional_time")
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|.", re.DOTALL)
_NUMBER = re.compile(r"((?:[^#0,.']|'[^']*')*)([#,]*0*[0,]*)(?:\.(0*)(#*))?((?:[^#0,.']|'[^']*')*)")


def shown_as(field: Field | None, format: str | None, zone: Zone | None) -> Shown | None:
    """Return how a field's numbers are written; None: as they are.

    Raises: InvalidQueryError where the format is none that is known.
    """
    if field is not None and field.type == "date":
        return date_text(format or field.format, zone or UTC_ZONE)
    if field is not None and field.type == "boolean":
        return lambda value: "true" if value else "false"
    return None if format is None else number_text(format)


def date_text(format: str | None, zone: Zone) -> Shown:
    """Return what writes milliseconds by the first of a format's patterns."""
    first = (format or _ISO).split("||")[0]
    if first == "epoch_millis":
        return lambda ms: str(int(ms))
    if first == "epoch_second":
        return lambda ms: str(int(ms) // 1000)
    if first == _ISO or first.removesuffix("_nanos") in _OPTIONAL_TIME:
        return _in_local_time(zone, _iso)
    parts = _parts(java_pattern(first))
    return _in_local_time(
        zone, lambda moment, offset: "".join(part(moment, offset) for part in parts)
    )


def _in_local_time(zone: Zone, write: _Part) -> Shown:
    def show(ms: float) -> str:
        whole = int(ms)
        offset = zone.offset_ms(whole)
        local = whole + offset
        if not MIN_MS <= local <= MAX_MS:
            return str(whole)
        return write(_EPOCH + timedelta(milliseconds=local), offset)

    return show


def _iso(moment: datetime, offset_ms: int) -> str:
    zone = _zone_text(offset_ms, ":", False, True)
    return f"{moment.isoformat(timespec='milliseconds')}{zone}"


def _zone_text(offset_ms: int, colon: str, short: bool, zulu: bool) -> str:
    if zulu and not offset_ms:
        return "Z"
    hours, minutes = divmod(abs(offset_ms) // 60_000, 60)
    rest = "" if short and not minutes else f"{colon}{minutes:02d}"
    return f"{'-' if offset_ms < 0 else '+'}{hours:02d}{rest}"


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LETTERS: dict[str, _Part] = {
    "yyyy": lambda t, _: f"{t.year:04d}",
    "uuuu": lambda t, _: f"{t.year:04d}",
    "yy": lambda t, _: f"{t.year % 100:02d}",
    "y": lambda t, _: str(t.year),
    "u": lambda t, _: str(t.year),
    "YYYY": lambda t, _: f"{t.isocalendar()[0]:04d}",
    "xxxx": lambda t, _: f"{t.isocalendar()[0]:04d}",
    "ww": lambda t, _: f"{t.isocalendar()[1]:02d}",
    "w": lambda t, _: str(t.isocalendar()[1]),
    "e": lambda t, _: str(t.isocalendar()[2]),
    "Q": lambda t, _: str((t.month + 2) // 3),
    "q": lambda t, _: str((t.month + 2) // 3),
    "MMMM": lambda t, _: _MONTHS[t.month - 1],
    "MMM": lambda t, _: _MONTHS[t.month - 1][:3],
    "MM": lambda t, _: f"{t.month:02d}",
    "M": lambda t, _: str(t.month),
    "dd": lambda t, _: f"{t.day:02d}",
    "d": lambda t, _: str(t.day),
    "DDD": lambda t, _: f"{t.timetuple().tm_yday:03d}",
    "D": lambda t, _: str(t.timetuple().tm_yday),
    "EEEE": lambda t, _: _DAYS[t.weekday()],
    **dict.fromkeys(("E", "EE", "EEE"), lambda t, _: _DAYS[t.weekday()][:3]),
    "HH": lambda t, _: f"{t.hour:02d}",
    "H": lambda t, _: str(t.hour),
    "hh": lambda t, _: f"{(t.hour + 11) % 12 + 1:02d}",
    "h": lambda t, _: str((t.hour + 11) % 12 + 1),
    "a": lambda t, _: "AM" if t.hour < 12 else "PM",
    "mm": lambda t, _: f"{t.minute:02d}",
    "m": lambda t, _: str(t.minute),
    "ss": lambda t, _: f"{t.second:02d}",
    "s": lambda t, _: str(t.second),
    **dict.fromkeys(("Z", "ZZ", "ZZZ"), lambda _, offset: _zone_text(offset, "", False, False)),
    "ZZZZZ": lambda _, offset: _zone_text(offset, ":", False, True),
    "X": lambda _, offset: _zone_text(offset, "", True, True),
    "XX": lambda _, offset: _zone_text(offset, "", False, True),
    "XXX": lambda _, offset: _zone_text(offset, ":", False, True),
}


@lru_cache(maxsize=256)
def _parts(pattern: str) -> tuple[_Part, ...]:
    return tuple(_part(token, pattern) for token in _TOKEN.finditer(pattern))


def _part(token: re.Match[str], pattern: str) -> _Part:
    text = token[0]
    if token[1] is not None:
        literal = token[1].replace("''", "'") or "'"
        return lambda _, __: literal
    if not token[2]:
        return lambda _, __: text
    if token[2] == "S" and len(text) <= 9:
        digits = len(text)
        return lambda t, _: f"{t.microsecond:06d}000"[:digits]
    if text not in _LETTERS:
        raise InvalidQueryError(f"invalid date format [{pattern}]: unknown letters [{text}]")
    return _LETTERS[text]


def number_text(format: str) -> Shown:
    """Return what writes numbers by a pattern such as `0.00` or `#,##0.#`."""
    match = _NUMBER.fullmatch(format)
    if match is None or not (match[2] or match[3] or match[4]):
        raise InvalidQueryError(f"invalid number format [{format[:80]}]")
    before, whole, zeros, more, after = (part or "" for part in match.groups())
    prefix, suffix = before.replace("'", ""), after.replace("'", "")
    least, most = len(zeros), len(zeros) + len(more)
    n_digits = whole.count("0")
    group = "," if "," in whole else ""
    factor = 100 if "%" in prefix + suffix else 1

    def show(value: float) -> str:
        text = f"{abs(value * factor):{group}.{most}f}"
        digits, _, fraction = text.partition(".")
        digits = digits.rjust(n_digits, "0") if n_digits or digits != "0" else ""
        while len(fraction) > least and fraction.endswith("0"):
            fraction = fraction[:-1]
        sign = "-" if value < 0 and any(c in "123456789" for c in digits + fraction) else ""
        return f"{sign}{prefix}{digits}{'.' if fraction else ''}{fraction}{suffix}"

    return show
