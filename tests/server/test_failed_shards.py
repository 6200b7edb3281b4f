"""What HTTP clients learn of a shard that is damaged and cannot be rebuilt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer

from consumers.log import EmbeddedLog, EmbeddedSource, LogOptions
from index.directory import FsDirectory
from pipeline.feed import Feed, FeedRequest
from pipeline.node import Node
from pipeline.shard import ShardState
from server.app import create_app
from tests.server.conftest import Client

N_DOCS = 30


async def open_feed(request: FeedRequest) -> Feed:
    """A log of many small files, which is cut behind the checkpoint."""
    options = LogOptions(file_bytes=64)
    log = EmbeddedLog(request.path / "log", request.n_shards, topic=request.index, options=options)
    dead = EmbeddedLog(request.path / "dlq", 1, topic=f"{request.index}.dlq")
    return Feed(log=log, dead_letters=dead, source=EmbeddedSource(log), is_local=True)


async def fill(data: Path) -> None:
    """Leave an index of two shards whose log no longer has what the first flush took."""
    node = Node(data, open_feed=open_feed)
    await node.start()
    index = await node.create_index("docs", {"settings": {"number_of_shards": 2}})
    async with TestClient(TestServer(create_app(node))) as http:
        for part in range(3):
            docs = {f"k{n}": {"n": n} for n in range(part, N_DOCS, 3)}
            await Client(http).put("docs", docs)
            await index.flush()
    await node.stop()


def damage(data: Path, shard: int) -> None:
    file = sorted((data / "indexes" / "docs" / "shards" / str(shard)).glob("*.seg"))[0]
    bytes_ = bytearray(file.read_bytes())
    bytes_[100] ^= 1
    file.write_bytes(bytes_)


@pytest.fixture
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    await fill(tmp_path)
    for shard in request.param:
        damage(tmp_path, shard)
    node = Node(tmp_path, open_feed=open_feed)
    await node.start()
    shards = node.indexes["docs"].shards
    async with asyncio.timeout(20):
        while len(shards) < 2 or sorted(node.indexes["docs"].failures()) != request.param:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        while any(shards[number].state is not ShardState.FAILED for number in request.param):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    async with TestClient(TestServer(create_app(node))) as http:
        yield Client(http)
    await node.stop()


one = pytest.mark.parametrize("client", [[1]], indirect=True)
both = pytest.mark.parametrize("client", [[0, 1]], indirect=True)


@one
async def test_a_search_says_which_shard_failed_and_why(client: Client) -> None:
    answer = await client.ok("POST", "/docs/_search", {"size": 100})
    shards = answer["_shards"]
    assert (shards["total"], shards["successful"], shards["failed"]) == (2, 1, 1)
    (failure,) = shards["failures"]
    assert (failure["index"], failure["shard"]) == ("docs", 1)
    assert failure["reason"]["type"] == "unavailable_shards_exception"
    assert "checksum" in failure["reason"]["reason"]
    assert "cannot be rebuilt: restore" in failure["reason"]["reason"]
    assert 0 < answer["hits"]["total"]["value"] < N_DOCS
    count = await client.ok("GET", "/docs/_count")
    assert count["count"] == answer["hits"]["total"]["value"]
    assert count["_shards"]["failed"] == 1


@one
async def test_a_search_that_wants_all_shards_or_none_gets_none(client: Client) -> None:
    status, answer = await client.call("GET", "/docs/_search?allow_partial_search_results=false")
    assert status == 503
    assert answer["error"]["type"] == "search_phase_execution_exception"


@one
async def test_documents_of_the_failed_shard_are_not_said_to_be_missing(client: Client) -> None:
    found = [await client.call("GET", f"/docs/_doc/k{n}") for n in range(N_DOCS)]
    statuses = [status for status, _ in found]
    assert set(statuses) == {200, 503}
    total = await client.ok("GET", "/docs/_count")
    assert statuses.count(200) == total["count"]


@one
async def test_items_for_the_failed_shard_are_refused_and_the_others_taken(client: Client) -> None:
    lines = [
        line
        for n in range(N_DOCS)
        for line in (orjson.dumps({"index": {"_id": f"k{n}"}}), orjson.dumps({"n": -n}))
    ]
    answer = await client.ok("POST", "/docs/_bulk", b"\n".join(lines) + b"\n")
    statuses = {item["index"]["status"] for item in answer["items"]}
    assert statuses == {200, 503}
    (reason, *_) = (i["index"]["error"] for i in answer["items"] if i["index"]["status"] == 503)
    assert reason["type"] == "unavailable_shards_exception"


@one
async def test_the_state_of_the_shard_can_be_read(client: Client) -> None:
    status, _ = await client.call("GET", "/readyz")
    assert status == 503
    answer = await client.ok("GET", "/_status")
    shard = answer["indexes"]["docs"]["shards"]["1"]
    assert shard["state"] == "failed"
    assert shard["failure"]["type"] == "corruption_exception"
    assert (await client.call("GET", "/metrics"))[0] == 200
    assert (await client.call("GET", "/_cat/indices"))[0] == 200
    health = await client.ok("GET", "/_cluster/health")
    assert health["status"] == "red"
    assert (health["active_shards"], health["unassigned_shards"]) == (1, 1)
    await client.ok("POST", "/docs/_flush")
    assert (await client.call("GET", "/docs/_stats"))[0] == 200


@both
async def test_a_search_over_failed_shards_alone_is_an_error(client: Client) -> None:
    for path in ("/docs/_search", "/docs/_count"):
        status, answer = await client.call("GET", path)
        assert status == 503
        assert answer["error"]["type"] == "search_phase_execution_exception"
        assert "all shards failed" in answer["error"]["reason"]


@one
async def test_nothing_of_a_damaged_shard_is_touched(client: Client, tmp_path: Path) -> None:
    names = FsDirectory(tmp_path / "indexes" / "docs" / "shards" / "1").list()
    assert not [name for name in names if name.endswith(".bad")]
