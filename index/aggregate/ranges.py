"""`range` and `date_range`: a bucket for each range, whether or not they overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from index.aggregate.cells import Cells
from index.aggregate.collect import Collector
from index.aggregate.date_values import read_date
from index.aggregate.formats import Shown, date_text, shown_as
from index.aggregate.level import NO_U32, Level, Scope
from index.aggregate.results import Buckets, Result
from index.aggregate.values import Gathered, numbers, numeric
from index.aggregate.zones import read_zone
from index.kernels.aggregate import find_ranges
from index.query.aggregations import DateRanges, Ranges
from index.reader import U32


class _Range(NamedTuple):
    low: float
    high: float
    key: str | None


def collect_ranges(scope: Scope, aggregation: Ranges, level: Level, collector: Collector) -> Result:
    source = numeric(scope, aggregation.field, "range")
    ranges = [
        _Range(
            -np.inf if spec.from_ is None else float(spec.from_),
            np.inf if spec.to is None else float(spec.to),
            spec.key,
        )
        for spec in aggregation.ranges
    ]
    found = numbers(source, level, aggregation.missing, "range.missing")
    shown = shown_as(source.field, aggregation.format, None)
    return _buckets(scope, "range", ranges, found, level, collector, aggregation.keyed, shown)


def collect_date_ranges(
    scope: Scope, aggregation: DateRanges, level: Level, collector: Collector
) -> Result:
    source = numeric(scope, aggregation.field, "date_range")
    zone = read_zone(aggregation.time_zone)
    form = aggregation.format or (None if source.field is None else source.field.format)

    def read(value: Any) -> float:
        return float(read_date(value, scope.now_ms, form, zone))

    ranges = [
        _Range(
            -np.inf if spec.from_ is None else read(spec.from_),
            np.inf if spec.to is None else read(spec.to),
            spec.key,
        )
        for spec in aggregation.ranges
    ]
    missing = None if aggregation.missing is None else int(read(aggregation.missing))
    found = numbers(source, level, missing, "date_range.missing")
    shown = date_text(form, zone)
    return _buckets(scope, "date_range", ranges, found, level, collector, aggregation.keyed, shown)


def _buckets(
    scope: Scope,
    type_name: str,
    ranges: list[_Range],
    found: list[Gathered],
    level: Level,
    collector: Collector,
    is_keyed: bool,
    shown: Shown | None,
) -> Result:
    ranges = sorted(ranges, key=lambda one: one[:2])
    n = len(ranges)
    scope.take_buckets(n * level.n_owners)
    lows, highs = (np.array([one[end] for one in ranges], np.float64) for end in (0, 1))
    placed = [_place(part, lows, highs) for part in found]
    cells = Cells(level.n_owners, n, [part for part, _ in placed], [keys for _, keys in placed])
    counts = np.zeros(level.n_owners * n, np.int64)
    used = cells.used()
    owners, keys = cells.owner_key(used)
    counts[owners * n + keys] = cells.counts[used]
    heads = [_head(one, shown) for one in ranges]

    def below() -> Level:
        return cells.level(used, owners * n + keys, level.n_owners * n)

    name: Callable[[int], str] | None = None
    if is_keyed:
        names = [head.pop("key") for head in heads]
        name = lambda number: names[number % n]  # noqa: E731
    return Buckets(
        type_name,
        np.arange(level.n_owners + 1) * n,
        counts,
        lambda number: heads[number % n],
        name,
        collector.below(below),
    )


def _place(part: Gathered, lows: np.ndarray, highs: np.ndarray) -> tuple[Gathered, U32]:
    """Return a pair for each value and range it lies in, and the numbers of the ranges."""
    values = np.ascontiguousarray(part.values)
    at, keys = np.empty(len(values), np.int64), np.empty(len(values), np.uint32)
    n = find_ranges(values, lows, highs, at, keys)
    if n > len(at):
        at, keys = np.empty(n, np.int64), np.empty(n, np.uint32)
        find_ranges(values, lows, highs, at, keys)
    at, keys = at[:n], keys[:n]
    owners = part.owners[at] if len(part.owners) else NO_U32
    return Gathered(part.docs[at], owners, values, True), keys


def _head(one: _Range, shown: Shown | None) -> dict[str, Any]:
    texts = []
    head: dict[str, Any] = {"key": one.key}
    for name, end in (("from", one.low), ("to", one.high)):
        if not np.isfinite(end):
            texts.append("*")
            continue
        head[name] = end
        texts.append(str(end) if shown is None else shown(end))
        if shown is not None:
            head[f"{name}_as_string"] = texts[-1]
    if one.key is None:
        head["key"] = "-".join(texts)
    return head
