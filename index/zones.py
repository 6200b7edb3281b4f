"""Time zones: how far a place's clocks are ahead of UTC at a moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from index.errors import InvalidQueryError

OffsetAt: TypeAlias = Callable[[int], int]
"""From epoch milliseconds to the milliseconds that local time is ahead."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_MIN_MS, _MAX_MS = -62_135_424_000_000, 253_402_128_000_000
"""A day or two within the calendar, so that local time is in it too."""


def utc(_: int) -> int:
    return 0


@lru_cache(maxsize=256)
def read_offsets(name: str | None) -> OffsetAt:
    """Read `UTC`, `+01:00` or a name such as `Europe/Berlin`. Raises: InvalidQueryError."""
    if name is None or name in ("Z", "z", "UTC", "GMT"):
        return utc
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes > 18 * 60 or int(match[3] or 0) > 59:
            raise InvalidQueryError(f"time_zone [{name}] is more than 18 hours off")
        fixed = minutes * 60_000 * (-1 if match[1] == "-" else 1)
        return lambda _: fixed
    try:
        rules = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidQueryError(f"unknown time_zone [{name[:80]}]") from None

    def offset_at(ms: int) -> int:
        moment = _EPOCH + timedelta(milliseconds=min(max(ms, _MIN_MS), _MAX_MS))
        offset = moment.astimezone(rules).utcoffset()
        assert offset is not None
        return offset // _SECOND * 1000

    return offset_at


def to_utc(local_ms: int, offset_at: OffsetAt) -> int:
    """Return when clocks there show a time. Of a time that comes twice the first; one that is
    left out counts as if the clocks had not been moved yet."""
    before = offset_at(local_ms - offset_at(local_ms) - 3_600_000)
    moment = local_ms - before
    return moment if offset_at(moment) == before else local_ms - offset_at(local_ms - before)
