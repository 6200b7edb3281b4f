"""What a query means and costs, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import Client

BOOKS = {
    "1": {"title": "the quick brown fox", "year": 2001, "tags": ["animal", "fast"]},
    "2": {"title": "the lazy brown dog", "year": 2003, "tags": ["animal"]},
}


@pytest.fixture
async def books(client: Client) -> Client:
    await client.put("books", BOOKS)
    return client


async def test_explain_says_why_a_document_matches(books: Client) -> None:
    body = {"query": {"match": {"title": "fox"}}}
    [hit] = (await books.ok("POST", "/books/_search", body))["hits"]["hits"]
    answer = await books.ok("POST", "/books/_explain/1", body)
    assert (answer["_index"], answer["_id"], answer["matched"]) == ("books", "1", True)
    assert answer["explanation"]["value"] == pytest.approx(hit["_score"])
    assert answer["explanation"]["description"].startswith("weight(title:fox in ")


async def test_explain_says_why_a_document_does_not_match(books: Client) -> None:
    answer = await books.ok("GET", "/books/_explain/2?q=title:fox")
    assert answer["matched"] is False
    assert answer["explanation"]["description"] == "no matching term: title:fox"


async def test_explain_shows_the_document_where_it_is_asked_to(books: Client) -> None:
    answer = await books.ok("GET", "/books/_explain/1?q=fox&_source_includes=year")
    assert answer["get"]["_source"] == {"year": 2001}


async def test_explain_of_what_is_not_there(books: Client) -> None:
    status, answer = await books.call("GET", "/books/_explain/nope?q=fox")
    assert (status, answer) == (404, {"_index": "books", "_id": "nope", "matched": False})
    assert (await books.call("GET", "/nope/_explain/1?q=fox"))[0] == 404
    assert (await books.call("GET", "/books/_explain/1"))[0] == 400
    assert (await books.call("POST", "/books/_explain/1", {"size": 1}))[0] == 400


async def test_a_search_explains_its_hits(books: Client) -> None:
    body = {"query": {"match": {"title": "brown fox"}}, "explain": True}
    answer = await books.ok("POST", "/books/_search", body)
    for hit in answer["hits"]["hits"]:
        assert hit["_explanation"]["value"] == pytest.approx(hit["_score"])
        assert hit["_shard"] == "[books][0]"
    assert answer["profile"]["shards"]


async def test_a_profile_shows_the_plan_and_what_each_part_costs(books: Client) -> None:
    must = [{"match": {"title": "brown fox"}}, {"prefix": {"tags": "fa"}}]
    body = {"query": {"bool": {"must": must}}, "profile": True}
    answer = await books.ok("POST", "/books/_search", body)
    assert "_explanation" not in answer["hits"]["hits"][0]
    [shard] = answer["profile"]["shards"]
    [search] = shard["searches"]
    assert search["rewrite_time"] > 0
    assert search["asked"] == "+(title:brown title:fox) +tags:fa*"
    [part] = search["query"]
    assert part["type"] == "BooleanQuery"
    assert part["time_in_nanos"] > 0
    assert part["documents"] == 1
    found = {child["description"]: child for child in part["children"]}
    assert found["tags:fa*"]["documents"] == 1
    assert found["title:brown title:fox"]["estimated_documents"] == 3
    terms = [child["description"] for child in found["title:brown title:fox"]["children"]]
    assert terms == ["title:brown", "title:fox"]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"match": {"title": "Quick FOX"}}, "title:quick title:fox"),
        ({"match_phrase": {"title": {"query": "brown fox", "slop": 2}}}, 'title:"brown fox"~2'),
        ({"range": {"year": {"gt": 1, "lte": 5}}}, "year:{1 TO 5]"),
        ({"bool": {"must_not": {"term": {"tags": {"value": "x", "boost": 2}}}}}, "-tags:x^2"),
        ({"constant_score": {"filter": {"exists": {"field": "year"}}, "boost": 3}},
         "ConstantScore(FieldExistsQuery [field=year])^3"),
    ],
)  # fmt: skip
async def test_validate_says_what_a_query_means(
    books: Client, query: dict[str, Any], text: str
) -> None:
    answer = await books.ok("POST", "/books/_validate/query?explain=true", {"query": query})
    assert answer["explanations"] == [{"index": "books", "valid": True, "explanation": text}]


async def test_validate_says_what_is_left_of_a_query(books: Client) -> None:
    path = "/books/_validate/query?rewrite=true"
    answer = await books.ok("POST", path, {"query": {"match": {"title": "fox zebra"}}})
    assert answer["explanations"][0]["explanation"] == "title:fox"


async def test_validate_asks_every_index(books: Client) -> None:
    await books.put("words", {"1": {"year": "not a number"}})
    query = {"query": {"range": {"year": {"gte": "often"}}}}
    answer = await books.ok("POST", "/books,words/_validate/query?explain=true", query)
    assert answer["valid"] is False
    assert {entry["index"]: entry["valid"] for entry in answer["explanations"]} == {
        "books": False,
        "words": True,
    }


async def test_a_search_ends_with_its_timeout(books: Client) -> None:
    body = {"query": {"match": {"title": "fox"}}, "timeout": "0ms"}
    answer = await books.ok("POST", "/books/_search", body)
    assert answer["timed_out"] is True
    assert answer["hits"]["total"]["relation"] == "gte"
    answer = await books.ok("POST", "/books/_search", body | {"timeout": "10s"})
    assert answer["timed_out"] is False
    assert answer["hits"]["total"] == {"value": 1, "relation": "eq"}


async def test_each_search_of_many_has_a_timeout_of_its_own(books: Client) -> None:
    lines = '{}\n{"timeout": "0ms"}\n{}\n{"timeout": "10s"}\n'
    answer = await books.ok("POST", "/books/_msearch", lines)
    assert [one["timed_out"] for one in answer["responses"]] == [True, False]


async def test_a_count_that_does_not_end_in_time_is_an_error(books: Client) -> None:
    status, answer = await books.call("GET", "/books/_count?q=fox&timeout=0ms")
    assert (status, answer["error"]["type"]) == (504, "timeout_exception")


async def test_a_count_may_end_early(books: Client) -> None:
    answer = await books.ok("GET", "/books/_count?q=brown&terminate_after=1")
    assert (answer["count"], answer["terminated_early"]) == (1, True)
    answer = await books.ok("GET", "/books/_count?q=brown&terminate_after=9")
    assert answer["count"] == 2
    assert "terminated_early" not in answer
