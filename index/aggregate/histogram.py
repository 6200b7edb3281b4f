"""`histogram` and `date_histogram`: buckets of intervals, the empty ones between too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from index.aggregate.cells import Cells
from index.aggregate.collect import Collector
from index.aggregate.formats import date_text, shown_as
from index.aggregate.keys import key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.order import bounds_of, ordered
from index.aggregate.results import Buckets, Head, Result
from index.aggregate.rounding import Rounding
from index.aggregate.values import Gathered, Source, numbers, numeric
from index.aggregate.zones import read_zone
from index.dates import resolve_date
from index.errors import InvalidQueryError, InvalidRequestError, TooManyBucketsError
from index.kernels.aggregate import NONE, place_between
from index.query.aggregations import (
    BY_KEY,
    MAX_BUCKETS,
    Bounds,
    DateHistogram,
    Histogram,
)
from index.query.ast import Scalar
from index.query.order_paths import OrderPath
from index.reader import F64, I64, U32

MAX_BEGINNINGS = 1 << 20
"""Up to so many buckets between the earliest and the latest date are laid out, empty or not."""
_FAR = 1 << 52


class Grid(NamedTuple):
    """Buckets in a row, numbered by steps; neighbours differ by 1."""

    found: list[Gathered]
    keys: list[U32]
    steps: I64
    """Of each key, its step; rising."""
    extended: tuple[int, int] | None
    """Steps that are shown even where they are empty."""


def collect_histogram(
    scope: Scope, aggregation: Histogram, level: Level, collector: Collector
) -> Result:
    source = numeric(scope, aggregation.field, "histogram")
    interval, offset = aggregation.interval, aggregation.offset
    found = numbers(source, level, aggregation.missing, "histogram.missing")
    steps = [_steps(part.values, interval, offset, aggregation.field) for part in found]
    keys, distinct = key_numbers(steps)
    bounds = aggregation.hard_bounds
    if bounds is not None:
        low = -np.inf if bounds.min is None else float(bounds.min)
        high = np.inf if bounds.max is None else float(bounds.max)
        starts = distinct * interval
        keys, distinct = _only(keys, distinct, (starts >= low) & (starts <= high))
    extended = _extended(
        aggregation.extended_bounds,
        aggregation.min_doc_count,
        lambda value: int(_steps(np.array([value], float), interval, offset, "")[0]),
    )
    grid = Grid(found, keys, distinct, extended)
    shown = shown_as(source.field, None, None)

    def head(step: int) -> dict[str, Any]:
        key = step * interval + offset
        return {"key": key} if shown is None else {"key": key, "key_as_string": shown(key)}

    return _buckets(scope, "histogram", aggregation, grid, level, collector, head)


def _steps(values: F64, interval: float, offset: float, field: str) -> I64:
    with np.errstate(over="ignore"):
        steps = np.floor((values - offset) / interval)
    if len(steps) and not np.abs(steps).max() < _FAR:
        raise InvalidRequestError(f"[interval] [{interval}] is too small for [{field}]")
    return steps.astype(np.int64)


def _only(keys: list[U32], steps: I64, is_kept: np.ndarray) -> tuple[list[U32], I64]:
    """Drop the keys that are not kept."""
    if is_kept.all():
        return keys, steps
    final = np.where(is_kept, np.cumsum(is_kept) - 1, NONE).astype(np.uint32)
    final = np.append(final, np.uint32(NONE))
    return [final[np.minimum(part, len(steps))] for part in keys], steps[is_kept]


def _extended(
    bounds: Bounds | None, min_doc_count: int, step_of: Callable[[Any], int]
) -> tuple[int, int] | None:
    """Return the steps of extended bounds; a bound that is not given shrinks to nothing."""
    if bounds is None or min_doc_count > 0:
        return None
    low = None if bounds.min is None else step_of(bounds.min)
    high = None if bounds.max is None else step_of(bounds.max)
    if low is None and high is None:
        return None
    far = np.iinfo(np.int64)
    return (int(far.max) if low is None else low, int(far.min) if high is None else high)


# --- dates ---------------------------------------------------------------------------------
def collect_date_histogram(
    scope: Scope, aggregation: DateHistogram, level: Level, collector: Collector
) -> Result:
    source = numeric(scope, aggregation.field, "date_histogram")
    zone = read_zone(aggregation.time_zone)
    rounding = Rounding(aggregation.interval, zone, aggregation.offset_ms)
    missing = _date(source, scope, aggregation, aggregation.missing)
    found = [
        part._replace(values=part.values.astype(np.int64, copy=False))
        for part in source.gather(level, missing)
    ]
    low, high = _span(found)
    wanted = aggregation.extended_bounds if aggregation.min_doc_count == 0 else None
    bounds = _date_bounds(source, scope, aggregation, wanted, "extended_bounds")
    ends = [end for end in (low, high, *bounds) if end is not None]
    linear = rounding.linear(min(ends), max(ends)) if ends else (0, 1)
    begin_of: Callable[[int], int]
    if linear is not None:
        begin, width = linear
        keys, steps = _key_linear(found, begin, width)
        begin_of = lambda step: begin + step * width  # noqa: E731
        step_of = lambda ms: (ms - begin) // width  # noqa: E731
    else:
        keys, steps, begin_of, step_of = _lay_out(
            rounding, found, min(ends), max(ends), aggregation
        )
    keys, steps = _within(scope, source, aggregation, keys, steps, begin_of)
    extended = _extended(Bounds(*bounds), aggregation.min_doc_count, step_of)
    shown = shown_as(source.field, aggregation.format, zone)
    if shown is None or (source.field is not None and source.field.type != "date"):
        shown = date_text(aggregation.format, zone)
    show = shown

    def head(step: int) -> dict[str, Any]:
        key = begin_of(step)
        return {"key_as_string": show(key), "key": key}

    grid = Grid(found, keys, steps, extended)
    return _buckets(scope, "date_histogram", aggregation, grid, level, collector, head)


def _span(found: list[Gathered]) -> tuple[int | None, int | None]:
    low = min((int(part.values.min()) for part in found if len(part.values)), default=None)
    high = max((int(part.values.max()) for part in found if len(part.values)), default=None)
    return low, high


def _key_linear(found: list[Gathered], begin: int, width: int) -> tuple[list[U32], I64]:
    """Number buckets that are all equally wide."""
    low, high = _span(found)
    if low is None or high is None:
        return [np.empty(0, np.uint32) for _ in found], np.empty(0, np.int64)
    first, last = (low - begin) // width, (high - begin) // width
    if last - first > max(1024, sum(len(part.values) for part in found)):
        keys, steps = key_numbers([(part.values - begin) // width for part in found])
        return keys, steps
    steps = np.arange(first, last + 1)
    ends = np.append(steps, last + 1) * width + begin
    return [_between(part.values, ends) for part in found], steps


def _between(values: I64, ends: I64) -> U32:
    keys = np.empty(len(values), np.uint32)
    place_between(np.ascontiguousarray(values), ends, keys)
    return keys


def _lay_out(
    rounding: Rounding, found: list[Gathered], low: int, high: int, aggregation: DateHistogram
) -> tuple[list[U32], I64, Callable[[int], int], Callable[[int], int]]:
    """Number the buckets between two times one by one."""
    if (high - low) // rounding.width_ms > MAX_BEGINNINGS:
        if aggregation.min_doc_count == 0:
            raise TooManyBucketsError((high - low) // rounding.width_ms, MAX_BUCKETS)
        keys, begins = key_numbers([rounding.round(part.values) for part in found])
        return keys, np.arange(len(begins)), lambda step: int(begins[step]), lambda _: 0
    beginnings = rounding.beginnings(low, high)
    return (
        [_between(part.values, beginnings) for part in found],
        np.arange(len(beginnings) - 1),
        lambda step: int(beginnings[step]),
        lambda ms: int(np.searchsorted(beginnings, ms, side="right")) - 1,
    )


def _date(
    source: Source, scope: Scope, aggregation: DateHistogram, value: Scalar | None
) -> int | None:
    if value is None:
        return None
    if source.field is not None and source.field.type != "date":
        number = source.number(value, "date_histogram.missing")
        return None if number is None else int(number)
    zone = read_zone(aggregation.time_zone)
    form = aggregation.format or (None if source.field is None else source.field.format)
    return read_date(value, scope.now_ms, form, zone.offset_ms)


def read_date(value: Scalar, now_ms: int, form: str | None, offset_of: Callable[[int], int]) -> int:
    """Read a date of a request, rounding down; without a zone it is local time.

    Raises: InvalidQueryError.
    """
    if isinstance(value, bool):
        raise InvalidQueryError(f"failed to parse date [{value}]")
    if not isinstance(value, str) or _names_zone(value):
        return resolve_date(value, now_ms=now_ms, format=form)
    local = resolve_date(value, now_ms=now_ms + offset_of(now_ms), format=form)
    return local - offset_of(local - offset_of(local))


def _names_zone(value: str) -> bool:
    date = value.partition("||")[0]
    time = date.partition("T")[2]
    is_number = date.lstrip("-").replace(".", "").isdigit() and len(date) > 4
    return is_number or "Z" in time or "+" in time or "-" in time


def _date_bounds(
    source: Source,
    scope: Scope,
    aggregation: DateHistogram,
    bounds: Bounds | None,
    name: str,
) -> tuple[int | None, int | None]:
    if bounds is None:
        return None, None
    low, high = (_date(source, scope, aggregation, end) for end in (bounds.min, bounds.max))
    if low is not None and high is not None and low > high:
        raise InvalidQueryError(f"[{name}] min [{bounds.min}] is after max [{bounds.max}]")
    return low, high


def _within(
    scope: Scope,
    source: Source,
    aggregation: DateHistogram,
    keys: list[U32],
    steps: I64,
    begin_of: Callable[[int], int],
) -> tuple[list[U32], I64]:
    """Keep the buckets that begin in the hard bounds."""
    bounds = aggregation.hard_bounds
    low, high = _date_bounds(source, scope, aggregation, bounds, "hard_bounds")
    if low is None and high is None:
        return keys, steps
    begins = np.array([begin_of(step) for step in steps.tolist()], np.int64)
    is_kept = np.ones(len(steps), bool)
    if low is not None:
        is_kept &= begins >= low
    if high is not None:
        is_kept &= begins < high
    return _only(keys, steps, is_kept)


# --- buckets -------------------------------------------------------------------------------
def _buckets(
    scope: Scope,
    type_name: str,
    aggregation: Histogram | DateHistogram,
    grid: Grid,
    level: Level,
    collector: Collector,
    head_of: Head,
) -> Result:
    cells = Cells(level.n_owners, len(grid.steps), grid.found, grid.keys)
    used = cells.used(aggregation.min_doc_count)
    owners, keys = cells.owner_key(used)
    steps, counts = grid.steps[keys], cells.counts[used]
    if aggregation.min_doc_count == 0:
        owners, steps, counts, cell_of = _filled(
            scope, owners, steps, counts, used, grid.extended, level.n_owners
        )
    else:
        scope.take_buckets(len(used))
        cell_of = used

    def level_of(order: I64) -> Level:
        own = cell_of[order]
        is_used = own >= 0
        return cells.level(own[is_used], np.flatnonzero(is_used), len(order))

    if aggregation.order != BY_KEY:

        def number_of(path: OrderPath) -> F64:
            return collector.number(path, level_of(np.arange(len(steps))))

        order = ordered(owners, steps, counts, aggregation.order, number_of)
        owners, steps, counts, cell_of = owners[order], steps[order], counts[order], cell_of[order]
    listed = steps.tolist()
    return Buckets(
        type_name,
        bounds_of(owners, level.n_owners),
        counts,
        lambda number: head_of(listed[number]),
        (lambda number: _name(head_of(listed[number]))) if aggregation.keyed else None,
        collector.below(lambda: level_of(np.arange(len(listed)))),
    )


def _name(head: dict[str, Any]) -> str:
    return str(head.get("key_as_string", head["key"]))


def _filled(
    scope: Scope,
    owners: I64,
    steps: I64,
    counts: I64,
    cells: I64,
    extended: tuple[int, int] | None,
    n_owners: int,
) -> tuple[I64, I64, I64, I64]:
    """Return (owners, steps, counts, cells) with the empty buckets between the first and the last
    of each owner; their cell is -1."""
    far = np.iinfo(np.int64)
    low, high = np.full(n_owners, far.max), np.full(n_owners, far.min)
    bounds = bounds_of(owners, n_owners)
    has = bounds[1:] > bounds[:-1]
    low[has], high[has] = steps[bounds[:-1][has]], steps[bounds[1:][has] - 1]
    if extended is not None:
        is_whole = extended[0] != far.max and extended[1] != far.min
        reach = np.ones(n_owners, bool) if is_whole else has
        low[reach] = np.minimum(low[reach], extended[0])
        high[reach] = np.maximum(high[reach], extended[1])
    sizes = np.where(high >= low, high - np.minimum(low, high) + 1, 0)
    if sizes.sum(dtype=np.float64) > MAX_BUCKETS:
        raise TooManyBucketsError(int(sizes.sum(dtype=np.float64)), MAX_BUCKETS)
    n = int(sizes.sum())
    scope.take_buckets(n)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    all_owners = np.repeat(np.arange(n_owners), sizes)
    all_steps = np.arange(n) - begins[all_owners] + low[all_owners]
    all_counts, all_cells = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    at = begins[owners] + steps - low[owners]
    all_counts[at], all_cells[at] = counts, cells
    return all_owners, all_steps, all_counts, all_cells
