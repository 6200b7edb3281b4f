"""`date_histogram`: buckets of calendar units or of fixed intervals, in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from index.aggregate.collect import Collector
from index.aggregate.date_values import read_date
from index.aggregate.formats import date_text
from index.aggregate.histogram import Grid, extended_steps, grid_buckets, only
from index.aggregate.keys import key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.results import Result
from index.aggregate.rounding import Rounding
from index.aggregate.values import Gathered, Source, numeric
from index.aggregate.zones import Zone, read_zone
from index.errors import InvalidQueryError, InvalidRequestError, TooManyBucketsError
from index.kernels.aggregate import place_between
from index.query.aggregations import MAX_BUCKETS, Bounds, DateHistogram
from index.query.ast import Scalar
from index.reader import I64, U32

MAX_BEGINNINGS = 1 << 20
"""Up to so many buckets between the earliest and the latest date are laid out, empty or not."""
_FAR_MS = 1 << 52


class Steps(Protocol):
    """Buckets numbered one by one, without gap."""

    def begin(self, step: int) -> int:
        """Return when a bucket begins."""

    def begins(self, steps: I64) -> I64: ...

    def step_of(self, ms: int) -> int:
        """Return the bucket of a time."""


@dataclass(frozen=True, slots=True)
class Even:
    """All buckets are `width` long, and one begins at `origin`."""

    origin: int
    width: int

    def begin(self, step: int) -> int:
        return self.origin + step * self.width

    def begins(self, steps: I64) -> I64:
        return self.origin + steps * self.width

    def step_of(self, ms: int) -> int:
        return (ms - self.origin) // self.width


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Where each bucket begins."""

    beginnings: I64

    def begin(self, step: int) -> int:
        return int(self.beginnings[step])

    def begins(self, steps: I64) -> I64:
        return self.beginnings[steps]

    def step_of(self, ms: int) -> int:
        return int(np.searchsorted(self.beginnings, ms, side="right")) - 1


def collect_date_histogram(
    scope: Scope, aggregation: DateHistogram, level: Level, collector: Collector
) -> Result:
    source = numeric(scope, aggregation.field, "date_histogram")
    zone = read_zone(aggregation.time_zone)
    dates = _Dates(source, aggregation, zone)
    missing = dates.read(aggregation.missing)
    found = [
        part._replace(values=part.values.astype(np.int64, copy=False))
        for part in source.gather(level, missing)
    ]
    fills = aggregation.min_doc_count == 0
    extended = dates.bounds(aggregation.extended_bounds if fills else None, "extended_bounds")
    hard = dates.bounds(aggregation.hard_bounds, "hard_bounds")
    show = date_text(dates.format, zone)
    ends = [*_span(found, aggregation), *(end for end in extended if end is not None)]
    rounding = Rounding(aggregation.interval, zone, aggregation.offset_ms)
    keys, used, steps = _number(rounding, found, min(ends), max(ends), fills) if ends else _NOTHING
    if not ends:
        keys = [np.empty(0, np.uint32) for _ in found]
    is_kept = np.ones(len(used), bool)
    if hard != (None, None):
        begins = steps.begins(used)
        is_kept = (begins >= (hard[0] if hard[0] is not None else -_FAR_MS)) & (
            begins < (hard[1] if hard[1] is not None else _FAR_MS)
        )
    keys, used = only(keys, used, is_kept)
    reach = extended_steps(Bounds(*extended), aggregation.min_doc_count, steps.step_of)

    def head(step: int) -> dict[str, Any]:
        key = steps.begin(step)
        return {"key_as_string": show(key), "key": key}

    grid = Grid(found, keys, used, reach)
    return grid_buckets(scope, "date_histogram", aggregation, grid, level, collector, head)


_NOTHING: tuple[list[U32], I64, Steps] = ([], np.empty(0, np.int64), Even(0, 1))


def _span(found: list[Gathered], aggregation: DateHistogram) -> list[int]:
    """Return the earliest and the latest date, or nothing. Raises: InvalidRequestError."""
    arrays = [part.values for part in found if len(part.values)]
    if not arrays:
        return []
    low = min(int(array.min()) for array in arrays)
    high = max(int(array.max()) for array in arrays)
    if low < -_FAR_MS or high > _FAR_MS:
        raise InvalidRequestError(f"field [{aggregation.field}] holds numbers that are no dates")
    return [low, high]


def _number(
    rounding: Rounding, found: list[Gathered], low: int, high: int, fills: bool
) -> tuple[list[U32], I64, Steps]:
    """Return the keys of the values, the step of each key, rising, and what steps are.

    low, high: the first and the last time that must have a step.
    """
    linear = rounding.linear(low, high)
    arrays = [part.values for part in found]
    if linear is not None:
        even = Even(*linear)
        first, last = even.step_of(low), even.step_of(high)
        if last - first > max(1024, min(MAX_BEGINNINGS, sum(map(len, arrays)))):
            keys, used = key_numbers([(array - even.origin) // even.width for array in arrays])
            return keys, used, even
        used = np.arange(first, last + 1)
        ends = even.begins(np.append(used, last + 1))
        return [_between(array, ends) for array in arrays], used, even
    n = (high - low) // rounding.width_ms
    if n > MAX_BEGINNINGS:
        if fills:
            raise TooManyBucketsError(n, MAX_BUCKETS)
        keys, begins = key_numbers([rounding.round(array) for array in arrays])
        return keys, np.arange(len(begins)), Listed(begins)
    beginnings = rounding.beginnings(low, high)
    used = np.arange(len(beginnings) - 1)
    return [_between(array, beginnings) for array in arrays], used, Listed(beginnings)


def _between(values: I64, ends: I64) -> U32:
    keys = np.empty(len(values), np.uint32)
    place_between(np.ascontiguousarray(values), ends, keys)
    return keys


class _Dates:
    """Reads the dates of the request: those without a zone are in the histogram's."""

    def __init__(self, source: Source, aggregation: DateHistogram, zone: Zone) -> None:
        self._source = source
        self._zone = zone
        own = None if source.field is None else source.field.format
        self.format = aggregation.format or own

    def read(self, value: Scalar | None) -> int | None:
        """Raises: InvalidQueryError."""
        if value is None:
            return None
        field = self._source.field
        if field is not None and field.type != "date":
            number = self._source.number(value, "date_histogram")
            if number is None or not abs(number) <= _FAR_MS:
                raise InvalidQueryError(f"[date_histogram] [{value}] is no date")
            return int(number)
        return read_date(value, self._source.scope.now_ms, self.format, self._zone)

    def bounds(self, bounds: Bounds | None, name: str) -> tuple[int | None, int | None]:
        """Raises: InvalidQueryError."""
        if bounds is None:
            return None, None
        low, high = self.read(bounds.min), self.read(bounds.max)
        for end in (low, high):
            if end is not None and abs(end) > _FAR_MS:
                raise InvalidQueryError(f"[{name}] [{end}] is no date")
        if low is not None and high is not None and low > high:
            raise InvalidQueryError(f"[{name}] min [{bounds.min}] is after max [{bounds.max}]")
        return low, high
