"""Two real change streams through Kafka into a server: what is there at the end is their fold."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from opensearchpy import OpenSearch, helpers

from tests.e2e.brokers import Broker, Producer, producing
from tests.e2e.servers import (
    BUSY,
    Server,
    check_same,
    serving_kafka,
    verify,
    wait_shared,
)
from tests.e2e.streams import Change, Stream, fold, load, split
from tests.face.process import START_S, is_open

PACE_S = 0.005
"""Between two chunks of records, so that a part is not over at once."""

N_DROPS = 400
DROP_S = 0.02

Moment = Callable[[Server, random.Random], Awaitable[None]]


@pytest.fixture
def streams() -> list[Stream]:
    return [load("rustsec"), load("pypa")]


async def check_all(server: Server, streams: list[Stream], topics: list[str]) -> None:
    """Compare every document with the folded history."""
    for stream, topic in zip(streams, topics, strict=True):
        expected = fold(stream.changes)
        assert stream.n_live in (None, len(expected))
        check_same(await server.documents(topic), expected)


async def test_an_undisturbed_replay_ends_with_the_fold(
    tmp_path: Path, mock_broker: Broker, streams: list[Stream]
) -> None:
    topics = [await mock_broker.create_topic(stream.name) for stream in streams]
    async with (
        producing(mock_broker) as producer,
        serving_kafka(tmp_path / "data", mock_broker, *topics) as server,
    ):
        for stream, topic in zip(streams, topics, strict=True):
            await producer.replay(topic, stream.changes)
        await server.wait_ready()
        await server.wait_applied(producer.ends)
        await check_all(server, streams, topics)
        for stream, topic in zip(streams, topics, strict=True):
            texts = await asyncio.to_thread(scan_texts, server.url, topic)
            folded = fold(stream.changes)
            assert texts == sorted((id, fields["text"]) for id, fields in folded.items())
        await server.stop()
        n_live = sum(len(fold(stream.changes)) for stream in streams)
        assert await verify(server.data) == n_live


def scan_texts(url: str, index: str) -> list[tuple[str, str]]:
    """Return id and text of every document, read by a scroll."""
    with OpenSearch(url) as client:
        hits = list(helpers.scan(client, index=index, size=500))
    return sorted((hit["_id"], hit["_source"]["text"]) for hit in hits)


# -- killed on the way ---------------------------------------------------------------------------


async def while_it_starts(server: Server, chance: random.Random) -> None:
    await server.wait_until(lambda: is_open(server.running.port))
    await asyncio.sleep(chance.random() * 2.0)


async def when_something_is_searchable(server: Server, chance: random.Random) -> None:
    await server.wait_until(lambda: server.stats("_all")["docs"]["count"] > 0)
    await asyncio.sleep(chance.random() * 0.2)


async def when_it_has_merged(server: Server, chance: random.Random) -> None:
    await server.wait_until(lambda: server.stats("_all")["merges"]["total"] > 0)
    await asyncio.sleep(chance.random() * 0.2)


async def when_a_segment_appears(server: Server, chance: random.Random) -> None:
    """Most times there is no manifest yet that names it."""
    await server.wait_until(lambda: server.stats("_all")["flush"]["total"] > 0)
    await asyncio.to_thread(wait_new_segment, server)


def wait_new_segment(server: Server) -> None:
    known, deadline = server.segments(), time.monotonic() + START_S
    while not server.segments() - known:
        assert time.monotonic() < deadline, server.running.errors()


MOMENTS: list[Moment] = [
    while_it_starts,
    when_something_is_searchable,
    when_it_has_merged,
    when_a_segment_appears,
    when_a_segment_appears,
]


class Replay:
    """Parts of histories on their way: most of each at once, the rest in drops until `rush`."""

    def __init__(self, producer: Producer, parts: list[tuple[str, list[Change]]]) -> None:
        self._producer = producer
        self._parts = parts
        self._rush = asyncio.Event()

    def rush(self) -> None:
        self._rush.set()

    async def run(self) -> None:
        rests: list[tuple[str, list[Change]]] = []
        for topic, changes in self._parts:
            await self._producer.replay(topic, changes[:-N_DROPS], pause_s=PACE_S)
            rests.append((topic, changes[-N_DROPS:]))
        n_sent = 0
        while not self._rush.is_set() and n_sent < N_DROPS - 1:
            for topic, changes in rests:
                await self._producer.replay(topic, changes[n_sent : n_sent + 1])
            n_sent += 1
            await asyncio.sleep(DROP_S)
        await self._rush.wait()  # the last ones are never sent before the kill
        for topic, changes in rests:
            await self._producer.replay(topic, changes[n_sent:])


@pytest.mark.parametrize("seed", [1])
async def test_five_kills_on_the_way_lose_and_double_nothing(
    tmp_path: Path, broker: Broker, streams: list[Stream], seed: int
) -> None:
    chance, data = random.Random(seed), tmp_path / "data"
    topics = [await broker.create_topic(stream.name) for stream in streams]
    halves = [split(stream.changes, len(MOMENTS) + 1) for stream in streams]
    n_segments = []
    async with producing(broker) as producer:
        for number, moment in enumerate(MOMENTS):
            parts = [(topic, half[number]) for topic, half in zip(topics, halves, strict=True)]
            replay = Replay(producer, parts)
            async with (
                asyncio.TaskGroup() as tasks,
                serving_kafka(data, broker, *topics, **BUSY) as server,
            ):
                tasks.create_task(replay.run())
                await moment(server, chance)
                await server.kill()
                replay.rush()
            n_segments.append(len(server.segments()))
        for topic, half in zip(topics, halves, strict=True):
            await producer.replay(topic, half[-1])
        async with serving_kafka(data, broker, *topics, **BUSY) as server:
            await server.wait_ready()
            await server.wait_applied(producer.ends)
            await check_all(server, streams, topics)
            await server.stop()
    assert all(n_segments[2:]), f"seed {seed}: {n_segments}"
    assert await verify(data) == sum(len(fold(stream.changes)) for stream in streams)


# -- two servers ---------------------------------------------------------------------------------


async def check_union(servers: list[Server], topic: str, changes: list[Change]) -> None:
    """Compare what the servers hold together, nothing of it twice, with the folded history."""
    found = [await server.documents(topic) for server in servers]
    union = {id: fields for each in found for id, fields in each.items()}
    assert len(union) == sum(map(len, found)), "two servers hold the same document"
    check_same(union, fold(changes))


@pytest.mark.parametrize("name", ["rustsec", "pypa"])
async def test_two_servers_of_a_group_hand_partitions_over(
    tmp_path: Path, apache_broker: Broker, name: str
) -> None:
    stream = load(name)
    topic = await apache_broker.create_topic(stream.name)
    parts = split(stream.changes, 5)
    first_data, second_data = tmp_path / "first" / "data", tmp_path / "second" / "data"

    def so_far(n_parts: int) -> list[Change]:
        return [change for part in parts[:n_parts] for change in part]

    async with (
        producing(apache_broker) as producer,
        serving_kafka(first_data, apache_broker, topic, **BUSY) as first,
    ):
        await producer.replay(topic, parts[0])
        await wait_shared([first], producer, topic, 4)
        async with serving_kafka(second_data, apache_broker, topic, **BUSY) as second:
            await producer.replay(topic, parts[1], pause_s=PACE_S * 10)
            await wait_shared([first, second], producer, topic, 1)
            await check_union([first, second], topic, so_far(2))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(producer.replay(topic, parts[2], pause_s=PACE_S))
                tasks.create_task(second.stop())
        await wait_shared([first], producer, topic, 4)
        await check_union([first], topic, so_far(3))
        async with serving_kafka(second_data, apache_broker, topic, **BUSY) as second:
            await producer.replay(topic, parts[3], pause_s=PACE_S)
            await wait_shared([first, second], producer, topic, 1)
            await check_union([first, second], topic, so_far(4))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(producer.replay(topic, parts[4], pause_s=PACE_S))
                await second.kill()
        await wait_shared([first], producer, topic, 4)
        await check_union([first], topic, stream.changes)
        assert stream.n_live in (None, len(fold(stream.changes)))
        async with serving_kafka(second_data, apache_broker, topic, **BUSY) as second:
            await wait_shared([first, second], producer, topic, 1)
            await check_union([first, second], topic, stream.changes)
            await second.stop()
        await first.stop()
    await verify(first_data)
    await verify(second_data)
