"""What must hold between the answers to related queries, whatever the documents are."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from index.query.parse_json import parse_search
from tests.index.search_world import World

Query = dict[str, Any]
Scores = dict[bytes, float]


def scores(world: World, query: Query, **more: Any) -> Scores:
    """Return the score of every hit."""
    searcher = world.searcher()
    hits = searcher.search(parse_search({"query": query, "size": 10_000, **more})).hits
    return {searcher.key(hit): hit.score or 0.0 for hit in hits}


def everything(world: World) -> set[bytes]:
    return set(world.oracle.live)


def combined(**parts: list[Query]) -> Query:
    return {"bool": parts}


relation = given(seed=st.integers(0, 2**32))
few = settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
ROUNDS = 8


@few
@relation
def test_and_or_not_are_intersection_union_complement(seed: int) -> None:
    world = World(seed)
    for _ in range(ROUNDS):
        a, b = world.query(), world.query()
        in_a, in_b = set(scores(world, a)), set(scores(world, b))
        assert set(scores(world, combined(must=[a, b]))) == in_a & in_b, (a, b)
        assert set(scores(world, combined(should=[a, b]))) == in_a | in_b, (a, b)
        assert set(scores(world, combined(must=[a], must_not=[b]))) == in_a - in_b, (a, b)
        assert set(scores(world, combined(must_not=[a]))) == everything(world) - in_a, a
        twice = combined(must_not=[combined(must_not=[a])])
        assert set(scores(world, twice)) == in_a, a


@few
@relation
def test_scores_add_up_scale_and_are_picked(seed: int) -> None:
    world = World(seed)
    for _ in range(ROUNDS):
        a, b = world.query(), world.query()
        of_a, of_b = scores(world, a), scores(world, b)
        either = of_a.keys() | of_b.keys()
        total = {key: of_a.get(key, 0.0) + of_b.get(key, 0.0) for key in either}
        greatest = {key: max(of_a.get(key, 0.0), of_b.get(key, 0.0)) for key in either}
        assert scores(world, combined(should=[a, b])) == pytest.approx(total, rel=1e-5)
        pair: Query = {"queries": [a, b]}
        assert scores(world, {"dis_max": pair}) == pytest.approx(greatest, rel=1e-5)
        added = scores(world, {"dis_max": {**pair, "tie_breaker": 1}})
        assert added == pytest.approx(total, rel=1e-5)
        tripled = {key: 3 * score for key, score in of_a.items()}
        boosted: Query = {"bool": {"must": [a], "boost": 3}}
        assert scores(world, boosted) == pytest.approx(tripled, rel=1e-5)
        constant = {"constant_score": {"filter": a, "boost": 2.5}}
        assert scores(world, constant) == dict.fromkeys(of_a, 2.5)


@few
@relation
def test_filters_take_away_and_never_score(seed: int) -> None:
    world = World(seed)
    for _ in range(ROUNDS):
        a, b = world.query(), world.query()
        of_a, in_b = scores(world, a), scores(world, b).keys()
        kept = {key: score for key, score in of_a.items() if key in in_b}
        assert scores(world, combined(must=[a], filter=[b])) == pytest.approx(kept, rel=1e-5)
        assert scores(world, a, post_filter=b) == pytest.approx(kept, rel=1e-5)
        left = {key: score for key, score in of_a.items() if key not in in_b}
        assert scores(world, combined(must=[a], must_not=[b])) == pytest.approx(left, rel=1e-5)
        more = scores(world, combined(must=[a], should=[b]))
        assert more.keys() == of_a.keys(), (a, b)
        assert dict.fromkeys(in_b, 0.0) == scores(world, combined(filter=[b])), b


@few
@relation
def test_asking_more_never_finds_more(seed: int) -> None:
    world = World(seed)
    for _ in range(ROUNDS):
        clauses = [world.query() for _ in range(4)]
        found = [
            set(scores(world, {"bool": {"should": clauses, "minimum_should_match": n}}))
            for n in range(1, 5)
        ]
        assert found == sorted(found, key=len, reverse=True)
        assert all(less <= more for more, less in itertools.pairwise(found)), clauses
        assert found[3] == set(scores(world, combined(must=clauses))), clauses
        text, field = world.ask.words(), world.ask.text_field()
        phrases = [
            set(scores(world, {"match_phrase": {field: {"query": text, "slop": slop}}}))
            for slop in (0, 1, 4, 60)
        ]
        every = set(scores(world, {"match": {field: {"query": text, "operator": "and"}}}))
        some = set(scores(world, {"match": {field: text}}))
        chain = [*phrases, every, some]
        assert all(less <= more for less, more in itertools.pairwise(chain)), text


@few
@relation
def test_two_ways_of_asking_the_same_agree(seed: int) -> None:
    world = World(seed)
    for prefix in ("q", "ru", "", "É"):
        for field in ("title", "body", "tag"):
            asked = scores(world, {"prefix": {field: prefix}})
            assert asked == scores(world, {"wildcard": {field: f"{prefix}*"}})
    for low, middle in ((-3, 2), (0, 9)):
        below = set(scores(world, {"range": {"o.y": {"gte": low, "lt": middle}}}))
        above = set(scores(world, {"range": {"o.y": {"gte": middle}}}))
        assert below | above == set(scores(world, {"range": {"o.y": {"gte": low}}}))
        assert not below & above
    words = world.ask.words().split()
    alone = [{"term": {"tag": word}} for word in words]
    assert scores(world, {"terms": {"tag": words}}).keys() == (
        scores(world, combined(should=alone)).keys()
    )


@few
@relation
def test_flushes_merges_and_reopening_change_no_answer(seed: int) -> None:
    world = World(seed)
    queries = [world.query() for _ in range(20)]
    before = [scores(world, query) for query in queries]
    for _ in range(4):
        world.change_layout()
        for query, expected in zip(queries, before, strict=True):
            found = scores(world, query)
            assert found.keys() == expected.keys(), query
            assert found == pytest.approx(expected, rel=1e-6), query


@few
@relation
def test_pages_together_are_the_whole(seed: int) -> None:
    world = World(seed)
    for _ in range(ROUNDS):
        query = world.query()
        searcher = world.searcher()
        whole = [
            searcher.key(hit)
            for hit in searcher.search(parse_search({"query": query, "size": 200})).hits
        ]
        pages = [
            searcher.key(hit)
            for first in range(0, 200, 17)
            for hit in searcher.search(
                parse_search({"query": query, "from": first, "size": min(17, 200 - first)})
            ).hits
        ]
        assert pages == whole, query
        assert searcher.count(parse_search({"query": query}).query) == len(scores(world, query))


@few
@relation
def test_a_document_that_is_written_again_changes_nothing_but_its_place(seed: int) -> None:
    world = World(seed)
    queries = [world.query() for _ in range(10)]
    before = [scores(world, query) for query in queries]
    world.rewrite()
    for query, expected in zip(queries, before, strict=True):
        assert scores(world, query) == pytest.approx(expected, rel=1e-6), query
