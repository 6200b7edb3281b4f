"""opensearch-py, unmodified, against a real server on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from opensearchpy import AsyncOpenSearch, OpenSearch, helpers
from opensearchpy.exceptions import ConflictError, NotFoundError, RequestError


@pytest.fixture
def sync(server: TestServer) -> OpenSearch:
    return OpenSearch(f"http://{server.host}:{server.port}", http_compress=True)


@pytest.fixture
async def fast(server: TestServer) -> AsyncIterator[AsyncOpenSearch]:
    client = AsyncOpenSearch(f"http://{server.host}:{server.port}")
    yield client
    await client.close()


def use_the_sync_client(client: OpenSearch) -> None:
    assert client.ping()
    assert client.info()["version"]["distribution"] == "opensearch"
    mapping = {"properties": {"title": {"type": "text"}, "tags": {"type": "keyword"}}}
    assert client.indices.create(index="books", body={"mappings": mapping})["acknowledged"]
    assert client.indices.exists(index="books")
    assert not client.indices.exists(index="papers")
    made = client.index(index="books", body={"title": "one", "tags": ["a"]}, id="1", refresh=True)
    assert made["result"] == "created"
    with pytest.raises(ConflictError):
        client.create(index="books", id="1", body={"title": "again"})
    client.update(index="books", id="1", body={"doc": {"tags": ["a", "b"]}}, refresh="wait_for")
    assert client.get(index="books", id="1")["_source"] == {"title": "one", "tags": ["a", "b"]}
    assert client.get_source(index="books", id="1")["title"] == "one"
    assert client.exists(index="books", id="1")
    found = client.search(index="books", body={"query": {"term": {"tags": "b"}}})
    assert [hit["_id"] for hit in found["hits"]["hits"]] == ["1"]
    assert client.count(index="books")["count"] == 1
    assert client.mget(body={"ids": ["1", "2"]}, index="books")["docs"][1]["found"] is False
    answer = client.msearch(body=[{"index": "books"}, {"query": {"match_all": {}}}])
    assert answer["responses"][0]["hits"]["total"]["value"] == 1
    assert client.delete(index="books", id="1", refresh=True)["result"] == "deleted"
    with pytest.raises(NotFoundError):
        client.get(index="books", id="1")
    with pytest.raises(RequestError) as error:
        client.search(index="books", body={"query": {"frob": {}}})
    assert error.value.status_code == 400
    assert "frob" in error.value.info["error"]["reason"]


async def test_the_sync_client_works(sync: OpenSearch) -> None:
    await asyncio.to_thread(use_the_sync_client, sync)


def actions(n_docs: int) -> list[dict[str, Any]]:
    return [{"_index": "many", "_id": str(n), "_source": {"n": n}} for n in range(n_docs)]


def bulk_and_scan(client: OpenSearch) -> None:
    assert helpers.bulk(client, actions(2_500), refresh=True) == (2_500, [])
    body = {"query": {"range": {"n": {"gte": 100}}}}
    found = {hit["_id"] for hit in helpers.scan(client, body, index="many", size=300)}
    assert found == {str(n) for n in range(100, 2_500)}
    in_order = helpers.scan(
        client, {"sort": [{"n": "desc"}]}, index="many", preserve_order=True, size=1_000
    )
    assert [hit["_id"] for hit in in_order] == [str(n) for n in range(2_499, -1, -1)]
    wrong = [{"_index": "many", "_id": "x", "_source": {"n": "no number"}}, actions(1)[0]]
    n_done, errors = helpers.bulk(client, wrong, raise_on_error=False)
    assert n_done == 1
    assert errors[0]["index"]["status"] == 400
    results = list(helpers.parallel_bulk(client, actions(500), chunk_size=100, thread_count=2))
    assert all(ok for ok, _ in results)
    assert client.count(index="many")["count"] == 2_500


async def test_bulk_and_scan_helpers_work(sync: OpenSearch) -> None:
    await asyncio.to_thread(bulk_and_scan, sync)


async def test_the_async_client_works(fast: AsyncOpenSearch) -> None:
    assert (await fast.info())["version"]["number"]
    assert await helpers.async_bulk(fast, actions(1_000), refresh="wait_for") == (1_000, [])
    found = await fast.search(index="many", body={"query": {"term": {"n": 7}}})
    assert found["hits"]["hits"][0]["_id"] == "7"
    seen = [hit["_id"] async for hit in helpers.async_scan(fast, index="many", size=250)]
    assert sorted(seen, key=int) == [str(n) for n in range(1_000)]
    answers = await asyncio.gather(*(fast.get(index="many", id=str(n)) for n in range(50)))
    assert [answer["_source"]["n"] for answer in answers] == list(range(50))
    await fast.indices.delete(index="many")
    with pytest.raises(NotFoundError):
        await fast.search(index="many")


async def test_the_admin_calls_that_tools_make_work(fast: AsyncOpenSearch) -> None:
    await fast.index(index="books", body={"title": "one"}, refresh=True)
    assert (await fast.cluster.health())["status"] == "green"
    assert (await fast.cat.indices(format="json"))[0]["index"] == "books"
    assert "books" in await fast.indices.get_mapping(index="books")
    assert "books" in await fast.indices.get_settings(index="books")
    assert (await fast.indices.stats(index="books"))["indices"]["books"]
    await fast.indices.put_mapping(index="books", body={"properties": {"y": {"type": "long"}}})
    await fast.indices.refresh(index="books")
    await fast.indices.flush(index="books")
    await fast.indices.forcemerge(index="books", max_num_segments=1)
    tokens = await fast.indices.analyze(body={"text": "A word"})
    assert [token["token"] for token in tokens["tokens"]] == ["a", "word"]
    valid = await fast.indices.validate_query(index="books", body={"query": {"match_all": {}}})
    assert valid["valid"] is True
    deleted = await fast.delete_by_query(index="books", body={"query": {"match_all": {}}})
    assert deleted["deleted"] == 1
