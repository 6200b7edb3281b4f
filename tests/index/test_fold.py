"""What is left of a query: nothing that matches nothing, nothing that says nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from index.document import DocumentEvent, Op
from index.engine import Engine
from index.options import IndexOptions
from index.query.parse_json import parse_query
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.search_world import MAPPING, NOW_MS, views_of
from tests.index.storage_world import MemoryDirectory

FOX, DOG = {"term": {"title": "fox"}}, {"term": {"title": "dog"}}
RED, BIG = {"term": {"tag": "red"}}, {"range": {"n": {"gte": 5}}}
NONE: dict[str, Any] = {"term": {"title": "zebra"}}
ALL: dict[str, Any] = {"match_all": {}}


@pytest.fixture(scope="module")
def searcher() -> Searcher:
    views, ref = views_of([("a", {"title": "fox dog", "tag": "red", "n": 5})])
    return Searcher(views, ref.current, NOW_MS)


def both(**parts: Any) -> dict[str, Any]:
    return {"bool": parts}


@pytest.mark.parametrize(
    ("query", "left"),
    [
        (both(must=[FOX, NONE]), "MatchNoDocsQuery"),
        (both(must=FOX, filter=NONE), "MatchNoDocsQuery"),
        (both(should=[FOX, NONE]), "title:fox"),
        (both(must=FOX, must_not=NONE), "title:fox"),
        (both(must=FOX, must_not=ALL), "MatchNoDocsQuery"),
        ({"constant_score": {"filter": NONE}}, "MatchNoDocsQuery"),
        ({"dis_max": {"queries": [NONE, both(must=[NONE])]}}, "MatchNoDocsQuery"),
        (both(must=FOX, filter=ALL), "title:fox"),
        (both(filter=[RED, ALL]), "ConstantScore(tag:red)^0"),
        (both(must=ALL, filter=RED), "+*:* #tag:red"),
        (both(must=both(must=both(must=FOX))), "title:fox"),
        (both(must=[FOX, both(must=DOG, filter=RED)]), "+title:fox +title:dog #tag:red"),
        (both(must=FOX, filter=both(must=[DOG, RED])), "+title:fox #title:dog #tag:red"),
        (both(must=[both(must=FOX, should=DOG), RED]), "+title:fox +tag:red title:dog"),
        (both(must=FOX, filter=both(must=RED, should=DOG)), "+title:fox #tag:red"),
        (both(should=[FOX, both(should=[DOG, RED])]), "title:fox title:dog tag:red"),
        (both(must=FOX, must_not=both(should=[DOG, RED])), "+title:fox -title:dog -tag:red"),
        (both(must=FOX, must_not=both(must_not=RED)), "+title:fox #tag:red"),
        (both(must=FOX, must_not=both(must_not=[DOG, RED])), "+title:fox #(title:dog tag:red)"),
        (both(must=FOX, filter=[RED, RED, BIG, RED]), "+title:fox #tag:red #n:[5 TO *]"),
        (both(must=FOX, filter={"constant_score": {"filter": RED}}), "+title:fox #tag:red"),
        (both(must=FOX, filter={"dis_max": {"queries": [DOG, RED]}}),
         "+title:fox #(title:dog tag:red)"),
        (both(must=[FOX, FOX]), "+title:fox +title:fox"),
        ({"exists": {"field": "nope"}}, "MatchNoDocsQuery"),
    ],
)  # fmt: skip
def test_what_is_left_of_a_query(searcher: Searcher, query: dict[str, Any], left: str) -> None:
    assert searcher.rewritten(parse_query(query)) == left


def test_a_query_of_optional_clauses_alone_needs_one_of_them(searcher: Searcher) -> None:
    query = both(should=[NONE], minimum_should_match=0)
    assert searcher.count(parse_query(query)) == 0
    assert searcher.count(parse_query(both(should=[NONE], must=FOX))) == 1


def test_equal_values_of_different_types_are_different_filters(searcher: Searcher) -> None:
    filters = [{"term": {"tag": 1}}, {"term": {"tag": True}}]
    views, ref = views_of([("a", {"tag": ["1", "true"]}), ("b", {"tag": "1"})])
    other = Searcher(views, ref.current, NOW_MS)
    assert other.count(parse_query(both(filter=filters))) == 1


def numbers(least: int, most: int) -> list[tuple[str, dict[str, Any]]]:
    return [(f"{least}-{n}", {"n": n}) for n in range(least, most + 1)]


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        ({"gte": 0, "lte": 99}, "*:*"),
        ({"gte": 10, "lte": 29}, "*:*"),
        ({"gt": 29}, "MatchNoDocsQuery"),
        ({"lt": 10}, "MatchNoDocsQuery"),
        ({"gte": 11}, "n:[11 TO *]"),
    ],
)
def test_ranges_past_all_values_or_around_them_are_not_looked_at(
    bounds: dict[str, int], left: str
) -> None:
    ref = SchemaRef(Schema.from_mapping(MAPPING))
    engine = Engine.open(MemoryDirectory(), ref, IndexOptions())
    offset = 0
    for batch in (numbers(10, 19), numbers(20, 29)):
        events = [
            DocumentEvent(offset + i, Op.UPSERT, key.encode(), orjson.dumps(fields), fields)
            for i, (key, fields) in enumerate(batch)
        ]
        offset += len(batch)
        engine.apply(events, offset)
        job = engine.plan_flush()
        assert job is not None
        job.run()
        engine.install(job)
    segments = tuple(view for view in engine.views() if view.reader.n_docs)
    searcher = Searcher(segments, ref.current, NOW_MS)
    query = parse_query({"range": {"n": bounds}})
    assert searcher.rewritten(query) == left
    values = [n for n in range(10, 30) if _is_in(n, bounds)]
    assert searcher.count(query) == len(values)


def _is_in(n: int, bounds: dict[str, int]) -> bool:
    checks = {"gt": n.__gt__, "gte": n.__ge__, "lt": n.__lt__, "lte": n.__le__}
    return all(checks[name](bound) for name, bound in bounds.items())
