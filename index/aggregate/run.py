"""Aggregations of a search over one or several indexes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from index.aggregate.collect import Collector
from index.aggregate.date_histogram import collect_date_histogram
from index.aggregate.filters import (
    collect_filter,
    collect_filters,
    collect_global,
    collect_missing,
)
from index.aggregate.histogram import collect_histogram
from index.aggregate.level import Level, Scope, ShowHits, top_level
from index.aggregate.metrics import collect_cardinality, collect_metric
from index.aggregate.percentiles import collect_percentiles
from index.aggregate.ranges import collect_date_ranges, collect_ranges
from index.aggregate.results import Result, Subs
from index.aggregate.terms import collect_terms
from index.aggregate.top_hits import collect_top_hits
from index.query import aggregations as agg
from index.query.aggregations import Aggregation
from index.query.request import SearchRequest
from index.query.stop import NEVER, Stop, StoppedError, check_stop
from index.searcher import Searcher


class Aggregated(NamedTuple):
    """What a search's aggregations found."""

    body: dict[str, Any]
    """The `aggregations` of the answer."""
    n_docs: int
    """How many documents they are over."""
    timed_out: bool
    """They were told to stop: what was not done by then is not in `body`."""


def aggregate(
    searchers: Sequence[Searcher],
    request: SearchRequest,
    show_hits: ShowHits,
    stop: Stop = NEVER,
) -> Aggregated:
    """Aggregate over all that the request's query matches in all searchers; `show_hits` writes
    what `top_hits` finds.

    Raises: InvalidQueryError, InvalidRequestError, TooManyBucketsError.
    """
    scope = Scope(searchers, request.query, show_hits, typed=request.typed_keys, stop=stop)
    body: dict[str, Any] = {}
    n_docs = 0
    try:
        level = top_level(
            [
                words
                for searcher in searchers
                for words in searcher.matching(request.query, request.min_score, stop)
            ]
        )
        n_docs = sum(len(pairs.docs) for pairs in level.pairs)
        for one in request.aggregations:
            body |= collect_all(scope, (one,), level).body(0)
    except StoppedError:
        return Aggregated(body, n_docs, True)
    return Aggregated(body, n_docs, False)


def collect_all(scope: Scope, aggregations: tuple[Aggregation, ...], level: Level) -> Subs:
    """Raises: StoppedError, InvalidQueryError, InvalidRequestError, TooManyBucketsError."""
    results = []
    for one in aggregations:
        check_stop(scope.stop)
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
        case agg.Percentiles():
            return collect_percentiles(scope, kind, level)
        case agg.Filter():
            return collect_filter(scope, kind, level, collector)
        case agg.Filters():
            return collect_filters(scope, kind, level, collector)
        case agg.Missing():
            return collect_missing(scope, kind, level, collector)
        case agg.Global():
            return collect_global(scope, level, collector)
        case agg.TopHits():
            return collect_top_hits(scope, kind, level)
