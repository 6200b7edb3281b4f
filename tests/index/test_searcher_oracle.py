"""The searcher and the naive oracle give the same answers to random searches."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from index.query.parse_json import parse_search
from tests.index.search_world import NOW_MS, World
from tests.oracle import differences

SEEDS = st.integers(0, 2**32)


@settings(deadline=None, max_examples=15)
@given(seed=SEEDS)
def test_searches_give_what_the_oracle_gives(seed: int) -> None:
    world = World(seed)
    for _ in range(10):
        body = world.body()
        request = parse_search(body)
        expected = world.oracle.search(request, NOW_MS)
        assert differences(expected, world.answer(request)) is None, body


@settings(deadline=None, max_examples=10)
@given(seed=SEEDS)
def test_search_after_goes_on_where_the_page_ended(seed: int) -> None:
    world = World(seed)
    sort = [key for key in (world._sort_key() for _ in range(6)) if "_score" not in key][:2]
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
