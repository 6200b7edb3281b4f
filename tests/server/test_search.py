from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from pipeline.node import Node
from server.limits import Limits
from tests.server.conftest import Client

BOOKS = {
    "1": {"title": "the quick brown fox", "year": 2001, "tags": ["animal", "fast"]},
    "2": {"title": "the lazy brown dog", "year": 2003, "tags": ["animal"]},
    "3": {"title": "quick thinking", "year": 2002},
}


@pytest.fixture
async def books(client: Client) -> Client:
    await client.put("books", BOOKS)
    return client


async def test_a_search_answers_in_opensearchs_shape(books: Client) -> None:
    body = {"query": {"match": {"title": "fox"}}, "highlight": {"fields": {"title": {}}}}
    answer = await books.ok("POST", "/books/_search", body)
    assert answer["timed_out"] is False
    assert answer["_shards"] == {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
    assert answer["hits"]["total"] == {"value": 1, "relation": "eq"}
    [hit] = answer["hits"]["hits"]
    assert hit["_score"] == answer["hits"]["max_score"] > 0
    assert (hit["_index"], hit["_id"], hit["_source"]) == ("books", "1", BOOKS["1"])
    assert hit["highlight"] == {"title": ["the quick brown <em>fox</em>"]}


async def test_parameters_of_the_url_take_their_places(books: Client) -> None:
    assert await books.found("/books/_search?q=title:quick&sort=year:desc") == ["3", "1"]
    assert await books.found("/books/_search?q=quick brown&default_operator=AND") == ["1"]
    assert await books.found("/books/_search?sort=year&from=1&size=1") == ["3"]
    answer = await books.ok("GET", "/books/_search?q=fox&_source=year&version=true")
    [hit] = answer["hits"]["hits"]
    assert hit["_source"] == {"year": 2001}
    assert "_version" in hit
    answer = await books.ok("GET", "/books/_search?size=0&track_total_hits=false")
    assert answer["hits"] == {"max_score": None, "hits": []}
    answer = await books.ok(
        "GET", "/books/_search?rest_total_hits_as_int=true&filter_path=hits.total"
    )
    assert answer == {"hits": {"total": 3}}


async def test_a_get_may_carry_its_body_in_the_url(books: Client) -> None:
    source = orjson.dumps({"query": {"term": {"tags": "fast"}}}).decode()
    params = {"source": source, "source_content_type": "application/json"}
    answer = await books.ok("GET", "/books/_search", params=params)
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["1"]


async def test_fields_and_sort_values_are_shown(books: Client) -> None:
    body = {"sort": [{"year": "asc"}], "fields": ["tags", "y*"], "_source": False, "size": 1}
    [hit] = (await books.ok("POST", "/books/_search", body))["hits"]["hits"]
    assert hit["fields"] == {"year": [2001], "tags": ["animal", "fast"]}
    assert hit["sort"] == [2001]
    assert "_source" not in hit


async def test_several_indexes_are_searched_as_one(books: Client) -> None:
    await books.put("papers", {"a": {"title": "quick", "year": 2000}, "b": {"year": 2005}})
    assert await books.found("/books,papers/_search?sort=year") == ["a", "1", "3", "2", "b"]
    assert await books.found("/b*,p*/_search?sort=year:desc&from=1&size=2") == ["2", "3"]
    answer = await books.ok("GET", "/_search?q=quick")
    assert answer["hits"]["total"]["value"] == 3
    scores = [hit["_score"] for hit in answer["hits"]["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert {hit["_index"] for hit in answer["hits"]["hits"]} == {"books", "papers"}
    assert (await books.ok("GET", "/_all/_count"))["count"] == 5


async def test_missing_values_stay_where_the_sort_wants_them(books: Client) -> None:
    await books.put("papers", {"a": {"title": "no year"}, "b": {"title": "no year"}})
    body = {"sort": [{"year": {"order": "desc", "missing": "_first", "unmapped_type": "long"}}]}
    assert (await books.found("/books,papers/_search", body))[2:] == ["2", "3", "1"]
    body = {"sort": [{"year": {"order": "asc", "unmapped_type": "long"}}]}
    assert (await books.found("/books,papers/_search", body))[:3] == ["1", "3", "2"]


async def test_unknown_indexes_are_an_error_unless_ignored(books: Client) -> None:
    status, answer = await books.call("GET", "/nowhere/_search")
    assert (status, answer["error"]["type"]) == (404, "index_not_found_exception")
    assert answer["error"]["reason"] == "no such index [nowhere]"
    assert await books.found("/nowhere,books/_search?ignore_unavailable=true&sort=year&size=1") == [
        "1"
    ]
    empty = await books.ok("GET", "/no*/_search")
    assert empty["hits"]["total"]["value"] == 0


async def test_count_and_validate(books: Client) -> None:
    assert (await books.ok("GET", "/books/_count?q=brown"))["count"] == 2
    assert (await books.ok("POST", "/books/_count", {"query": {"match_none": {}}}))["count"] == 0
    assert (await books.ok("GET", "/books/_validate/query?q=brown"))["valid"] is True
    answer = await books.ok(
        "POST", "/books/_validate/query?explain=true", {"query": {"matsch": {}}}
    )
    assert answer["valid"] is False
    assert "matsch" in answer["explanations"][0]["error"]


async def test_msearch_answers_each_search_and_each_error(books: Client) -> None:
    lines = [
        {"index": "books"},
        {"query": {"match": {"title": "fox"}}},
        {"index": ["nowhere"]},
        {},
        {},
        {"query": {"frob": {}}},
    ]
    body = b"\n".join(map(orjson.dumps, lines)) + b"\n"
    first, second, third = (await books.ok("POST", "/books/_msearch", body))["responses"]
    assert (first["status"], first["hits"]["total"]["value"]) == (200, 1)
    assert (second["status"], second["error"]["type"]) == (404, "index_not_found_exception")
    assert third["status"] == 400


async def test_a_scroll_reads_its_snapshot_to_the_end(client: Client) -> None:
    await client.put("a", {f"a{n}": {"n": n} for n in range(25)})
    await client.put("b", {f"b{n}": {"n": n} for n in range(25)})
    for body in ({"sort": ["_doc"]}, {"sort": [{"n": "desc"}]}, {}):
        answer = await client.ok("POST", "/a,b/_search?scroll=1m&size=7", body)
        assert answer["hits"]["total"]["value"] == 50
        await client.put("a", {"late": {"n": 1000}})
        ids = []
        while answer["hits"]["hits"]:
            for hit in answer["hits"]["hits"]:
                ids.append(hit["_id"])
                assert len(hit.get("sort", [])) == len(body.get("sort", []))
            again = {"scroll": "1m", "scroll_id": answer["_scroll_id"]}
            answer = await client.ok("POST", "/_search/scroll", again)
        assert len(ids) == 50
        assert set(ids) == {f"{index}{n}" for index in "ab" for n in range(25)}
        freed = await client.ok("DELETE", "/_search/scroll", {"scroll_id": [answer["_scroll_id"]]})
        assert freed == {"succeeded": True, "num_freed": 1}
        await client.ok("DELETE", "/a/_doc/late?refresh=true")
    gone = {"scroll": "1m", "scroll_id": answer["_scroll_id"]}
    status, answer = await client.call("POST", "/_search/scroll", gone)
    assert (status, answer["error"]["type"]) == (404, "search_context_missing_exception")


class TestFewScrolls:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(scrolls=2)

    async def test_too_many_scrolls_are_refused(self, books: Client) -> None:
        for _ in range(2):
            await books.ok("POST", "/books/_search?scroll=1m")
        status, answer = await books.call("POST", "/books/_search?scroll=1m")
        assert (status, answer["error"]["type"]) == (429, "rejected_execution_exception")


async def test_searches_do_not_block_each_other_out(books: Client, node: Node) -> None:
    paths = ["/books/_search?q=brown", "/books/_search?q=fox", "/books/_count"] * 30
    answers = await asyncio.gather(*(books.ok("GET", path) for path in paths))
    assert all(answers)


async def test_indexes_are_made_shown_changed_and_deleted(client: Client) -> None:
    body = {
        "settings": {"number_of_shards": 2},
        "mappings": {"properties": {"title": {"type": "text", "analyzer": "english"}}},
    }
    answer = await client.ok("PUT", "/books", body)
    assert answer == {"acknowledged": True, "shards_acknowledged": True, "index": "books"}
    status, answer = await client.call("PUT", "/books", body)
    assert (status, answer["error"]["type"]) == (400, "resource_already_exists_exception")
    assert (await client.http.head("/books")).status == 200
    assert (await client.http.head("/nothing")).status == 404
    shown = (await client.ok("GET", "/books"))["books"]
    assert shown["mappings"]["properties"]["title"]["analyzer"] == "english"
    assert shown["settings"]["index"]["number_of_shards"] == "2"
    more = {"properties": {"year": {"type": "integer"}}}
    assert await client.ok("PUT", "/books/_mapping", more) == {"acknowledged": True}
    mapping = (await client.ok("GET", "/books/_mapping"))["books"]["mappings"]
    assert mapping["properties"]["year"] == {"type": "integer"}
    changed = {"properties": {"year": {"type": "text"}}}
    status, answer = await client.call("PUT", "/books/_mapping", changed)
    assert status == 400
    assert (await client.ok("GET", "/books/_settings"))["books"]["settings"]["index"]["uuid"]
    assert await client.ok("DELETE", "/books") == {"acknowledged": True}
    assert (await client.call("DELETE", "/books"))[0] == 404


async def test_refresh_flush_merge_and_stats(books: Client) -> None:
    for path in ("/books/_refresh", "/books/_flush", "/_refresh", "/books/_forcemerge"):
        assert (await books.ok("POST", path))["_shards"]["failed"] == 0
    stats = (await books.ok("GET", "/books/_stats"))["indices"]["books"]["primaries"]
    assert stats["docs"] == {"count": 3, "deleted": 0}
    assert stats["store"]["size_in_bytes"] > 0
    assert stats["segments"]["count"] == 1
    assert await books.found("/books/_search?q=fox") == ["1"]


async def test_analyze_shows_tokens_as_the_field_would_see_them(books: Client) -> None:
    answer = await books.ok("POST", "/_analyze", {"text": "Quick Foxes", "analyzer": "english"})
    assert [token["token"] for token in answer["tokens"]] == ["quick", "fox"]
    answer = await books.ok("POST", "/books/_analyze", {"text": ["A b", "c"], "field": "title"})
    tokens = [(t["token"], t["position"], t["start_offset"]) for t in answer["tokens"]]
    assert tokens == [("a", 0, 0), ("b", 1, 2), ("c", 102, 4)]
    assert (await books.call("POST", "/_analyze", {"text": 3}))[0] == 400
    assert (await books.call("POST", "/_analyze", {"text": "x", "analyzer": "klingon"}))[0] == 400


async def test_cat_is_text_for_people_and_json_for_programs(books: Client) -> None:
    text = await books.ok("GET", "/_cat/indices?v&h=index,docs.count")
    assert text == "index docs.count\nbooks 3\n"
    rows = await books.ok("GET", "/_cat/indices/books?format=json")
    assert rows[0]["docs.count"] == "3"
    assert (await books.ok("GET", "/_cat/count/books?h=count")) == "3\n"
    assert "green" in await books.ok("GET", "/_cat/health")
    assert (await books.call("GET", "/_cat/indices?h=colour"))[0] == 400
    assert (await books.call("GET", "/_cat/indices?format=xml"))[0] == 400
    assert "store.size" in await books.ok("GET", "/_cat/indices?help")


async def test_health_and_metrics(books: Client) -> None:
    assert await books.ok("GET", "/livez") == "ok\n"
    assert await books.ok("GET", "/readyz") == "ok\n"
    health = await books.ok("GET", "/_cluster/health?wait_for_status=green&timeout=5s")
    assert (health["status"], health["timed_out"], health["number_of_nodes"]) == ("green", False, 1)
    await wait_counted(books, 3)
    async with books.http.get("/metrics") as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        text = await response.text()
    assert "tailrace_ingest_to_searchable_seconds_bucket" in text
    assert text.endswith("# EOF\n")


async def test_freshness_is_percentiles_of_what_has_come_since_the_last_look(
    books: Client,
) -> None:
    await wait_observed(books, 3)
    await wait_counted(books, 3)  # the first look
    await books.put("books", {str(n): {"n": n} for n in range(50)})
    after = await wait_counted(books, 53)
    assert (after["documents"], after["total"]) == (50, 53)
    assert 0 < after["p50_ms"] <= after["p95_ms"] <= after["p99_ms"]
    assert after["per_second"] > 0


async def wait_observed(books: Client, total: int) -> None:
    """Wait until the histogram has `total` documents, without a look at the freshness."""
    async with asyncio.timeout(10):
        while True:
            async with books.http.get("/metrics") as response:
                lines = (await response.text()).splitlines()
            counts = [
                float(line.rsplit(" ", 1)[1])
                for line in lines
                if line.startswith("tailrace_ingest_to_searchable_seconds_count")
                and 'index="books"' in line
            ]
            if counts and min(counts) >= total:
                return
            await asyncio.sleep(0.01)


async def wait_counted(books: Client, total: int) -> dict[str, Any]:
    """Wait until the histogram has `total` documents: it counts a moment after they are
    searchable."""
    async with asyncio.timeout(10):
        while True:
            indexes = (await books.ok("GET", "/_freshness"))["indexes"]
            series = indexes.get("books", {}).get("consumed", {"total": 0})
            if series["total"] >= total:
                assert isinstance(series, dict)
                return series
            await asyncio.sleep(0.01)


async def test_what_is_not_built_is_refused(books: Client) -> None:
    assert (await books.call("POST", "/books/_search", {"rescore": {"query": {}}}))[0] == 400
    answer = await books.ok("GET", "/books/_validate/query?explain=true&q=fox")
    assert answer["valid"] is True


async def test_stats_of_a_metric(books: Client) -> None:
    answer = await books.ok("GET", "/books/_stats/docs,merge")
    assert set(answer["_all"]["total"]) == {"docs", "merges"}
    assert "store" in (await books.ok("GET", "/books/_stats/_all"))["_all"]["total"]
    assert (await books.call("GET", "/books/_stats/nonsense"))[0] == 400


async def test_json_may_be_as_deep_as_the_page_says(books: Client) -> None:
    query: dict[str, Any] = {"term": {"tags": "fast"}}
    for _ in range(9):
        query = {"bool": {"must": [query]}}
    await books.ok("POST", "/books/_search", {"query": query})
    deeper = {"query": {"bool": {"must": [query]}}}
    assert (await books.call("POST", "/books/_search", deeper))[0] == 400
    query = {"term": {"tags": "fast"}}
    for _ in range(14):
        query = {"bool": {"must": query}}
    await books.ok("POST", "/books/_search", {"query": query})


async def test_a_forced_merge_keeps_to_its_parameters(books: Client) -> None:
    for n in range(3):
        await books.put("books", {f"m{n}": {"n": n}})
        await books.ok("POST", "/books/_flush")
    await books.ok("POST", "/books/_forcemerge?max_num_segments=2")
    stats = (await books.ok("GET", "/books/_stats/merge"))["_all"]["total"]["merges"]
    assert stats["total"] >= 1
    assert stats["write_amplification"] > 1.0
    await books.ok("POST", "/books/_forcemerge?only_expunge_deletes=true")
    both = "/books/_forcemerge?only_expunge_deletes=true&max_num_segments=1"
    assert (await books.call("POST", both))[0] == 400
    assert (await books.call("POST", "/books/_forcemerge?max_num_segments=0"))[0] == 400
