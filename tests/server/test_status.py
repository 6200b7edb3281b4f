from __future__ import annotations

from consumers.source import DataGapError
from pipeline.node import Node
from tests.server.conftest import Client


async def test_it_says_where_each_shard_stands(client: Client) -> None:
    await client.put("books", {"1": {"n": 1}})
    await client.ok("POST", "/books/_flush")
    status = await client.ok("GET", "/_status")
    assert status["ready"] is True
    books = status["indexes"]["books"]
    assert books["problems"] == []
    shard = books["shards"]["0"]
    assert (shard["state"], shard["searchable_offset"], shard["durable_offset"]) == (
        "serving",
        1,
        1,
    )
    assert shard["gaps"] == []


async def test_a_data_gap_is_told_with_its_offsets(client: Client, node: Node) -> None:
    await client.put("books", {"1": {"n": 1}})
    await node.indexes["books"].fail_partition(0, DataGapError("books", 0, 1, 5))
    status, text = await client.call("GET", "/readyz")
    assert status == 503
    assert "books/0: books:0 begins at offset 5" in text
    told = await client.ok("GET", "/_status")
    shard = told["indexes"]["books"]["shards"]["0"]
    assert shard["state"] == "halted"
    failure = shard["failure"]
    assert (failure["cause"], failure["from"], failure["to"]) == ("DataGapError", 1, 5)
    assert await client.found("/books/_search") == ["1"]


async def test_a_skipped_gap_is_told(client: Client, node: Node) -> None:
    await client.put("books", {"1": {"n": 1}})
    await node.indexes["books"].skip_gap(0, 5)
    told = await client.ok("GET", "/_status")
    (gap,) = told["indexes"]["books"]["shards"]["0"]["gaps"]
    assert (gap["from"], gap["to"]) == (1, 5)
    assert (await client.call("GET", "/readyz"))[0] == 200
