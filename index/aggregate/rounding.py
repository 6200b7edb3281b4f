"""Dates to the beginnings of their buckets: fixed intervals and calendar units, in local time.

Local time is cut into equal intervals or into calendar units. Where a zone changes its offset, a
bucket that the change falls into goes on behind it, and one that the change skips begins with it.
"""

from __future__ import annotations

import numpy as np

from index.aggregate.zones import Zone
from index.query.aggregations import CalendarUnit
from index.reader import I64

_DAY_MS = 86_400_000
_FIXED: dict[str, int] = {
    "second": 1_000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": _DAY_MS,
    "week": 7 * _DAY_MS,
}
_MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}
_MONDAY_MS = 4 * _DAY_MS
"""Of the first week that begins after 1970-01-01, a Thursday."""
_MONTH_MS = 2_629_746_000
"""On the average."""


class Rounding:
    """Where the buckets of a date histogram begin, milliseconds of UTC."""

    def __init__(self, interval: CalendarUnit | int, zone: Zone, offset_ms: int) -> None:
        self._zone = zone
        self._offset_ms = offset_ms
        self._months = 0 if isinstance(interval, int) else _MONTHS.get(interval, 0)
        if isinstance(interval, int):
            self.width_ms = interval
        elif self._months:
            self.width_ms = self._months * _MONTH_MS
        else:
            self.width_ms = _FIXED[interval]
        self._shift_ms = _MONDAY_MS if interval == "week" else 0

    # --- local time ----------------------------------------------------------------------
    def _floor(self, local: I64) -> I64:
        if not self._months:
            return local - (local - self._shift_ms) % self.width_ms
        return self._month_starts(self._month_numbers(local))

    def _month_numbers(self, local: I64) -> I64:
        numbers: I64 = local.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        return numbers // self._months

    def _month_starts(self, numbers: I64) -> I64:
        months = (numbers * self._months).astype("datetime64[M]")
        starts: I64 = months.astype("datetime64[ms]").astype(np.int64)
        return starts

    def _starts_between(self, low: int, high: int) -> I64:
        """Return the beginnings from `low` up to `high`, that one left out, in local time."""
        if self._months:
            first, last = self._month_numbers(np.array([low, high], np.int64)).tolist()
            starts = self._month_starts(np.arange(first, last + 2, dtype=np.int64))
        else:
            first = low + (self._shift_ms - low) % self.width_ms
            starts = np.arange(first, high, self.width_ms, dtype=np.int64)
        return starts[(starts >= low) & (starts < high)]

    # --- UTC -----------------------------------------------------------------------------
    def linear(self, low_ms: int, high_ms: int) -> tuple[int, int] | None:
        """Return (a beginning, width) where all buckets between two times are equally wide."""
        stretches = self._zone.stretches(low_ms - self._offset_ms, high_ms - self._offset_ms)
        if self._months or len(stretches.starts) > 1:
            return None
        return self._shift_ms - int(stretches.offsets[0]) + self._offset_ms, self.width_ms

    def beginnings(self, low_ms: int, high_ms: int) -> I64:
        """Return the beginnings of all buckets with a time of `low_ms` .. `high_ms` in them, and
        the end of the last one."""
        low, high = low_ms - self._offset_ms, high_ms - self._offset_ms
        margin = self.width_ms + _DAY_MS + (3 * _DAY_MS if self._months else 0)
        found = self._between(low - margin, high + margin)
        first = int(np.searchsorted(found, low, side="right")) - 1
        after = int(np.searchsorted(found, high, side="right"))
        return found[first : after + 1] + self._offset_ms

    def _between(self, low: int, high: int) -> I64:
        starts, offsets = self._zone.stretches(low, high)
        ends = [*starts[1:].tolist(), high]
        utc, local = [], []
        for number, (end, offset) in enumerate(zip(ends, offsets.tolist(), strict=True)):
            begin = max(int(starts[number]), low)
            own = self._starts_between(begin + offset, end + offset)
            if number and (not len(own) or own[0] - offset > begin):
                skipped = self._skipped(begin, int(offsets[number - 1]), offset)
                if skipped is not None:
                    utc.append(np.array([begin], np.int64))
                    local.append(np.array([skipped], np.int64))
            utc.append(own - offset)
            local.append(own)
        beginnings, locals_ = np.concatenate(utc), np.concatenate(local)
        if self._months or self.width_ms >= _DAY_MS:
            # a midnight that comes twice begins one day
            kept = np.concatenate([[True], locals_[1:] > np.maximum.accumulate(locals_)[:-1]])
            beginnings = beginnings[kept]
        return beginnings

    def _skipped(self, begin: int, before: int, offset: int) -> int | None:
        """Return the beginning of the interval at a change, if the change skips it, as local
        time."""
        floor = int(self._floor(np.array([begin + offset], np.int64))[0])
        is_before = floor - before < begin
        return None if is_before else floor

    def round(self, times: I64) -> I64:
        """Return the beginning of each time's bucket, time by time.

        Requires: no calendar months, and at most one change of the offset in an interval.
        """
        if not len(times):
            return times
        times = times - self._offset_ms
        low = int(times.min()) - self.width_ms - _DAY_MS
        starts, offsets = self._zone.stretches(low, int(times.max()))
        at = np.searchsorted(starts, times, side="right") - 1
        rounded = self._floor(times + offsets[at]) - offsets[at]
        is_before = rounded < starts[at]
        if is_before.any():
            before = np.maximum(at[is_before] - 1, 0)
            begin = starts[at[is_before]]
            floor = rounded[is_before] + offsets[at[is_before]] - offsets[before]
            rounded[is_before] = np.where(floor < begin, floor, begin)
        return rounded + self._offset_ms


def round_one(rounding: Rounding, at_ms: int) -> int:
    """Return the beginning of the bucket of one time."""
    linear = rounding.linear(at_ms - rounding.width_ms, at_ms)
    if linear is not None:
        begin, width = linear
        return at_ms - (at_ms - begin) % width
    return int(rounding.beginnings(at_ms, at_ms)[0])
