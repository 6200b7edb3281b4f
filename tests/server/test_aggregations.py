"""Aggregations over HTTP: what opensearch-py sees, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestServer
from opensearchpy import OpenSearch

from tests.server.conftest import Client

MAPPING = {
    "mappings": {
        "properties": {
            "title": {"type": "text"},
            "kind": {"type": "keyword"},
            "tags": {"type": "keyword"},
            "price": {"type": "double"},
            "n": {"type": "long"},
            "at": {"type": "date"},
            "sold": {"type": "boolean"},
        }
    }
}
BOOKS: dict[str, dict[str, Any]] = {
    "1": {"title": "red river", "kind": "a", "tags": ["x", "y"], "price": 10.0, "n": 1,
          "at": "2024-01-01T00:30:00Z", "sold": True},
    "2": {"title": "blue river", "kind": "b", "tags": ["x"], "price": 20.0, "n": 2,
          "at": "2024-02-10", "sold": False},
    "3": {"title": "red sea", "kind": "a", "price": 30.0, "n": 2, "at": "2024-04-01"},
}  # fmt: skip
NEWS = {"4": {"title": "a river", "kind": "c", "tags": ["z"], "price": 40.0, "n": 7}}


@pytest.fixture
async def books(client: Client) -> Client:
    for index, docs in (("books", BOOKS), ("news", NEWS)):
        await client.ok("PUT", f"/{index}", MAPPING)
        await client.put(index, docs)
    return client


async def ask(client: Client, aggs: dict[str, Any], index: str = "books", **body: Any) -> Any:
    answer = await client.ok("POST", f"/{index}/_search", {"size": 0, "aggs": aggs, **body})
    return answer["aggregations"]


def counts(answer: dict[str, Any]) -> dict[Any, int]:
    return {bucket["key"]: bucket["doc_count"] for bucket in answer["buckets"]}


async def test_opensearch_py_reads_aggregations(books: Client, server: TestServer) -> None:
    body = {
        "size": 0,
        "query": {"match": {"title": "river sea"}},
        "aggs": {
            "kinds": {
                "terms": {"field": "kind"},
                "aggs": {"price": {"stats": {"field": "price"}}},
                "meta": {"shown": "as bars"},
            },
            "months": {"date_histogram": {"field": "at", "calendar_interval": "month"}},
        },
    }

    def search() -> Any:
        return OpenSearch(f"http://{server.host}:{server.port}").search(index="books", body=body)

    answer = await asyncio.to_thread(search)
    assert answer["hits"] == {
        "total": {"value": 3, "relation": "eq"}, "max_score": None, "hits": []
    }  # fmt: skip
    found = answer["aggregations"]
    assert found["kinds"]["meta"] == {"shown": "as bars"}
    assert found["kinds"]["buckets"][0] == {
        "key": "a",
        "doc_count": 2,
        "price": {"count": 2, "min": 10.0, "max": 30.0, "avg": 20.0, "sum": 40.0},
    }
    assert [
        (bucket["key_as_string"], bucket["doc_count"]) for bucket in found["months"]["buckets"]
    ] == [
        ("2024-01-01T00:00:00.000Z", 1),
        ("2024-02-01T00:00:00.000Z", 1),
        ("2024-03-01T00:00:00.000Z", 0),
        ("2024-04-01T00:00:00.000Z", 1),
    ]


async def test_several_indexes_are_one(books: Client) -> None:
    found = await ask(books, {"tags": {"terms": {"field": "tags"}}}, "books,news")
    assert counts(found["tags"]) == {"x": 2, "y": 1, "z": 1}
    found = await ask(books, {"p": {"sum": {"field": "price"}}}, "*")
    assert found["p"] == {"value": 100.0}


async def test_the_query_restricts_them_and_post_filter_does_not(books: Client) -> None:
    answer = await books.ok(
        "POST",
        "/books/_search",
        {
            "query": {"match": {"title": "red"}},
            "post_filter": {"term": {"n": 1}},
            "aggregations": {"n": {"terms": {"field": "n"}}, "g": {"global": {}}},
        },
    )
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["1"]
    assert counts(answer["aggregations"]["n"]) == {1: 1, 2: 1}
    assert answer["aggregations"]["g"] == {"doc_count": 3}


async def test_min_score_restricts_them(books: Client) -> None:
    body = {"query": {"constant_score": {"filter": {"match_all": {}}}}, "min_score": 2}
    found = await ask(books, {"n": {"value_count": {"field": "n"}}}, **body)
    assert found == {"n": {"value": 0}}


async def test_typed_keys_name_the_kind(books: Client) -> None:
    aggs = {
        "a": {"terms": {"field": "kind"}, "aggs": {"b": {"max": {"field": "at"}}}},
        "c": {"terms": {"field": "n"}},
        "d": {"terms": {"field": "price"}},
    }
    body = {"size": 0, "aggs": aggs}
    answer = await books.ok("POST", "/books/_search?typed_keys=true", body)
    assert list(answer["aggregations"]) == ["sterms#a", "lterms#c", "dterms#d"]
    assert "max#b" in answer["aggregations"]["sterms#a"]["buckets"][0]


async def test_msearch_answers_them(books: Client) -> None:
    lines = [{"index": "books"}, {"size": 0, "aggs": {"n": {"max": {"field": "n"}}}}]
    lines += [{"index": "news"}, {"size": 0, "aggs": {"n": {"frob": {}}}}]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    answers = (await books.ok("POST", "/_msearch", body))["responses"]
    assert answers[0]["aggregations"] == {"n": {"value": 2.0}}
    assert answers[1]["status"] == 400


async def test_the_first_page_of_a_scroll_has_them(books: Client) -> None:
    body = {"size": 2, "aggs": {"n": {"max": {"field": "n"}}}}
    page = await books.ok("POST", "/books/_search?scroll=1m", body)
    assert page["aggregations"] == {"n": {"value": 2.0}}
    more = await books.ok("POST", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
    assert "aggregations" not in more
    assert len(more["hits"]["hits"]) == 1


async def test_top_hits_are_the_best_of_each_bucket(books: Client) -> None:
    top = {"top_hits": {"size": 1, "sort": [{"price": "desc"}], "_source": ["n"]}}
    aggs = {"kinds": {"terms": {"field": "kind"}, "aggs": {"top": top}}}
    found = await ask(books, aggs, "books,news")
    best = {bucket["key"]: bucket["top"]["hits"]["hits"][0] for bucket in found["kinds"]["buckets"]}
    assert {key: hit["_id"] for key, hit in best.items()} == {"a": "3", "b": "2", "c": "4"}
    assert best["a"]["_source"] == {"n": 2}
    assert best["a"]["sort"] == [30.0]
    assert best["c"]["_index"] == "news"
    assert found["kinds"]["buckets"][0]["top"]["hits"]["total"] == {"value": 2, "relation": "eq"}


async def test_top_hits_come_by_score_where_nothing_else_is_asked(books: Client) -> None:
    search = {"size": 3, "query": {"match": {"title": "red river"}}}
    body = {**search, "aggs": {"best": {"top_hits": {"from": 1, "size": 2}}}}
    answer = await books.ok("POST", "/books/_search", body)
    best = answer["aggregations"]["best"]["hits"]
    assert best["hits"] == answer["hits"]["hits"][1:]
    assert best["max_score"] == answer["hits"]["max_score"]


async def test_a_field_that_is_not_there_gives_nothing(books: Client) -> None:
    aggs = {
        "terms": {"terms": {"field": "nope"}},
        "stats": {"stats": {"field": "nope"}},
        "dates": {"date_histogram": {"field": "nope", "fixed_interval": "1d"}},
        "range": {"range": {"field": "nope", "ranges": [{"to": 1}]}},
        "unlike": {"missing": {"field": "nope"}},
    }
    found = await ask(books, aggs)
    assert found["terms"]["buckets"] == found["dates"]["buckets"] == []
    assert found["stats"] == {"count": 0, "min": None, "max": None, "avg": None, "sum": 0.0}
    assert found["range"]["buckets"] == [{"key": "*-1.0", "to": 1.0, "doc_count": 0}]
    assert found["unlike"] == {"doc_count": 3}


async def test_booleans_and_dates_are_shown_as_text_too(books: Client) -> None:
    aggs = {
        "sold": {"terms": {"field": "sold", "missing": False}},
        "first": {"min": {"field": "at"}},
        "days": {"date_histogram": {"field": "at", "fixed_interval": "31d", "format": "yyyy/MM/dd",
                                    "min_doc_count": 1, "keyed": True, "time_zone": "+01:00"}},
        "old": {"date_range": {"field": "at", "format": "yyyy-MM", "ranges": [{"to": "2024-02"}]}},
    }  # fmt: skip
    found = await ask(books, aggs)
    assert [bucket["key_as_string"] for bucket in found["sold"]["buckets"]] == ["false", "true"]
    assert found["first"] == {"value": 1704069000000.0,
                              "value_as_string": "2024-01-01T00:30:00.000Z"}  # fmt: skip
    assert list(found["days"]["buckets"]) == ["2023/12/25", "2024/01/25", "2024/03/27"]
    assert found["old"]["buckets"][0]["key"] == "*-2024-02"


async def test_a_live_socket_answers_them(books: Client) -> None:
    async with books.http.ws_connect("/books/_live") as socket:
        body = {"size": 0, "aggs": {"n": {"max": {"field": "n"}}}}
        await socket.send_json({"op": "search", "id": "s", "body": body})
        answer = await socket.receive_json()
    assert answer["aggregations"] == {"n": {"value": 2.0}}


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"frob": {"field": "n"}}, "parsing_exception", "unknown aggregation type [frob]"),
    ({}, "parsing_exception", "needs an aggregation type"),
    ({"min": {"field": "n"}, "max": {"field": "n"}}, "parsing_exception", "several"),
    ({"terms": {}}, "parsing_exception", "needs [field]"),
    ({"terms": {"field": "n", "frob": 1}}, "parsing_exception", "unknown key [frob]"),
    ({"terms": {"field": "n", "size": 0}}, "parsing_exception", "greater than 0"),
    ({"terms": {"field": "n", "size": -1}}, "parsing_exception", "greater than 0"),
    ({"terms": {"field": "n", "include": "a.*"}}, "illegal_argument_exception", "pattern"),
    ({"terms": {"field": "kind", "include": "("}}, "parsing_exception", "("),
    ({"terms": {"field": "n", "order": {"x": "asc"}}}, "parsing_exception", "[x]"),
    ({"terms": {"field": "n", "order": {"_key": "up"}}}, "parsing_exception", "asc or desc"),
    ({"terms": {"field": "n", "missing": "x"}}, "parsing_exception", "number"),
    ({"terms": {"field": "title"}}, "illegal_argument_exception", "text fields are not optimised"),
    ({"terms": {"script": "1"}}, "parsing_exception", "scripts"),
    ({"avg": {"field": "kind"}}, "illegal_argument_exception", "[keyword] is not supported"),
    ({"avg": {"field": "n"}, "aggs": {"x": {"avg": {"field": "n"}}}}, "parsing_exception", "sub"),
    ({"histogram": {"field": "n"}}, "parsing_exception", "[interval]"),
    ({"histogram": {"field": "n", "interval": 0}}, "parsing_exception", "greater than 0"),
    ({"histogram": {"field": "n", "interval": -5}}, "parsing_exception", "greater than 0"),
    ({"histogram": {"field": "kind", "interval": 1}}, "illegal_argument_exception", "keyword"),
    ({"histogram": {"field": "price", "interval": 1e-300}}, "illegal_argument_exception", "small"),
    ({"histogram": {"field": "n", "interval": 1, "extended_bounds": {"min": 2, "max": 1}}},
     "parsing_exception", "above max"),
    ({"date_histogram": {"field": "at"}}, "parsing_exception", "fixed_interval"),
    ({"date_histogram": {"field": "at", "fixed_interval": "-1d"}}, "parsing_exception", "greater"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1M"}}, "parsing_exception", "1M"),
    ({"date_histogram": {"field": "at", "calendar_interval": "2d"}}, "parsing_exception", "2d"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1d", "time_zone": "Mars/Olympus"}},
     "parsing_exception", "time_zone"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1d", "time_zone": "../../etc/passwd"}},
     "parsing_exception", "time_zone"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1d", "format": "bbbb"}},
     "parsing_exception", "format"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1d", "missing": "soon"}},
     "parsing_exception", "soon"),
    ({"range": {"field": "n", "ranges": []}}, "parsing_exception", "is empty"),
    ({"range": {"field": "n", "ranges": [{"from": "x"}]}}, "parsing_exception", "number"),
    ({"filter": {"frob": {}}}, "parsing_exception", "frob"),
    ({"filters": {"filters": {}}}, "parsing_exception", "is empty"),
    ({"filter": {"match_all": {}}, "aggs": {"g": {"global": {}}}}, "parsing_exception", "top"),
    ({"cardinality": {"field": "n", "precision_threshold": -1}}, "parsing_exception", "negative"),
    ({"top_hits": {"size": 101}}, "parsing_exception", "at most"),
    ({"top_hits": {"query": {}}}, "parsing_exception", "query"),
    ({"top_hits": {"sort": "title"}}, "illegal_argument_exception", "title"),
    ({"date_histogram": {"field": "at", "fixed_interval": "1s"}},
     "too_many_buckets_exception", "65535"),
    ({"date_histogram": {"field": "at", "calendar_interval": "second",
                         "time_zone": "Europe/Berlin"}}, "too_many_buckets_exception", "65535"),
    ({"histogram": {"field": "n", "interval": 0.0001, "extended_bounds": {"max": 1e9}}},
     "too_many_buckets_exception", "65535"),
]  # fmt: skip


@pytest.mark.parametrize(("aggregation", "kind", "reason"), BAD)
async def test_bad_aggregations_are_refused(
    books: Client, aggregation: dict[str, Any], kind: str, reason: str
) -> None:
    body = {"size": 0, "aggs": {"a": aggregation}}
    status, answer = await books.call("POST", "/books/_search", body)
    assert status == 400, answer
    assert answer["error"]["type"] == answer["error"]["root_cause"][0]["type"] == kind
    assert reason in answer["error"]["reason"]


async def test_names_and_nesting_have_limits(books: Client) -> None:
    for aggs in ({"a[0]": {"missing": {"field": "n"}}}, {"": {"missing": {"field": "n"}}}, [1]):
        status, _ = await books.call("POST", "/books/_search", {"aggs": aggs})
        assert status == 400
    deep: dict[str, Any] = {}
    for _ in range(25):
        deep = {"aggs": {"a": {"missing": {"field": "n"}, **deep}}}
    status, _ = await books.call("POST", "/books/_search", deep)
    assert status == 400
    many = {f"a{i}": {"min": {"field": "n"}} for i in range(1025)}
    status, _ = await books.call("POST", "/books/_search", {"aggs": many})
    assert status == 400
    both = {"aggs": {}, "aggregations": {}}
    status, _ = await books.call("POST", "/books/_search", both)
    assert status == 400


async def test_fields_of_two_kinds_are_not_mixed(books: Client) -> None:
    await books.ok("PUT", "/odd", {"mappings": {"properties": {"n": {"type": "keyword"}}}})
    body = {"aggs": {"a": {"terms": {"field": "n"}}}}
    status, answer = await books.call("POST", "/books,odd/_search", body)
    assert status == 400
    assert "keyword in one index" in answer["error"]["reason"]
