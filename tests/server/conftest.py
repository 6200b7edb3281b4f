from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from consumers.log import EmbeddedLog, EmbeddedSource
from pipeline.feed import Feed, FeedRequest
from pipeline.node import Node
from server.app import create_app
from server.limits import Limits


async def open_feed(request: FeedRequest) -> Feed:
    """The embedded log under every index, as `tailrace serve` has it without Kafka."""
    log = EmbeddedLog(request.path / "log", request.n_shards, topic=request.index)
    dead = EmbeddedLog(request.path / "dlq", 1, topic=f"{request.index}.dlq")
    return Feed(log=log, dead_letters=dead, source=EmbeddedSource(log))


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path, open_feed=open_feed)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def server(node: Node, limits: Limits) -> AsyncIterator[TestServer]:
    async with TestServer(create_app(node, limits)) as server:
        yield server


class Client:
    """A few words for requests, over a real socket."""

    def __init__(self, http: TestClient[Any, Any]) -> None:
        self.http = http

    async def call(
        self, method: str, path: str, body: Any = None, **options: Any
    ) -> tuple[int, Any]:
        """Return (status, body), the body parsed where it is JSON."""
        data = body if isinstance(body, bytes | str | None) else orjson.dumps(body)
        async with self.http.request(method, path, data=data, **options) as response:
            return response.status, await read(response)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        status, answer = await self.call(method, path, body, **options)
        assert status < 400, answer
        return answer

    async def put(self, index: str, docs: dict[str, dict[str, Any]]) -> str:
        """Index documents, wait until they are searchable, and return the token."""
        lines: list[bytes] = []
        for key, source in docs.items():
            lines += [orjson.dumps({"index": {"_id": key}}), orjson.dumps(source)]
        answer = await self.ok("POST", f"/{index}/_bulk?refresh=true", b"\n".join(lines) + b"\n")
        assert not answer["errors"], answer
        return str(answer["_token"])

    async def found(self, path: str, body: Any = None) -> list[str]:
        """Return the ids that a search finds, in its order."""
        answer = await self.ok("POST", path, body)
        return [hit["_id"] for hit in answer["hits"]["hits"]]


async def read(response: ClientResponse) -> Any:
    data = await response.read()
    return orjson.loads(data) if response.content_type == "application/json" else data.decode()


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[Client]:
    async with TestClient(server) as http:
        yield Client(http)


async def eventually(check: Any, seconds: float = 10.0) -> None:
    """Wait until `check` holds: for what has no event to wait for."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
