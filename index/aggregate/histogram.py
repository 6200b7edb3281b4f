"""`histogram`, and what it shares with `date_histogram`: the empty buckets between others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from index.aggregate.cells import Cells
from index.aggregate.collect import Collector
from index.aggregate.formats import shown_as
from index.aggregate.keys import key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.order import bounds_of, ordered
from index.aggregate.results import Buckets, Head, Result
from index.aggregate.values import Gathered, numbers, numeric
from index.errors import InvalidRequestError, TooManyBucketsError
from index.kernels.aggregate import NONE
from index.query.aggregations import (
    BY_KEY,
    MAX_BUCKETS,
    Bounds,
    DateHistogram,
    Histogram,
)
from index.query.order_paths import OrderPath
from index.reader import F64, I64, U32

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
        keys, distinct = only(keys, distinct, (starts >= low) & (starts <= high))
    extended = extended_steps(
        aggregation.extended_bounds,
        aggregation.min_doc_count,
        lambda value: int(_steps(np.array([value], float), interval, offset, "")[0]),
    )
    grid = Grid(found, keys, distinct, extended)
    shown = shown_as(source.field, None, None)

    def head(step: int) -> dict[str, Any]:
        key = step * interval + offset
        return {"key": key} if shown is None else {"key": key, "key_as_string": shown(key)}

    return grid_buckets(scope, "histogram", aggregation, grid, level, collector, head)


def _steps(values: F64, interval: float, offset: float, field: str) -> I64:
    with np.errstate(over="ignore"):
        steps = np.floor((values - offset) / interval)
    if len(steps) and not np.abs(steps).max() < _FAR:
        raise InvalidRequestError(f"[interval] [{interval}] is too small for [{field}]")
    return steps.astype(np.int64)


def only(keys: list[U32], steps: I64, is_kept: np.ndarray) -> tuple[list[U32], I64]:
    """Drop the keys that are not kept."""
    if is_kept.all():
        return keys, steps
    final = np.where(is_kept, np.cumsum(is_kept) - 1, NONE).astype(np.uint32)
    final = np.append(final, np.uint32(NONE))
    return [final[np.minimum(part, len(steps))] for part in keys], steps[is_kept]


def extended_steps(
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


# --- buckets -------------------------------------------------------------------------------
def grid_buckets(
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
