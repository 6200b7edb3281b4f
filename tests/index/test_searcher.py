from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.errors import InvalidQueryError, InvalidRequestError
from index.query.parse_json import parse_query, parse_search
from index.searcher import Searcher
from tests.index.search_world import NOW_MS, views_of

DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("a", {"title": "the quick brown fox", "tag": ["x", "y"], "n": 1, "d": "2020-01-01"}),
    ("b", {"title": "quick fox, the fox", "tag": "y", "n": [5, 9]}),
    ("c", {"title": "lazy dog", "n": 7, "d": "2020-09-13T12:00:00Z"}),
    ("d", {"title": "brown the quick dog", "b": True, "o": {"x": "deep"}}),
]


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    older = [("a", {"title": "fox fox fox"}), ("z", {"title": "zebra"})]
    views, ref = views_of(older, DOCUMENTS)
    return Searcher(views, ref.current, NOW_MS)


def test_terms_of_dead_documents_take_no_place_at_the_end_of_a_phrase() -> None:
    older = [(str(n), {"title": f"quick br{n}"}) for n in range(5)]
    newer = [(str(n), {"title": "gone"}) for n in range(5)]
    views, ref = views_of([*older, ("x", {"title": "quick brown"})], newer)
    body = {"query": "quick br", "max_expansions": 1}
    searcher = Searcher(views, ref.current, NOW_MS)
    assert found(searcher, {"match_phrase_prefix": {"title": body}}) == {"x"}


def keys(searcher: Searcher, body: dict[str, Any]) -> list[str]:
    return [searcher.key(hit).decode() for hit in searcher.search(parse_search(body)).hits]


def found(searcher: Searcher, query: dict[str, Any]) -> set[str]:
    return set(keys(searcher, {"query": query}))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"match_all": {}}, "abcdz"),
        ({"match": {"title": "fox"}}, "ab"),
        ({"match": {"title": {"query": "quick dog", "operator": "and"}}}, "d"),
        ({"match": {"tag": "y"}}, "ab"),
        ({"match": {"n": "9"}}, "b"),
        ({"match_phrase": {"title": "quick brown"}}, "a"),
        ({"match_phrase": {"title": {"query": "brown quick", "slop": 2}}}, "ad"),
        ({"match_phrase_prefix": {"title": "quick br"}}, "a"),
        ({"match_phrase_prefix": {"title": "laz"}}, "c"),
        ({"term": {"title": "Fox"}}, ""),
        ({"term": {"title": {"value": "FOX", "case_insensitive": True}}}, "ab"),
        ({"term": {"b": True}}, "d"),
        ({"term": {"d": "2020-09-13"}}, "c"),
        ({"range": {"d": {"gte": "now-1d"}}}, "c"),
        ({"range": {"tag": {"gt": "x"}}}, "ab"),
        ({"exists": {"field": "o"}}, "d"),
        ({"ids": {"values": ["a", "nope"]}}, "a"),
        ({"prefix": {"title": "ze"}}, "z"),
        ({"fuzzy": {"title": "qucik"}}, "abd"),
        ({"fuzzy": {"title": {"value": "qucik", "transpositions": False}}}, ""),
        ({"fuzzy": {"title": {"value": "qucik", "fuzziness": 2, "prefix_length": 4}}}, ""),
        ({"fuzzy": {"title": {"value": "fix", "fuzziness": 0}}}, ""),
        ({"fuzzy": {"o.x": "deap"}}, "d"),
        ({"match": {"title": {"query": "foy laxy", "fuzziness": "AUTO"}}}, "abc"),
        ({"match": {"tag": {"query": "xy", "fuzziness": 1}}}, "ab"),
        ({"query_string": {"query": "title:Zebar~1 OR dgo~"}}, "cdz"),
        ({"query_string": {"query": "qucik~", "fuzzy_prefix_length": 3}}, ""),
        ({"query_string": {"query": "deep"}}, "d"),
        ({"query_string": {"query": "zebra OR 7"}}, "cz"),
        ({"query_string": {"query": "title:QUI* -brown"}}, "b"),
        ({"multi_match": {"query": "deep", "fields": ["t*", "o.*"]}}, "d"),
        ({"term": {"nowhere": 1}}, ""),
        ({"bool": {"must_not": {"match": {"title": "quick"}}}}, "cz"),
    ],
)
def test_queries_find(searcher: Searcher, query: dict[str, Any], expected: str) -> None:
    assert found(searcher, query) == set(expected)


@pytest.mark.parametrize(
    "query",
    [
        {"term": {"n": "x"}},
        {"range": {"d": {"gte": "yesterday"}}},
        {"match": {"title": {"query": "a", "analyzer": "nope"}}},
        {"prefix": {"n": "1"}},
        {"bool": {"should": [{"match_all": {}}], "minimum_should_match": "x"}},
        {"fuzzy": {"n": "1"}},
    ],
)
def test_queries_that_do_not_fit_are_errors(searcher: Searcher, query: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError):
        searcher.search(parse_search({"query": query}))


def test_pages_follow_each_other(searcher: Searcher) -> None:
    whole = keys(searcher, {})
    assert whole == ["z", "a", "b", "c", "d"]
    assert keys(searcher, {"from": 1, "size": 2}) == whole[1:3]
    assert keys(searcher, {"from": 9}) == []


def test_size_0_only_counts(searcher: Searcher) -> None:
    result = searcher.search(parse_search({"size": 0}))
    assert (result.total, result.hits, result.max_score) == (5, [], None)


def test_counting_stops_where_asked(searcher: Searcher) -> None:
    result = searcher.search(parse_search({"track_total_hits": 3}))
    assert (result.total, result.relation) == (3, "gte")
    assert searcher.search(parse_search({"track_total_hits": 5})).relation == "eq"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (["n"], "abczd"),
        ([{"n": "desc"}], "bcazd"),
        ([{"n": {"order": "asc", "missing": "_first"}}], "zdabc"),
        ([{"n": {"order": "asc", "missing": 6}}], "abzdc"),
        ([{"n": {"order": "desc", "mode": "avg"}}], "bcazd"),
        (["tag", {"_id": "desc"}], "abzdc"),
        ([{"tag": "desc"}, "_doc"], "abzcd"),
        (["_doc"], "zabcd"),
        ([{"_id": "desc"}], "zdcba"),
        ([{"nope": {"unmapped_type": "long"}}, "_id"], "abcdz"),
    ],
)
def test_sorts(searcher: Searcher, sort: list[Any], expected: str) -> None:
    assert "".join(keys(searcher, {"sort": sort})) == expected


def test_sort_values_are_given_and_missing_ones_are_null(searcher: Searcher) -> None:
    hits = searcher.search(parse_search({"sort": ["d", "tag"], "size": 3})).hits
    assert [hit.sort for hit in hits] == [
        (1_577_836_800_000, "x"),
        (1_599_998_400_000, None),
        (None, "y"),
    ]
    assert [hit.score for hit in hits] == [None] * 3


@pytest.mark.parametrize("sort", [["title"], ["nope"], [{"tag": {"mode": "sum"}}]])
def test_what_cannot_be_sorted_by_is_an_error(searcher: Searcher, sort: list[Any]) -> None:
    with pytest.raises((InvalidQueryError, InvalidRequestError)):
        searcher.search(parse_search({"sort": sort}))


def test_get_gives_the_newest_live_document(searcher: Searcher) -> None:
    at = searcher.get(b"a")
    assert at is not None
    view, doc_id = at
    assert (view.segment, doc_id) == ("s1", 0)
    assert searcher.get(b"nope") is None


def test_a_standing_query_looks_at_the_given_documents_only(searcher: Searcher) -> None:
    query = parse_query({"match_phrase": {"title": "quick brown"}})
    mask, scores = searcher.match_docs(query, 1, np.array([0, 2], np.uint32))
    whole = searcher.search(parse_search({"query": {"match_phrase": {"title": "quick brown"}}}))
    assert mask.tolist() == [True, False]
    assert scores.tolist() == [whole.hits[0].score, 0.0]


def test_a_searcher_without_views_finds_nothing(searcher: Searcher) -> None:
    empty = Searcher((), searcher.schema, NOW_MS)
    for body in ({}, {"query": {"match": {"title": "fox"}}}, {"sort": ["n"]}):
        assert empty.search(parse_search(body)).total == 0
    assert empty.get(b"a") is None


@pytest.mark.parametrize(
    ("sort", "after", "expected"),
    [
        ([{"n": "desc"}], [6.5], "bazd"[1:]),
        ([{"n": "desc"}], [7], "azd"),
        ([{"n": "asc"}], ["1"], "bczd"),
        ([{"n": "asc"}], [None], ""),
        (["tag"], ["xx"], "bzcd"),
        ([{"d": "asc"}], ["2020-01-01"], "czbd"),
    ],
)
def test_search_after_takes_values_that_no_document_has(
    searcher: Searcher, sort: list[Any], after: list[Any], expected: str
) -> None:
    assert "".join(keys(searcher, {"sort": sort, "search_after": after})) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"sort": [{"n": {"missing": 10**30}}]},
        {"sort": ["n"], "search_after": ["x"]},
        {"sort": ["_score"], "search_after": ["x"]},
    ],
)
def test_values_out_of_range_are_errors(searcher: Searcher, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError):
        searcher.search(parse_search(body))


def test_half_a_surrogate_pair_matches_nothing(searcher: Searcher) -> None:
    for kind in ("match", "match_phrase", "term", "prefix", "wildcard"):
        for field in ("title", "tag"):
            assert found(searcher, {kind: {field: "\ud800"}}) == set()


@pytest.mark.filterwarnings("error")
def test_huge_boosts_give_finite_scores(searcher: Searcher) -> None:
    clause = {"match": {"title": {"query": "quick fox", "boost": 3.4e38}}}
    everything = {"match_all": {"boost": 3.4e38}}
    query = {"bool": {"should": [clause] * 50 + [everything] * 50, "boost": 3.4e38}}
    for body in ({"query": query}, {"query": query, "sort": ["_score"]}):
        scores = [hit.score for hit in searcher.search(parse_search(body)).hits]
        assert len(scores) == 5
        assert all(score is not None and 1e30 < score < 3.4e38 for score in scores)
