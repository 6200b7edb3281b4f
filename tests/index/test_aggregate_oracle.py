"""Aggregations give what the naive oracle gives, over memtables, segments, deletes and merges."""

from __future__ import annotations

import json
import statistics
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.aggregate import cells, date_histogram
from index.aggregate.run import aggregate
from index.query.parse_json import parse_search
from index.query.request import SearchRequest
from index.schema import Schema
from index.searcher import Searcher, SearchResult
from tests.aggregate_oracle import AggregationOracle, difference
from tests.index.random_aggregations import RandomAggregations
from tests.index.search_world import NOW_MS, World


def no_hits(request: SearchRequest, found: list[SearchResult]) -> dict[str, Any]:
    raise AssertionError("no top_hits here")


def check(worlds: list[World]) -> None:
    """Ask the first world's questions of all of them together."""
    oracle = AggregationOracle([world.oracle for world in worlds], NOW_MS)
    requests = RandomAggregations(worlds[0].ask)
    for _ in range(10):
        body = {"query": worlds[0].query(2), "size": 0, "aggs": requests.aggs(0)}
        found = aggregate([world.searcher() for world in worlds], parse_search(body), no_hits)
        assert difference(oracle.answer(body), found.body) is None, json.dumps(body)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_aggregations_give_what_the_oracle_gives(seed: int) -> None:
    check([World(seed)])


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_several_indexes_are_aggregated_as_one(seed: int) -> None:
    check([World(seed), World(seed + 1), World(seed + 2)])


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_cells_that_are_too_many_for_an_array_are_counted_too(seed: int) -> None:
    with patch.object(cells, "MAX_DENSE", 3):
        world = World(seed)
        tags = {"terms": {"field": "tag", "size": 3, "missing": "none"}}
        numbers = {"histogram": {"field": "n", "interval": 2, "order": {"_count": "desc"}}}
        body = {"aggs": {"a": {**tags, "aggs": {"b": {**numbers, "aggs": {"c": tags}}}}}}
        found = aggregate([world.searcher()], parse_search(body), no_hits).body
        oracle = AggregationOracle([world.oracle], NOW_MS)
        assert difference(oracle.answer(body), found) is None


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32), unit=st.sampled_from(["minute", "hour", "day"]))
def test_dates_too_far_apart_to_lay_out_buckets_are_rounded_one_by_one(
    seed: int, unit: str
) -> None:
    with patch.object(date_histogram, "MAX_BEGINNINGS", 0):
        world = World(seed)
        dates = {"field": "d", "calendar_interval": unit, "time_zone": "Europe/Berlin"}
        hard = {"hard_bounds": {"min": "2020-01-01T00:00:00+01:00"}}
        body = {"aggs": {"a": {"date_histogram": {**dates, **hard, "min_doc_count": 1}}}}
        found = aggregate([world.searcher()], parse_search(body), no_hits).body
        oracle = AggregationOracle([world.oracle], NOW_MS)
        assert difference(oracle.answer(body), found) is None


EVERY_KIND: dict[str, Any] = {
    "terms": {"terms": {"field": "tag", "min_doc_count": 0, "missing": "x"}},
    "numbers": {"terms": {"field": "n"}},
    "histogram": {"histogram": {"field": "f", "interval": 1}},
    "dates": {"date_histogram": {"field": "d", "calendar_interval": "month"}},
    "range": {"range": {"field": "n", "ranges": [{"to": 1}]}},
    "cardinality": {"cardinality": {"field": "tag"}},
    "stats": {"extended_stats": {"field": "n"}},
    "count": {"value_count": {"field": "tag"}},
    "percentiles": {"percentiles": {"field": "n"}},
    "missing": {"missing": {"field": "n"}},
    "global": {"global": {}, "aggs": {"sum": {"sum": {"field": "n"}}}},
    "filters": {
        "filters": {"filters": [{"match_all": {}}], "other_bucket": True},
        "aggs": {"tags": {"terms": {"field": "tag"}}, "top": {"top_hits": {}}},
    },
}


@pytest.mark.parametrize("searchers", [[], [Searcher((), Schema(), 0)]])
def test_nothing_gives_empty_results_of_every_kind(searchers: list[Searcher]) -> None:
    request = parse_search({"aggs": EVERY_KIND})
    found = aggregate(searchers, request, lambda _, __: {"hits": []}).body
    assert list(found) == list(EVERY_KIND)
    assert found["terms"]["buckets"] == []
    assert found["stats"]["avg"] is None
    assert found["stats"]["std_deviation_bounds"]["upper"] is None
    assert found["filters"]["buckets"][1]["top"] == {"hits": {"hits": []}}


def test_extended_stats_are_those_of_the_values() -> None:
    world = World(7, n_docs=60)
    searcher = world.searcher()
    request = parse_search({"aggs": {"s": {"extended_stats": {"field": "o.y", "sigma": 3}}}})
    found = aggregate([searcher], request, no_hits).body["s"]
    oracle = AggregationOracle([world.oracle], NOW_MS)
    values = oracle.numbers({"field": "o.y"}, oracle.everything)
    assert found["sum_of_squares"] == pytest.approx(sum(value * value for value in values))
    assert found["variance"] == pytest.approx(statistics.pvariance(values))
    assert found["variance_sampling"] == pytest.approx(statistics.variance(values))
    assert found["std_deviation"] == pytest.approx(statistics.pstdev(values))
    upper = statistics.mean(values) + 3 * statistics.pstdev(values)
    assert found["std_deviation_bounds"]["upper"] == pytest.approx(upper)
