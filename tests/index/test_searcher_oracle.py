"""The searcher and the naive oracle give the same answers to random searches.

TAILRACE_TEST_CASES sets how many (index, query) cases are tried: 3,000 by default, 100,000 in
the deep run. Hypothesis prints the seed of a failing index; `smallest` finds the least query.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from index.query.parse_json import parse_search
from tests.index.random_queries import KINDS
from tests.index.search_world import NOW_MS, World
from tests.oracle import differences

SEEDS = st.integers(0, 2**32)
CASES = int(os.environ.get("TAILRACE_TEST_CASES", "3000"))
PER_INDEX = 50
"""Making an index costs more than asking it."""


def smallest(query: dict[str, Any], fails: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return a query within `query` that fails while none of its own parts does."""
    for part in parts_of(query):
        if fails(part):
            return smallest(part, fails)
    return query


def parts_of(query: dict[str, Any]) -> list[dict[str, Any]]:
    [(kind, body)] = query.items()
    if kind == "bool":
        lists = [(name, part) for name, part in body.items() if isinstance(part, list)]
        inner = [clause for _, part in lists for clause in part]
        fewer = [
            {"bool": body | {name: part[:i] + part[i + 1 :]}}
            for name, part in lists
            for i in range(len(part))
        ]
        without = [
            {"bool": {k: v for k, v in body.items() if k != name}} for name, v in body.items()
        ]
        return inner + fewer + [query for query in without if query["bool"]]
    if kind == "dis_max":
        return list(body["queries"])
    return [body["filter"]] if kind == "constant_score" else []


def check(world: World, body: dict[str, Any]) -> None:
    found = world.difference(body)
    if found is None:
        return

    def fails(query: dict[str, Any]) -> bool:
        return world.difference(body | {"query": query}) is not None

    least = body | {"query": smallest(body["query"], fails)}
    pytest.fail(f"{found}\n{body}\nsmaller: {world.difference(least)}\n{least}")


@pytest.mark.timeout(max(180, CASES // 20))
@settings(
    deadline=None,
    max_examples=max(1, CASES // PER_INDEX),
    suppress_health_check=list(HealthCheck),
)
@given(seed=SEEDS)
def test_searches_give_what_the_oracle_gives(seed: int) -> None:
    world = World(seed)
    for _ in range(PER_INDEX):
        check(world, world.body())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_query_gives_what_the_oracle_gives(kind: str) -> None:
    for seed in range(3):
        world = World(seed)
        for _ in range(10):
            check(world, {"query": world.ask.of(kind), "size": 500})


def test_an_index_of_several_windows_gives_what_the_oracle_gives() -> None:
    world = World(7, n_docs=2_500)
    for _ in range(30):
        check(world, world.body())


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
@example(seed=889156)
def test_search_after_goes_on_where_the_page_ended(seed: int) -> None:
    world = World(seed)
    sort = [
        key for key in (world.ask.sort_key() for _ in range(6)) if not {"_score", "_doc"} & {*key}
    ][:2]
    request = parse_search({"query": world.query(), "sort": [*sort, "_id"], "size": 7})
    while hits := world.answer(request).hits:
        expected = world.oracle.search(request, NOW_MS)
        assert differences(expected, world.answer(request)) is None, request
        request = replace(request, search_after=hits[-1].sort)


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_counts_and_standing_queries_agree_with_searches(seed: int) -> None:
    world = World(seed)
    for _ in range(8):
        request = parse_search({"query": world.query(), "size": 10_000})
        expected, total = world.oracle.search(request, NOW_MS)
        scores = {hit.key: hit.score for hit in expected}
        searcher = world.searcher()
        assert searcher.count(request.query) == total
        view_no, doc_ids = world.some_docs()
        mask, found = searcher.match_docs(request.query, view_no, doc_ids)
        for doc, is_match, score in zip(doc_ids.tolist(), mask, found, strict=True):
            key = world.views[view_no].reader.key(doc)
            newest = searcher.get(key)
            is_newest = newest is not None and newest == (world.views[view_no], doc)
            assert bool(is_match) == (is_newest and key in scores)
            if is_match:
                assert abs(score - scores[key]) <= 1e-5 * max(1.0, abs(scores[key]))
