"""Aggregations of a search over one or several indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from index.aggregate.collect import Collector
from index.aggregate.filters import (
    collect_filter,
    collect_filters,
    collect_global,
    collect_missing,
)
from index.aggregate.histogram import collect_date_histogram, collect_histogram
from index.aggregate.level import Level, Scope, top_level
from index.aggregate.metrics import collect_cardinality, collect_metric
from index.aggregate.ranges import collect_date_ranges, collect_ranges
from index.aggregate.results import Result, Subs
from index.aggregate.terms import collect_terms
from index.query import aggregations as agg
from index.query.aggregations import Aggregation
from index.reader import U64


def aggregate(
    scope: Scope, aggregations: Sequence[Aggregation], matching: Sequence[U64]
) -> dict[str, Any]:
    """Return the `aggregations` of an answer.

    matching: of each view of the scope, the bitset of the documents that the query matches.
    Raises: InvalidQueryError, InvalidRequestError, TooManyBucketsError.
    """
    return collect_all(scope, tuple(aggregations), top_level(matching)).body(0)


def collect_all(scope: Scope, aggregations: tuple[Aggregation, ...], level: Level) -> Subs:
    results = []
    for one in aggregations:
        result = _collect(scope, one, level)
        result.meta = one.meta
        results.append((one.name, result))
    return Subs(tuple(results), scope.typed)


def _collect(scope: Scope, aggregation: Aggregation, level: Level) -> Result:
    kind = aggregation.kind
    collector = Collector(scope, aggregation.subs, collect_all)
    match kind:
        case agg.Terms():
            return collect_terms(scope, kind, level, collector)
        case agg.Ranges():
            return collect_ranges(scope, kind, level, collector)
        case agg.DateRanges():
            return collect_date_ranges(scope, kind, level, collector)
        case agg.Histogram():
            return collect_histogram(scope, kind, level, collector)
        case agg.DateHistogram():
            return collect_date_histogram(scope, kind, level, collector)
        case agg.Metric():
            return collect_metric(scope, kind, level)
        case agg.Cardinality():
            return collect_cardinality(scope, kind, level)
        case agg.Filter():
            return collect_filter(scope, kind, level, collector)
        case agg.Filters():
            return collect_filters(scope, kind, level, collector)
        case agg.Missing():
            return collect_missing(scope, kind, level, collector)
        case agg.Global():
            return collect_global(scope, level, collector)
        case agg.TopHits():
            raise NotImplementedError
