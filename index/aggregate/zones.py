"""Time zones as stretches of time with one offset each."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from index.dates import MAX_MS, MIN_MS
from index.errors import InvalidQueryError
from index.reader import I64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY_MS = 86_400_000
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_YEAR_MS = 365 * _DAY_MS
_STEP_MS = 14 * _DAY_MS
"""No zone has kept an offset for less."""


class Stretches(NamedTuple):
    starts: I64
    """When each begins, milliseconds of UTC, rising; the first is the beginning of time."""
    offsets: I64
    """Milliseconds that local time is ahead of UTC."""


class Zone:
    """A place's time. Thread rule: any thread."""

    def __init__(self, offset_ms: int = 0, rules: ZoneInfo | None = None) -> None:
        self._offset_ms = offset_ms
        self._rules = rules

    def offset_ms(self, at_ms: int) -> int:
        """Return how far local time is ahead of UTC."""
        if self._rules is None:
            return self._offset_ms
        # a day from the ends of the calendar, so that local time is in it too
        at_ms = min(max(at_ms, MIN_MS + 2 * _DAY_MS), MAX_MS - 2 * _DAY_MS)
        moment = _EPOCH + timedelta(milliseconds=at_ms)
        offset = moment.astimezone(self._rules).utcoffset()
        assert offset is not None
        return offset // _SECOND * 1000

    def stretches(self, low_ms: int, high_ms: int) -> Stretches:
        """Return what covers a time."""
        starts, offsets = [np.iinfo(np.int64).min], [self.offset_ms(low_ms)]
        if self._rules is not None:
            low_ms, high_ms = max(low_ms, MIN_MS), min(high_ms, MAX_MS)
            for period in range(low_ms // _YEAR_MS, high_ms // _YEAR_MS + 1):
                for start, offset in _changes(self, period):
                    if low_ms < start <= high_ms and offset != offsets[-1]:
                        starts.append(start)
                        offsets.append(offset)
        return Stretches(np.array(starts, np.int64), np.array(offsets, np.int64))


@lru_cache(maxsize=20_000)
def _changes(zone: Zone, period: int) -> tuple[tuple[int, int], ...]:
    """Return (when, new offset) of the changes in one period of 365 days since 1970."""
    found = []
    end = (period + 1) * _YEAR_MS
    at = period * _YEAR_MS
    offset = zone.offset_ms(at)
    while at < end:
        after = min(at + _STEP_MS, end)
        if zone.offset_ms(after) != offset:
            low, high = at, after
            while high - low > 1:
                middle = (low + high) // 2
                if zone.offset_ms(middle) == offset:
                    low = middle
                else:
                    high = middle
            offset = zone.offset_ms(high)
            found.append((high, offset))
            at = high
        else:
            at = after
    return tuple(found)


UTC_ZONE = Zone()


@lru_cache(maxsize=256)
def read_zone(name: str | None) -> Zone:
    """Read `UTC`, `+01:00` or a name such as `Europe/Berlin`. Raises: InvalidQueryError."""
    if name is None or name in ("Z", "UTC", "GMT", "z"):
        return UTC_ZONE
    match = _OFFSET.fullmatch(name)
    if match is not None:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes > 18 * 60:
            raise InvalidQueryError(f"time_zone [{name}] is more than 18 hours off")
        return Zone(minutes * 60_000 * (-1 if match[1] == "-" else 1))
    try:
        return Zone(rules=ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidQueryError(f"unknown time_zone [{name[:80]}]") from None
