"""An explanation is worth what the search says, and tells the reasons in Lucene's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.query.explain import Explanation
from index.query.parse_json import parse_query, parse_search
from index.searcher import Searcher
from tests.index.random_queries import KINDS
from tests.index.search_world import NOW_MS, World, views_of

DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("a", {"title": "the quick brown fox", "tag": ["x", "y"], "n": 1}),
    ("b", {"title": "quick fox, the quick fox", "tag": "y", "n": 5}),
    ("c", {"title": "lazy dog", "n": 7}),
]


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    views, ref = views_of(DOCUMENTS)
    return Searcher(views, ref.current, NOW_MS)


def explain(searcher: Searcher, key: str, query: dict[str, Any]) -> Explanation:
    found = searcher.get(key.encode())
    assert found is not None
    view_no = next(i for i, view in enumerate(searcher.views) if view is found[0])
    return searcher.explain(parse_query(query), view_no, found[1])


def descriptions(explanation: Explanation) -> list[str]:
    below = [text for detail in explanation.details for text in descriptions(detail)]
    return [explanation.description, *below]


def check_sums(node: Explanation) -> None:
    """Check that every node which is put together is worth what its parts say."""
    parts = [detail.value for detail in node.details]
    if node.description.startswith("sum"):
        assert node.value == pytest.approx(sum(parts), rel=1e-5)
    elif node.description == "max of:":
        assert node.value == pytest.approx(max(parts), rel=1e-5)
    elif node.description.startswith("score("):
        product = 1.0
        for part in parts:
            product *= part
        assert node.value == pytest.approx(product, rel=1e-4)
    for detail in node.details:
        check_sums(detail)


def check_all(world: World, query: dict[str, Any]) -> None:
    searcher = world.searcher()
    hits = searcher.search(parse_search({"query": query, "size": 10_000})).hits
    scores = {searcher.key(hit): hit.score for hit in hits}
    for key in world.random.sample(sorted(world.oracle.live), k=min(4, len(world.oracle))):
        explanation = explain(searcher, key.decode(), query)
        assert explanation.is_match == (key in scores), query
        if key in scores:
            assert explanation.value == pytest.approx(scores[key], rel=1e-5, abs=1e-9), query
            check_sums(explanation)


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_the_value_is_the_score_of_the_hit(seed: int) -> None:
    world = World(seed)
    for _ in range(15):
        check_all(world, world.query())


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_query_is_explained(kind: str) -> None:
    world = World(3)
    for _ in range(10):
        check_all(world, world.ask.of(kind))


def test_a_term_shows_all_that_bm25_counts(searcher: Searcher) -> None:
    body = explain(searcher, "b", {"match": {"title": {"query": "fox", "boost": 2}}}).body()
    assert body["description"] == "weight(title:fox^2 in 1) [BM25], result of:"
    [score] = body["details"]
    assert score["description"] == "score(freq=2), computed as boost * idf * tf from:"
    boost, idf, tf = score["details"]
    assert boost == {"value": 2.0, "description": "boost", "details": []}
    assert [part["value"] for part in idf["details"]] == [2, 3]
    assert [part["value"] for part in tf["details"]] == [2.0, 1.2, 0.75, 5.0, pytest.approx(11 / 3)]


def test_a_phrase_shows_its_frequency(searcher: Searcher) -> None:
    query = {"match_phrase": {"title": "quick fox"}}
    assert "phraseFreq=2" in descriptions(explain(searcher, "b", query))
    sloppy = {"match_phrase": {"title": {"query": "quick fox", "slop": 1}}}
    found = descriptions(explain(searcher, "a", sloppy))
    assert 'weight(title:"quick fox"~1 in 0) [BM25], result of:' in found
    assert "phraseFreq=0.5" in found


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"term": {"title": "zebra"}}, "no matching term: title:zebra"),
        (
            {"bool": {"must": [{"match": {"title": "dog"}}], "filter": [{"term": {"tag": "x"}}]}},
            "no match on required clause (title:dog)",
        ),
        (
            {"bool": {"must_not": [{"range": {"n": {"lt": 5}}}]}},
            "match on prohibited clause (n:[* TO 5})",
        ),
        (
            {
                "bool": {
                    "should": [{"term": {"tag": "x"}}, {"term": {"tag": "z"}}],
                    "minimum_should_match": 2,
                }
            },
            "Failure to match minimum number of optional clauses: 2",
        ),
        (
            {"constant_score": {"filter": {"prefix": {"title": "la"}}}},
            "ConstantScore(title:la*) doesn't match id 0",
        ),
        ({"dis_max": {"queries": [{"match": {"title": "dog"}}]}}, "No matching clause"),
    ],
)
def test_what_does_not_match_says_why(
    searcher: Searcher, query: dict[str, Any], reason: str
) -> None:
    explanation = explain(searcher, "a", query)
    assert not explanation.is_match
    assert explanation.value == 0
    assert reason in descriptions(explanation)


def test_near_words_show_what_they_stand_for(searcher: Searcher) -> None:
    found = descriptions(explain(searcher, "a", {"fuzzy": {"title": "quickk"}}))
    assert found[0] == "weight(title:quick^0.8 in 0) [BM25], result of:"


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ({"prefix": {"title": "q"}}, ["quick"]),
        ({"wildcard": {"title": "*o*"}}, ["brown", "fox"]),
        ({"regexp": {"title": "fo[xy]"}}, ["fox"]),
        ({"prefix": {"tag": ""}}, ["x", "y"]),
        ({"range": {"n": {"gte": 1}}}, []),
    ],
)
def test_patterns_show_the_terms_that_they_stand_for(
    searcher: Searcher, query: dict[str, Any], terms: list[str]
) -> None:
    details = explain(searcher, "a", query).details
    found = [detail.description.split(",")[0].split(":")[1] for detail in details]
    assert found == terms


def test_the_best_and_the_others_are_shown(searcher: Searcher) -> None:
    queries = [{"term": {"tag": "x"}}, {"term": {"title": "fox"}}]
    query = {"dis_max": {"queries": queries, "tie_breaker": 0.5}}
    assert explain(searcher, "a", query).description == "max plus 0.5 times others of:"
