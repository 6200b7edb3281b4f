"""Kept filters change no answer, stay within their bytes, and go with their segments."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.query.filter_cache import FilterCache, KeptSet
from index.query.filters import is_worth_keeping
from index.query.parse_json import parse_query, parse_search
from index.searcher import Searcher
from tests.index.search_world import NOW_MS, World
from tests.oracle import OracleHit, OracleResult, differences


def bits(docs: list[int], n_docs: int) -> np.ndarray:
    flags = np.zeros((n_docs + 63) // 64 * 64, np.uint8)
    flags[docs] = 1
    return np.packbits(flags, bitorder="little").view(np.uint64)


def eager(max_bytes: int = 1 << 20) -> FilterCache:
    return FilterCache(max_bytes, min_docs=1, min_uses=1)


class Segment:
    """Stands for a reader: only its identity and its size count."""

    def __init__(self, n_docs: int = 1_000) -> None:
        self.n_docs = n_docs


def keep(cache: FilterCache, segment: Any, key: str, docs: list[int]) -> KeptSet:
    return cache.find(segment, key, lambda: bits(docs, segment.n_docs))


# --- sets ------------------------------------------------------------------------------------
@given(docs=st.sets(st.integers(0, 699)), n_docs=st.just(700))
@settings(deadline=None)
def test_a_set_gives_back_its_documents(docs: set[int], n_docs: int) -> None:
    kept = KeptSet(bits(sorted(docs), n_docs), n_docs)
    for _ in range(2):
        if kept.is_sparse:
            assert kept.docs().tolist() == sorted(docs)
        else:
            assert kept.words().tolist() == bits(sorted(docs), n_docs).tolist()
        kept.rest()
    assert kept.count == len(docs)


# --- the cache -------------------------------------------------------------------------------
def test_a_filter_is_kept_once_it_is_asked_for_often_enough() -> None:
    cache = FilterCache(1 << 20, min_uses=3)
    assert [cache.is_wanted("a") for _ in range(4)] == [False, False, True, True]
    assert cache.is_wanted("b") is False


def test_memtables_and_small_segments_are_left_alone() -> None:
    cache = FilterCache(1 << 20, min_docs=100)
    large: Any = Segment(100)
    small: Any = Segment(99)
    assert cache.takes(large, "1.seg")
    assert not cache.takes(small, "1.seg")
    assert not cache.takes(large, "memtable")


def test_hits_and_misses_are_counted() -> None:
    cache, segment = eager(), Segment()
    first = keep(cache, segment, "a", [1, 2])
    assert keep(cache, segment, "a", []) is first
    keep(cache, segment, "b", [3])
    stats = cache.stats()
    assert (stats.n_hits, stats.n_misses, stats.n_entries) == (1, 2, 2)


@given(
    sizes=st.lists(st.integers(0, 1_000), min_size=1, max_size=30),
    max_bytes=st.integers(0, 10_000),
)
@settings(deadline=None)
def test_the_bytes_stay_within_their_bound(sizes: list[int], max_bytes: int) -> None:
    cache, segment = eager(max_bytes), Segment()
    for i, size in enumerate(sizes):
        kept = keep(cache, segment, str(i % 7), list(range(size)))
        assert kept.count == size or i >= 7
        assert cache.stats().n_bytes <= max_bytes
    if not cache.stats().n_entries:
        assert cache.stats().n_bytes == 0


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    segment = Segment(8_000)
    docs = list(range(0, 8_000, 2))
    one = KeptSet(bits(docs, 8_000), 8_000).n_bytes
    cache = eager(one * 2)
    for key in "abab":
        keep(cache, segment, key, docs)
    keep(cache, segment, "c", docs)
    misses = cache.stats().n_misses
    keep(cache, segment, "c", [])
    keep(cache, segment, "b", [])
    assert cache.stats().n_misses == misses


def test_sets_go_with_their_segment() -> None:
    cache, other = eager(), Segment()
    segment = Segment()
    keep(cache, segment, "a", [1])
    del segment
    gc.collect()
    keep(cache, other, "a", [1])
    assert cache.stats().n_entries == 1


# --- what is kept ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"term": {"tag": "a"}}, False),
        ({"range": {"n": {"gt": 5}}}, False),
        ({"prefix": {"title": "a"}}, True),
        ({"term": {"tag": {"value": "a", "case_insensitive": True}}}, True),
        ({"terms": {"tag": [*"abc"]}}, False),
        ({"terms": {"tag": [*"abcdefgh"]}}, True),
        ({"match": {"title": "a b"}}, True),
        ({"match": {"title": {"query": "a", "fuzziness": 1}}}, False),
        ({"bool": {"must": [{"term": {"tag": "a"}}, {"range": {"n": {"gt": 5}}}]}}, True),
        ({"bool": {"must": [{"prefix": {"tag": "a"}}, {"range": {"d": {"gt": "now"}}}]}}, False),
        ({"bool": {"should": [{"bool": {"must": [{"fuzzy": {"title": "a"}}]}}]}}, False),
        ({"terms": {"d": ["now/d", *"bcdefgh"]}}, False),
        ({"multi_match": {"query": "a", "fuzziness": 1}}, False),
    ],
)
def test_only_what_lasts_and_costs_is_kept(query: dict[str, Any], expected: bool) -> None:
    assert is_worth_keeping(parse_query(query)) is expected


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), max_bytes=st.sampled_from([0, 3_000, 1 << 20]))
def test_kept_filters_change_no_answer(seed: int, max_bytes: int) -> None:
    world = World(seed)
    cache = eager(max_bytes)
    filters = [world.query() for _ in range(5)]
    for _ in range(4):
        for _ in range(5):
            parts = {
                kind: world.random.sample(filters, k=world.random.randint(0, 2))
                for kind in ("filter", "must_not", "should")
            }
            check(world, cache, {"query": {"bool": parts}, "size": 500})
            constant = {"constant_score": {"filter": world.random.choice(filters)}}
            check(world, cache, {"query": constant, "size": 500})
        world.write(20)
        world.change_layout()


def check(world: World, cache: FilterCache, body: dict[str, Any]) -> None:
    request = parse_search(body)
    searcher = Searcher(world.views, world.schema, NOW_MS, cache)
    result = searcher.search(request)
    hits = [OracleHit(searcher.key(hit), hit.score, hit.sort) for hit in result.hits]
    expected = world.oracle.search(request, NOW_MS)
    assert differences(expected, OracleResult(hits, result.total)) is None, body


def test_a_profile_shows_what_is_kept() -> None:
    world = World(11, n_docs=200)
    world.flush()
    searcher = Searcher(world.views, world.schema, NOW_MS, eager())
    query = parse_query({"bool": {"must": {"match_all": {}}, "filter": {"prefix": {"tag": "f"}}}})
    ticks = iter(range(1_000))
    profile = searcher.profile(query, lambda: next(ticks))
    assert profile.rewritten == "+*:* #kept(tag:f*)"
    assert [part.kind for part in profile.part.children] == ["MatchAllDocsQuery", "CachedQuery"]
    assert profile.part.children[1].time_ns == 1


def test_an_older_view_still_sees_what_was_alive_then() -> None:
    world = World(11, n_docs=200)
    world.flush()
    older = Searcher(world.views, world.schema, NOW_MS)
    query = parse_query({"bool": {"filter": [{"prefix": {"tag": ""}}]}})
    expected = older.count(query)
    world.write(150)
    cache = eager()
    Searcher(world.views, world.schema, NOW_MS, cache).count(query)
    assert Searcher(older.views, world.schema, NOW_MS, cache).count(query) == expected
    assert cache.stats().n_hits > 0
