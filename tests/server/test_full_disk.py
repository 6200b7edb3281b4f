"""What clients are told while the disk is full, and of shards that have failed."""

from __future__ import annotations

import pytest

from index.errors import StorageError
from pipeline.disk import DiskState
from pipeline.node import Node
from tests.server.conftest import Client

BULK = b'{"index":{"_id":"1"}}\n{"n":1}\n{"index":{"_id":"2"}}\n{"n":2}\n'


async def test_a_read_only_disk_refuses_writes_and_says_when_to_come_back(
    client: Client, node: Node
) -> None:
    await client.put("books", {"0": {"n": 0}})
    node.disk.state = DiskState.READ_ONLY
    async with client.http.put("/books/_doc/1", data=b'{"n":1}') as response:
        answer = await response.json()
        assert (response.status, response.headers["Retry-After"]) == (429, "10")
        assert answer["error"]["type"] == "cluster_block_exception"
    async with client.http.post("/books/_bulk", data=BULK) as response:
        answer = await response.json()
        assert (response.status, response.headers["Retry-After"]) == (200, "10")
        assert [item["index"]["status"] for item in answer["items"]] == [429, 429]
    body = {"properties": {"colour": {"type": "keyword"}}}
    assert (await client.call("PUT", "/books/_mapping", body))[0] == 429
    assert (await client.call("PUT", "/films"))[0] == 429
    assert await client.found("/books/_search") == ["0"]
    node.disk.state = DiskState.OPEN
    await client.put("books", {"1": {"n": 1}})


async def test_the_status_tells_what_has_stopped_and_why(client: Client, node: Node) -> None:
    await client.put("books", {"0": {"n": 0}})
    node.disk.state = DiskState.PAUSED
    node.indexes["books"].shards[0].fail(StorageError("input/output error"))
    status = await client.ok("GET", "/_status")
    assert status["disk"]["state"] == "paused"
    assert "partitions" in status["disk"]["stopped"]
    shard = status["indexes"]["books"]["shards"]["0"]
    assert (shard["state"], shard["failure"]["reason"]) == ("failed", "input/output error")
    metrics = await client.ok("GET", "/metrics")
    assert "tailrace_disk_state 2.0" in metrics
    assert 'tailrace_failed_shards{index="books"} 1.0' in metrics


@pytest.mark.parametrize("path", ["/books/_doc/1", "/books/_create/1"])
async def test_a_write_to_a_failed_shard_is_not_taken(
    client: Client, node: Node, path: str
) -> None:
    await client.put("books", {"0": {"n": 0}})
    index = node.indexes["books"]
    index.shards[0].fail(StorageError("input/output error"))
    status, answer = await client.call("PUT", path, {"n": 1})
    assert (status, answer["error"]["type"]) == (503, "unavailable_shards_exception")
    assert "input/output error" in answer["error"]["reason"]
    answer = await client.ok("POST", "/books/_bulk", BULK)
    assert [item["index"]["status"] for item in answer["items"]] == [503, 503]
    assert answer["errors"]
