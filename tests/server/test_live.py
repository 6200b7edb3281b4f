from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.test_utils import TestServer

from pipeline import subscription
from pipeline.node import Node
from server.app import create_app
from server.limits import Limits
from tests.server.conftest import Client, eventually


class Socket:
    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.socket.send_str(orjson.dumps(frame).decode())

    async def take(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=10)
        assert message.type is WSMsgType.TEXT, message
        return orjson.loads(message.data)


@pytest.fixture
async def socket(client: Client) -> AsyncIterator[Socket]:
    await client.put("news", {"1": {"title": "old rivers", "n": 1}})
    async with client.http.ws_connect("/news/_live") as socket:
        yield Socket(socket)


async def test_a_subscription_begins_with_a_snapshot_and_goes_on(
    client: Client, socket: Socket
) -> None:
    await socket.send(op="subscribe", id="a", q="rivers")
    snapshot = await socket.take()
    assert (snapshot["id"], snapshot["type"], snapshot["total"]) == ("a", "snapshot", 1)
    assert snapshot["hits"][0]["_source"] == {"title": "old rivers", "n": 1}
    await client.put("news", {"2": {"title": "wild rivers"}, "3": {"title": "calm lakes"}})
    hit = await socket.take()
    assert (hit["type"], hit["_id"], hit["_source"]) == ("hit", "2", {"title": "wild rivers"})
    assert hit["_score"] > 0
    await client.put("news", {"2": {"title": "wild lakes"}})
    leave = await socket.take()
    assert (leave["type"], leave["_id"]) == ("leave", "2")
    await client.ok("DELETE", "/news/_doc/1")
    assert (await socket.take())["_id"] == "1"
    await socket.send(op="unsubscribe", id="a")
    assert await socket.take() == {"id": "a", "type": "unsubscribed"}
    await client.put("news", {"4": {"title": "rivers"}})
    await socket.send(op="search", id="end", body={"size": 0})
    assert (await socket.take())["id"] == "end"


async def test_many_searches_and_subscriptions_share_a_socket(
    client: Client, socket: Socket
) -> None:
    await socket.send(op="subscribe", id="all", query={"match_all": {}}, snapshot=0)
    await socket.send(op="subscribe", id="few", query={"term": {"n": 1}})
    for number in range(5):
        await socket.send(op="search", id=f"s{number}", body={"query": {"match_all": {}}})
    frames = [await socket.take() for _ in range(7)]
    assert {frame["id"] for frame in frames} == {"all", "few", *(f"s{n}" for n in range(5))}
    result = next(frame for frame in frames if frame["id"] == "s0")
    assert (result["type"], result["hits"]["total"]["value"]) == ("result", 1)
    await client.put("news", {"9": {"n": 2}})
    assert (await socket.take())["id"] == "all"


async def test_a_token_resumes_without_gap_or_duplicate(client: Client, socket: Socket) -> None:
    await socket.send(op="subscribe", id="a", q="rivers", snapshot=0)
    token = (await socket.take())["token"]
    await client.put("news", {"2": {"title": "rivers two"}})
    token = (await socket.take())["token"]
    await socket.socket.close()
    await client.put("news", {"3": {"title": "rivers three"}, "x": {"title": "lake"}})
    async with client.http.ws_connect("/news/_live") as again:
        later = Socket(again)
        await later.send(op="subscribe", id="a", q="rivers", after=token)
        assert (await later.take())["_id"] == "3"
        await client.put("news", {"4": {"title": "rivers four"}})
        assert (await later.take())["_id"] == "4"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("{", "frame is not valid json"),
        ("[]", "not a json object"),
        ("{}", r"\[id\]"),
        ('{"id":7,"op":"search"}', r"\[id\]"),
        ('{"id":"a"}', r"\[op\]"),
        ('{"id":"a","op":"dance"}', "dance"),
        ('{"id":"a","op":"subscribe","colour":1}', "colour"),
        ('{"id":"a","op":"subscribe","q":"x","query":{}}', "not both"),
        ('{"id":"a","op":"subscribe","q":7}', "q"),
        ('{"id":"a","op":"subscribe","q":"(x"}', ""),
        ('{"id":"a","op":"subscribe","query":{"frob":{}}}', "frob"),
        ('{"id":"a","op":"subscribe","snapshot":true}', "snapshot"),
        ('{"id":"a","op":"subscribe","snapshot":100000}', "snapshot"),
        ('{"id":"a","op":"subscribe","after":"nonsense"}', "token"),
        ('{"id":"a","op":"subscribe","after":7}', "token"),
        ('{"id":"a","op":"search","body":{"size":-1}}', "size"),
        ('{"id":"a","op":"search","body":[]}', ""),
        ('{"id":"a","op":"unsubscribe"}', "not subscribed"),
        ("[" * 100, "deeper"),
    ],
)
async def test_a_wrong_frame_is_an_error_and_the_socket_stays(
    socket: Socket, frame: str, reason: str
) -> None:
    import re

    await socket.socket.send_str(frame)
    answer = await socket.take()
    assert answer["type"] == "error"
    assert answer["status"] == 400
    assert re.search(reason, answer["reason"])
    await socket.send(op="search", id="still", body={"size": 0})
    assert (await socket.take())["type"] == "result"


async def test_bytes_and_twice_the_same_id_are_errors(socket: Socket) -> None:
    await socket.socket.send_bytes(b"{}")
    assert "text" in (await socket.take())["reason"]
    await socket.send(op="subscribe", id="a", q="x")
    await socket.take()
    await socket.send(op="subscribe", id="a", q="y")
    assert "already" in (await socket.take())["reason"]


async def test_a_deleted_index_ends_its_subscriptions_with_an_error(
    client: Client, socket: Socket
) -> None:
    await socket.send(op="subscribe", id="a", q="x")
    await socket.take()
    await client.ok("DELETE", "/news")
    frame = await socket.take()
    while frame["type"] in {"gap", "snapshot"}:
        frame = await socket.take()
    assert (frame["id"], frame["type"], frame["status"]) == ("a", "error", 404)
    await socket.send(op="search", id="b", body={})
    frame = await socket.take()
    assert (frame["id"], frame["type"], frame["status"]) == ("b", "error", 404)


class TestBounds:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(socket_subscriptions=2, sockets=1, socket_frame_bytes=1_000)

    async def test_subscriptions_sockets_and_frames_are_bounded(
        self, client: Client, socket: Socket
    ) -> None:
        for name in ("a", "b"):
            await socket.send(op="subscribe", id=name, q="x")
            await socket.take()
        await socket.send(op="subscribe", id="c", q="x")
        assert (await socket.take())["status"] == 429
        status, answer = await client.call("GET", "/news/_live?q=x", headers=SSE)
        assert (status, answer["error"]["type"]) == (429, "rejected_execution_exception")
        await socket.socket.send_str("x" * 2_000)
        message = await socket.socket.receive(timeout=10)
        assert message.data == 1009


async def test_a_client_that_takes_nothing_is_closed_and_slows_nobody(
    client: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "STUCK_S", 0.2)
    await client.put("news", {"1": {"n": 1}})
    _, writer = await asyncio.open_connection(client.http.host, client.http.port, limit=1)
    writer.write(handshake("/news/_live") + masked(b'{"op":"subscribe","id":"a","snapshot":0}'))
    await eventually(lambda: node.indexes["news"].stats().n_subscribers == 1)
    async with client.http.ws_connect("/news/_live") as other:
        quick = Socket(other)
        await quick.send(op="subscribe", id="b", snapshot=0)
        await quick.take()
        big = "word " * 20_000
        n_docs = 0
        async with asyncio.timeout(30):
            while node.indexes["news"].stats().n_subscribers == 2:
                n_docs += 1
                await client.ok("PUT", f"/news/_doc/big{n_docs}", {"text": big})
                assert (await quick.take())["_id"] == f"big{n_docs}"
    writer.close()


def handshake(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(text: bytes) -> bytes:
    """Return a text frame as a client sends it, with a mask of zeros."""
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


async def test_a_client_that_leaves_is_forgotten(client: Client, node: Node) -> None:
    await client.put("news", {"1": {"n": 1}})
    for _ in range(20):
        async with client.http.ws_connect("/news/_live") as socket:
            await socket.send_str('{"op":"subscribe","id":"a","q":"x"}')
    await eventually(lambda: node.indexes["news"].stats().n_subscribers == 0)


async def test_a_page_of_another_origin_gets_no_socket(client: Client) -> None:
    await client.put("news", {"1": {"n": 1}})
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.http.ws_connect("/news/_live", origin="https://evil.example")
    assert refused.value.status == 403


async def test_the_end_of_the_server_closes_sockets_with_1001(node: Node) -> None:
    server = TestServer(create_app(node))
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        await session.put(server.make_url("/news"))
        socket = await session.ws_connect(server.make_url("/news/_live"))
        stream = await session.get(server.make_url("/news/_live"), headers=SSE)
        closing = asyncio.create_task(server.close())
        message = await socket.receive(timeout=10)
        assert message.data == 1001
        await socket.close()
        await asyncio.wait_for(closing, 10)
        stream.close()


SSE = {"Accept": "text/event-stream"}


async def read_event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return one event: its data, with its id as `event_id`."""
    event: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while line := (await stream.content.readline()).rstrip(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"data":
                event |= orjson.loads(value)
            elif name == b"id":
                event["event_id"] = value.decode()
    return event


async def test_events_carry_the_same_stream_and_resume_by_last_event_id(client: Client) -> None:
    await client.put("news", {"1": {"title": "old rivers"}})
    async with client.http.get("/news/_live?q=rivers&snapshot=5", headers=SSE) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        snapshot = await read_event(stream)
        assert (snapshot["type"], snapshot["total"]) == ("snapshot", 1)
        await client.put("news", {"2": {"title": "new rivers"}})
        hit = await read_event(stream)
        assert (hit["type"], hit["_id"], hit["event_id"]) == ("hit", "2", hit["token"])
    await client.put("news", {"3": {"title": "more rivers"}})
    headers = SSE | {"Last-Event-ID": hit["event_id"]}
    async with client.http.get("/news/_live?q=rivers", headers=headers) as stream:
        assert (await read_event(stream))["_id"] == "3"


async def test_events_of_a_bad_query_are_an_error_answer(client: Client) -> None:
    await client.put("news", {"1": {"n": 1}})
    status, answer = await client.call("GET", "/news/_live?q=(x", headers=SSE)
    assert (status, answer["status"]) == (400, 400)
