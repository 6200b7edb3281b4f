"""The client against a real server in a process of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest

from tailrace_client import (
    AsyncClient,
    BadRequestError,
    BulkFailedError,
    Client,
    ConflictError,
    Entered,
    Left,
    NotFoundError,
    Q,
    Snapshot,
)
from tests.face.process import Running, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Running]:
    with start("serve", "--data", str(folder / "data"), cwd=folder) as server:
        server.wait_ready()
        yield server


def test_documents_are_written_found_read_and_deleted(running: Running) -> None:
    with Client(running.url) as client:
        assert client.info()["tailrace"]["version"]
        client.create_index("books", mappings={"properties": {"year": {"type": "integer"}}})
        written = client.bulk(
            "books",
            [
                {"_id": "1", "title": "The iron bridge", "year": 1779},
                {"_id": "2", "title": "A wooden bridge", "year": 1640},
                {"_id": "3", "title": "The iron horse", "year": 1924},
            ],
        )
        found = client.search("books", Q.match("title", "iron bridge"), after=written.token)
        assert found.total == 3
        assert found.hits[0].id == "1"
        query = Q.match("title", "iron") & Q.range("year", gte=1900)
        assert [hit.id for hit in client.search("books", query)] == ["3"]
        assert [hit.id for hit in client.search("books", ~Q.match("title", "iron"))] == ["2"]
        ordered = client.search("books", sort=[{"year": "desc"}], size=2)
        assert [hit.source["year"] for hit in ordered] == [1924, 1779]
        assert client.count("books", "title:bridge") == 2
        document = client.get("books", "2")
        assert document is not None
        assert document.source["year"] == 1640
        assert client.delete("books", "2", refresh="wait_for").result == "deleted"
        assert client.get("books", "2") is None


def test_errors_are_typed(running: Running) -> None:
    with Client(running.url) as client:
        client.create_index("errors", mappings={"properties": {"n": {"type": "long"}}})
        with pytest.raises(NotFoundError, match="absent"):
            client.search("absent")
        with pytest.raises(BadRequestError):
            client.search("errors", {"no_such_clause": {}})
        client.index("errors", {"n": 1}, id="1", create=True)
        with pytest.raises(ConflictError):
            client.index("errors", {"n": 1}, id="1", create=True)
        with pytest.raises(BulkFailedError) as refused:
            client.bulk("errors", [{"_id": "2", "n": 2}, {"_id": "3", "n": "three"}])
        assert [item.id for item in refused.value.failed] == ["3"]
        with pytest.raises(NotFoundError):
            client.delete("errors", "absent")


async def test_a_live_query_tells_what_enters_and_leaves(running: Running) -> None:
    async with AsyncClient(running.url) as client:
        await client.index("live", {"t": "an old bridge"}, id="0", refresh="wait_for")
        async with aclosing(client.live("live", Q.match("t", "bridge"), snapshot=5)) as events:
            first = await anext(events)
            assert isinstance(first, Snapshot)
            assert [hit.id for hit in first.hits] == ["0"]
            await client.index("live", {"t": "a tunnel"}, id="1")
            await client.index("live", {"t": "a bridge"}, id="2")
            await client.index("live", {"t": "no more"}, id="2")
            await client.delete("live", "0")
            entered = await anext(events)
            assert isinstance(entered, Entered)
            assert (entered.id, entered.source) == ("2", {"t": "a bridge"})
            left = [await anext(events), await anext(events)]
            assert all(isinstance(event, Left) for event in left)
            assert [event.id for event in left if isinstance(event, Left)] == ["2", "0"]


async def test_a_live_query_goes_on_from_a_token(running: Running) -> None:
    async with AsyncClient(running.url) as client:
        await client.index("resumed", {"t": "bridge"}, id="0", refresh="wait_for")
        async with aclosing(client.live("resumed", "bridge", snapshot=1)) as events:
            await anext(events)  # from here on it is subscribed
            await client.index("resumed", {"t": "bridge one"}, id="1")
            token = (await anext(events)).token
        await client.index("resumed", {"t": "bridge two"}, id="2", refresh="wait_for")
        async with aclosing(client.live("resumed", "bridge", after=token)) as events:
            event = await anext(events)
        assert isinstance(event, Entered)
        assert event.id == "2"


async def test_a_drain_closes_live_sockets_with_1001(tmp_path: Path) -> None:
    with start("serve", "--data", "data", cwd=tmp_path) as server:
        await asyncio.to_thread(server.wait_ready)
        await asyncio.to_thread(server.call, "PUT", "/notes")
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/notes/_live") as socket,
        ):
            await socket.send_json({"op": "subscribe", "id": "a", "q": "x"})
            assert (await socket.receive_json())["type"] == "snapshot"
            stopping = asyncio.create_task(asyncio.to_thread(server.stop, signal.SIGTERM))
            async for _frame in socket:
                pass
            assert socket.close_code == 1001
            assert await stopping == 0
