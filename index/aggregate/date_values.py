"""Dates of a request in a time zone."""

from __future__ import annotations

from index.aggregate.zones import Zone
from index.dates import resolve_date
from index.errors import InvalidQueryError
from index.query.ast import Scalar


def read_date(value: Scalar, now_ms: int, format: str | None, zone: Zone) -> int:
    """Read a date or date math, rounding down; what names no zone itself is local time.

    Raises: InvalidQueryError.
    """
    if isinstance(value, bool):
        raise InvalidQueryError(f"failed to parse date [{value}]")
    if not isinstance(value, str) or _names_zone(value):
        return resolve_date(value, now_ms=now_ms, format=format)
    local = resolve_date(value, now_ms=now_ms + zone.offset_ms(now_ms), format=format)
    return local - zone.offset_ms(local - zone.offset_ms(local))


def _names_zone(value: str) -> bool:
    date = value.partition("||")[0]
    time = date.partition("T")[2]
    is_number = date.lstrip("-").replace(".", "").isdigit() and len(date) > 4
    return is_number or any(sign in time for sign in "Z+-")
