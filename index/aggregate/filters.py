"""Buckets by queries, by a missing value, or of everything."""

from __future__ import annotations

import numpy as np

from index.aggregate.collect import Collector
from index.aggregate.level import Level, Pairs, Scope
from index.aggregate.results import Buckets, Result, Single
from index.aggregate.values import without_value
from index.kernels.aggregate import count_owners
from index.query.aggregations import Filter, Filters, Missing
from index.reader import I64, U64


def collect_filter(scope: Scope, aggregation: Filter, level: Level, collector: Collector) -> Result:
    return _single("filter", scope.matching(aggregation.query), level, collector)


def collect_missing(
    scope: Scope, aggregation: Missing, level: Level, collector: Collector
) -> Result:
    return _single("missing", without_value(scope, aggregation.field), level, collector)


def collect_global(scope: Scope, level: Level, collector: Collector) -> Result:
    """Requires: a level of one bucket."""
    everything = scope.all_alive()
    return Single("global", owner_counts(everything), collector.below(lambda: everything))


def _single(type_name: str, words: list[U64], level: Level, collector: Collector) -> Result:
    within = Level(
        level.n_owners,
        tuple(pairs.marked(own) for pairs, own in zip(level.pairs, words, strict=True)),
    )
    return Single(type_name, owner_counts(within), collector.below(lambda: within))


def owner_counts(level: Level) -> I64:
    """Return how many documents each owner has."""
    counts = np.zeros(level.n_owners, np.int64)
    for pairs in level.pairs:
        if len(pairs.owners):
            count_owners(pairs.owners, counts)
        elif len(pairs.docs):
            counts[0] += len(pairs.docs)
    return counts


def collect_filters(
    scope: Scope, aggregation: Filters, level: Level, collector: Collector
) -> Result:
    words = [scope.matching(query) for query in aggregation.queries]
    if aggregation.other_key is not None:
        words.append([~_any(of_view) for of_view in zip(*words, strict=True)])
    n = len(words)
    scope.take_buckets(n * level.n_owners)
    parts: list[list[Pairs]] = [[] for _ in level.pairs]
    for number, of_filter in enumerate(words):
        for own, pairs, marked in zip(parts, level.pairs, of_filter, strict=True):
            within = pairs.marked(marked)
            if len(within.owners):
                owners = within.owners * np.uint32(n) + np.uint32(number)
            else:
                owners = np.full(len(within.docs), number, np.uint32)
            own.append(Pairs(within.docs, owners))
    below = Level(level.n_owners * n, tuple(_joined(own) for own in parts))
    keys = aggregation.keys
    names = None
    if keys is not None:
        names = [*keys, *([] if aggregation.other_key is None else [aggregation.other_key])]
    return Buckets(
        "filters",
        np.arange(level.n_owners + 1) * n,
        owner_counts(below),
        lambda _: {},
        None if names is None else lambda number: names[number % n],
        collector.below(lambda: below),
    )


def _any(bitsets: tuple[U64, ...]) -> U64:
    united = bitsets[0].copy()
    for words in bitsets[1:]:
        united |= words
    return united


def _joined(parts: list[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([part.docs for part in parts]),
        np.concatenate([part.owners for part in parts]),
    )
