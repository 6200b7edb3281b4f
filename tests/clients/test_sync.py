from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import islice
from typing import TypeVar

import pytest
from aiohttp import web

from tailrace_client import Client, NotFoundError
from tests.clients.fake import FakeServer, hit, send

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run a synchronous client's work while the fake server goes on in this loop."""
    return await asyncio.to_thread(work)


async def test_a_search_answers(server: FakeServer) -> None:
    server.answers["POST", "/a/_count"] = (200, {"count": 7})

    def work() -> int:
        with Client(server.url) as client:
            return client.count("a", "x")

    assert await in_thread(work) == 7


async def test_errors_are_those_of_the_asynchronous_client(server: FakeServer) -> None:
    error = {"error": {"type": "index_not_found_exception", "reason": "no such index [a]"}}
    server.answers["DELETE", "/a"] = (404, error)

    def work() -> None:
        with Client(server.url) as client, pytest.raises(NotFoundError, match="no such index"):
            client.delete_index("a")

    await in_thread(work)


async def test_live_resumes_and_ends_with_the_loop(server: FakeServer) -> None:
    server.scripts = [send(hit("1", "0-1")), send(hit("1", "0-1"), hit("2", "0-2"))]

    def work() -> list[str]:
        with Client(server.url) as client:
            return [event.token for event in islice(client.live("a", "x"), 2)]

    assert await in_thread(work) == ["0-1", "0-2"]
    assert server.subscriptions[1]["after"] == "0-1"


async def test_closing_ends_a_live_query_of_another_thread(server: FakeServer) -> None:
    async def wait(socket: web.WebSocketResponse, _request: object) -> None:
        await socket.send_json(hit("1", "0-1"))
        await socket.receive()

    server.scripts = [wait]
    client = Client(server.url)
    has_begun = threading.Event()

    def follow() -> list[str]:
        tokens = []
        for event in client.live("a", "x"):
            tokens.append(event.token)
            has_begun.set()
        return tokens

    following = asyncio.create_task(in_thread(follow))
    await in_thread(has_begun.wait)
    await in_thread(client.close)
    assert await following == ["0-1"]


async def test_a_closed_client_says_so(server: FakeServer) -> None:
    client = Client(server.url)
    await in_thread(client.close)
    await in_thread(client.close)
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.info()
