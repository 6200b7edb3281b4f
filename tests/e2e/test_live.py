"""A live query over the client, while documents come through Kafka and the server restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import orjson
import pytest

from tailrace_client import AsyncClient, Entered, Left, Q, Snapshot
from tailrace_client import live as live_module
from tests.e2e.brokers import Broker, Producer, producing
from tests.e2e.servers import BUSY, Server, serving_kafka
from tests.face.process import free_port

SNAPSHOT = 1_000
"""More than there are documents: after a gap nothing is unknown."""
N_DOCS = 60
WAIT_S = 60.0


End = Callable[[Server], Awaitable[None]]


class Reader:
    """Keeps what a live query tells, as a page that shows the result would."""

    def __init__(self) -> None:
        self.shown: dict[str, int] = {}
        self.n_told: dict[tuple[str, int], int] = {}
        """(id, n) -> how many times it came as a hit of its own."""
        self.n_gaps = 0
        self.is_subscribed = asyncio.Event()
        self._changed = asyncio.Condition()

    async def follow(self, client: AsyncClient, index: str) -> None:
        query = Q.match("text", "bridge")
        async with aclosing(client.live(index, query, snapshot=SNAPSHOT)) as events:
            async for event in events:
                self._take(event)
                self.is_subscribed.set()
                async with self._changed:
                    self._changed.notify_all()

    def _take(self, event: Snapshot | Entered | Left) -> None:
        if isinstance(event, Snapshot):
            assert event.total == len(event.hits)
            self.shown = {hit.id: hit.source["n"] for hit in event.hits}
            self.n_gaps += event.is_after_gap
        elif isinstance(event, Entered):
            told = (event.id, event.source["n"])
            self.n_told[told] = self.n_told.get(told, 0) + 1
            self.shown[event.id] = event.source["n"]
        else:
            del self.shown[event.id]

    async def wait_shown(self, expected: dict[str, int]) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: self.shown == expected)


async def send(producer: Producer, topic: str, first: int, n_docs: int) -> None:
    """Send documents that match but for every fifth, each to the partition of its id."""
    for number in range(first, first + n_docs):
        text = "a tunnel" if number % 5 == 0 else "a bridge"
        value = orjson.dumps({"id": f"d{number}", "text": text, "n": number})
        await producer.send(topic, f"d{number}".encode(), value)


def matching(n_docs: int) -> dict[str, int]:
    return {f"d{number}": number for number in range(n_docs) if number % 5}


async def end_in_order(server: Server) -> None:
    await server.stop()


async def end_by_a_kill(server: Server) -> None:
    await server.kill()


@pytest.mark.parametrize("end", [end_in_order, end_by_a_kill])
async def test_a_live_query_tells_each_document_once_across_a_restart(
    tmp_path: Path, broker: Broker, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "pause_s", lambda failures: 0.05)
    topic, port, reader = await broker.create_topic("live"), free_port(), Reader()
    data = tmp_path / "data"
    async with producing(broker) as producer, AsyncClient(f"http://127.0.0.1:{port}") as client:
        async with serving_kafka(data, broker, topic, port=port, **BUSY) as server:
            await send(producer, topic, 0, N_DOCS)
            await server.wait_ready()
            await server.wait_applied(producer.ends)
            following = asyncio.create_task(reader.follow(client, topic))
            await asyncio.wait_for(reader.is_subscribed.wait(), WAIT_S)
            assert reader.shown == matching(N_DOCS)
            await send(producer, topic, N_DOCS, N_DOCS)
            await reader.wait_shown(matching(2 * N_DOCS))
            assert reader.n_gaps == 0
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send(producer, topic, 2 * N_DOCS, N_DOCS))
                await end(server)
        await send(producer, topic, 3 * N_DOCS, N_DOCS)
        async with serving_kafka(data, broker, topic, port=port, **BUSY) as server:
            await send(producer, topic, 4 * N_DOCS, N_DOCS)
            await reader.wait_shown(matching(5 * N_DOCS))
            await send(producer, topic, 5 * N_DOCS, N_DOCS)
            await reader.wait_shown(matching(6 * N_DOCS))
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await server.stop()
    assert set(reader.n_told.values()) == {1}
