from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing

import pytest
from aiohttp import web

from tailrace_client import (
    AsyncClient,
    BadRequestError,
    ConnectionFailedError,
    Entered,
    Event,
    Left,
    NotFoundError,
    Q,
    Snapshot,
)
from tests.clients.fake import FakeServer, hit, send, send_and_wait, snapshot


async def take(server: FakeServer, n: int, **options: object) -> list[Event]:
    events: list[Event] = []
    async with (
        AsyncClient(server.url) as client,
        aclosing(client.live("a", "x", **options)) as live,  # type: ignore[arg-type]
    ):
        async for event in live:
            events.append(event)
            if len(events) == n:
                break
    return events


async def test_hits_and_leaves_come_in_order(server: FakeServer) -> None:
    server.scripts = [
        send(snapshot("0-1"), hit("1", "0-2", t="x"), {"type": "leave", "_id": "1", "token": "0-3"})
    ]
    assert await take(server, 2) == [
        Entered("1", 1.0, {"t": "x"}, "0-2"),
        Left("1", "0-3"),
    ]
    assert server.subscriptions[0]["query"] == {"query_string": {"query": "x"}}
    assert "after" not in server.subscriptions[0]


async def test_a_lost_connection_resumes_behind_the_last_event(server: FakeServer) -> None:
    server.scripts = [
        send(snapshot("0-1"), hit("1", "0-2")),
        send(snapshot("0-2"), hit("2", "0-3")),
        send(snapshot("0-3"), hit("3", "0-4")),
    ]
    assert [event.token for event in await take(server, 3)] == ["0-2", "0-3", "0-4"]
    assert [request.get("after") for request in server.subscriptions] == [None, "0-2", "0-3"]


async def test_an_event_sent_again_is_given_out_once(server: FakeServer) -> None:
    server.scripts = [
        send(hit("1", "0-2"), hit("2", "0-2")),
        send(hit("1", "0-2"), hit("2", "0-2"), hit("1", "0-3")),
    ]
    events = await take(server, 3)
    assert [(event.kind, event.token) for event in events] == [
        ("hit", "0-2"),
        ("hit", "0-2"),
        ("hit", "0-3"),
    ]


async def test_a_snapshot_comes_only_where_asked_for(server: FakeServer) -> None:
    first = {"_id": "9", "_score": 3.0, "_source": {}}
    server.scripts = [
        send(snapshot("0-1", first), hit("1", "0-2")),
        send(snapshot("0-2", first), hit("2", "0-3")),
    ]
    events = await take(server, 3, snapshot=5)
    assert isinstance(events[0], Snapshot)
    assert [found.id for found in events[0].hits] == ["9"]
    assert [event.kind for event in events[1:]] == ["hit", "hit"]


async def test_a_gap_is_told_by_a_snapshot(server: FakeServer) -> None:
    first = {"_id": "9", "_score": 3.0, "_source": {}}
    server.scripts = [send({"type": "gap", "token": "0-8"}, snapshot("0-9", first))]
    events = await take(server, 1)
    assert isinstance(events[0], Snapshot)
    assert events[0].is_after_gap
    assert events[0].token == "0-9"


async def test_a_token_from_elsewhere_is_the_beginning(server: FakeServer) -> None:
    server.scripts = [send(hit("1", "0-8"))]
    await take(server, 1, after="0-7")
    assert server.subscriptions[0]["after"] == "0-7"


async def test_a_bad_query_raises_instead_of_reconnecting(server: FakeServer) -> None:
    server.scripts = [send({"type": "error", "status": 400, "reason": "no such clause"})]
    with pytest.raises(BadRequestError, match="no such clause"):
        await take(server, 1)


async def test_a_busy_server_is_asked_again(server: FakeServer) -> None:
    server.scripts = [
        send(hit("1", "0-1")),
        send({"type": "error", "status": 429, "reason": "too many"}),
        send(hit("2", "0-2")),
    ]
    assert [event.token for event in await take(server, 2)] == ["0-1", "0-2"]


async def test_a_missing_index_raises(server: FakeServer) -> None:
    with pytest.raises(NotFoundError):
        await take(server, 1)


async def test_nobody_listening_raises_at_the_first_connection() -> None:
    async with AsyncClient("http://127.0.0.1:1") as client:
        with pytest.raises(ConnectionFailedError):
            await anext(client.live("a", Q.match_all()))


async def test_leaving_the_loop_closes_the_socket(server: FakeServer) -> None:
    closed: list[int | None] = []

    async def script(socket: web.WebSocketResponse, _request: object) -> None:
        await socket.send_json(hit("1", "0-1"))
        await socket.receive()
        closed.append(socket.close_code)

    server.scripts = [script]
    await take(server, 1)
    assert closed == [1000]


async def test_a_missing_index_raises_the_servers_reason(server: FakeServer) -> None:
    server.refusal = "no such index [a]"
    with pytest.raises(NotFoundError, match=r"index_not_found_exception: no such index \[a\]"):
        await take(server, 1)


async def test_hits_of_a_snapshot_name_their_index(server: FakeServer) -> None:
    first = {"_id": "9", "_score": 3.0, "_source": {}}
    server.scripts = [send(snapshot("0-1", first))]
    [event] = await take(server, 1, snapshot=5)
    assert isinstance(event, Snapshot)
    assert [found.index for found in event.hits] == ["a"]


async def test_closing_the_client_ends_its_live_queries(server: FakeServer) -> None:
    server.scripts = [send_and_wait(hit("1", "0-1"))]
    client = AsyncClient(server.url)
    live = client.live("a", "x")
    await anext(live)
    await client.close()
    assert [event async for event in live] == []
    assert len(server.subscriptions) == 1


async def test_an_abandoned_iteration_leaves_no_session_open(server: FakeServer) -> None:
    complaints: list[str] = []

    async def abandon() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        async for _ in AsyncClient(server.url).live("a", "x"):
            break

    server.scripts = [send_and_wait(hit("1", "0-1"))]
    await asyncio.to_thread(asyncio.run, abandon())
    gc.collect()
    assert complaints == []
