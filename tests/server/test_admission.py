"""Past its bounds the server refuses at once, says when to come back, and goes on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from index.errors import OverloadError
from pipeline.budget import Budget, Claim
from pipeline.node import Node, PipelineOptions
from server.app import create_app
from server.connections import start_listening
from server.limits import Limits
from tests.server.conftest import Client, open_feed

SMALL = Limits(in_flight_bytes=20_000, requests=3, stuck_s=0.2, connections=2)


def refused(body: Any) -> str:
    assert body["status"] == 429
    assert body["error"]["type"] == "rejected_execution_exception"
    return str(body["error"]["reason"])


def test_a_budget_refuses_what_does_not_fit_and_says_what_is_there() -> None:
    budget = Budget("writes", 100)
    with budget.held(80), pytest.raises(OverloadError, match="80 bytes of writes"):
        budget.require(30)
    assert (budget.n_bytes, budget.n_refused) == (0, 1)


def test_whatever_its_size_something_fits_where_nothing_else_is() -> None:
    budget = Budget("writes", 100)
    with budget.held(500), pytest.raises(OverloadError):
        budget.require(1)


def test_a_claim_grows_alone_past_the_bound_but_not_beside_others() -> None:
    budget = Budget("requests", 100)
    first, second = Claim(budget), Claim(budget)
    first.grow(90)
    first.grow(90)
    with pytest.raises(OverloadError):
        second.grow(1)
    first.release()
    second.grow(1)
    second.release()
    assert budget.n_bytes == 0


class Raw:
    """A connection that sends and reads only what a test says."""

    def __init__(self, server: TestServer) -> None:
        self._server = server

    async def __aenter__(self) -> Raw:
        assert self._server.port is not None
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def begin(self, path: str, n_bytes: int, sent: bytes) -> None:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {n_bytes}\r\n\r\n"
        self.writer.write(head.encode() + sent)

    async def status(self) -> int:
        line = await asyncio.wait_for(self.reader.readline(), 10)
        return int(line.split()[1])


@pytest.fixture
def limits() -> Limits:
    return SMALL


async def until(ask: Callable[[], Awaitable[Any]], is_so: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so(await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def held(client: Client) -> float:
    text = await client.ok("GET", "/metrics")
    start = 'tailrace_in_flight_bytes{what="requests"} '
    [line] = [line for line in text.splitlines() if line.startswith(start)]
    return float(line.removeprefix(start))


async def test_a_body_that_does_not_fit_beside_others_is_refused_before_it_is_read(
    server: TestServer, client: Client
) -> None:
    async with Raw(server) as slow:
        slow.begin("/docs/_bulk", 19_000, b" " * 15_000)
        await until(lambda: held(client), lambda n_bytes: n_bytes >= 15_000)
        async with client.http.request("POST", "/docs/_search", data=b" " * 9_000) as response:
            assert response.headers["Retry-After"] == "1"
            assert "15000 bytes of requests" in refused(orjson.loads(await response.read()))
        assert await slow.status() == 408  # the rest of it never comes
    status, _ = await client.call("PUT", "/docs/_doc/1", {"a": 1})
    assert status == 201
    assert await held(client) == 0


async def test_requests_above_the_bound_are_refused(server: TestServer, client: Client) -> None:
    waiting = [Raw(server) for _ in range(SMALL.requests)]
    for raw in waiting:
        await raw.__aenter__()
        raw.begin("/docs/_bulk", 100, b" ")
    await until(lambda: client.call("GET", "/"), lambda answer: answer[0] == 429)
    status, body = await client.call("GET", "/docs/_search")
    assert (status, refused(body)) == (429, "3 requests are under way, of at most 3")
    for path in ("/livez", "/readyz", "/metrics"):
        assert (await client.call("GET", path))[0] == 200
    for raw in waiting:
        await raw.__aexit__()
    await until(lambda: client.call("GET", "/"), lambda answer: answer[0] == 200)


async def test_an_answer_that_nobody_takes_ends_its_connection(
    server: TestServer, client: Client
) -> None:
    source = {"text": "x" * 500_000}
    for number in range(20):
        await client.ok("PUT", f"/docs/_doc/{number}?refresh=true", source)
    async with Raw(server) as stuck:
        stuck.begin("/docs/_search?size=20", 0, b"")
        await until(lambda: held(client), lambda n_bytes: n_bytes >= 10_000_000)
        await until(lambda: held(client), lambda n_bytes: n_bytes == 0)


async def test_searches_above_the_bound_are_refused(tmp_path: Path) -> None:
    options = PipelineOptions(max_waiting_searches=2, query_threads=1)
    node = Node(tmp_path, options, open_feed=open_feed)
    await node.start()
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)

    waiting = [asyncio.create_task(node.read(wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadError, match="2 searches wait"):
        await node.query_for(lambda stop: None, 1.0)
    go_on.set()
    await asyncio.gather(*waiting)
    assert await node.query_for(lambda stop: 7, 1.0) == 7
    assert node.searches() == (0, 1)
    await node.stop()


async def test_connections_above_the_bound_are_told_so(node: Node) -> None:
    runner = web.AppRunner(create_app(node, SMALL))
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    listening = await start_listening(runner, listener, most=SMALL.connections, backlog=8)
    port = listener.getsockname()[1]
    kept = []
    for _ in range(SMALL.connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await reader.readline()
        kept.append(writer)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    told = await asyncio.wait_for(reader.read(), 10)
    assert told.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in told
    assert orjson.loads(told.partition(b"\r\n\r\n")[2])["error"]["reason"] == (
        "2 connections are open"
    )
    for each in (writer, *kept):
        each.close()
    listening.close()
    await runner.cleanup()


async def test_a_bulk_of_too_many_actions_is_refused_whole(node: Node) -> None:
    app = create_app(node, Limits(bulk_actions=3))
    async with TestServer(app) as server, asyncio.timeout(10), TestClient(server) as http:
        action = b'{"delete":{"_id":"1","_version":3,"_version_type":"external"}}\n'
        async with http.post("/docs/_bulk", data=action * 4) as response:
            assert response.status == 413
        async with http.post("/docs/_bulk", data=action * 3) as response:
            assert len(orjson.loads(await response.read())["items"]) == 3
