"""Members that come and go while records flow: each record reaches the store exactly once."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from consumers.kafka import KafkaSource
from consumers.source import Record
from tests.consumers.sinks import RecordingSink, wait_for
from tests.kafka.brokers import Kafka, produce

N_PARTITIONS = 3


class Store:
    """What the members share: offsets and values per partition, and who has it open."""

    def __init__(self) -> None:
        self.next: dict[int, int] = {}
        self.values: dict[int, list[bytes | None]] = {p: [] for p in range(N_PARTITIONS)}
        self.owners: dict[int, object] = {}


class MemberSink(RecordingSink):
    """Keeps what it was given in memory until it is closed; what is not flushed then is lost."""

    def __init__(self, store: Store, random: Random) -> None:
        super().__init__()
        self.store = store
        self.random = random
        self.memory: dict[int, list[Record]] = {}

    async def open_partition(self, partition: int) -> int | None:
        assert self.store.owners.get(partition) is None, "two owners"
        self.store.owners[partition] = self
        self.memory[partition] = []
        await asyncio.sleep(self.random.random() * 0.05)
        self.stored[partition] = self.store.next.get(partition, 0)
        await super().open_partition(partition)
        return self.store.next.get(partition)

    async def deliver(self, partition: int, records: list[Record], next_offset: int) -> None:
        await asyncio.sleep(self.random.random() * 0.01)
        if partition not in self.open:
            return  # closed meanwhile
        await super().deliver(partition, records, next_offset)
        self.memory[partition] += records

    async def close_partition(self, partition: int, flush: bool) -> None:
        await super().close_partition(partition, flush)
        memory = self.memory.pop(partition)
        await asyncio.sleep(self.random.random() * 0.05)
        if self.random.random() < 0.7 and memory:
            self.store.values[partition] += [record.value for record in memory]
            self.store.next[partition] = memory[-1].offset + 1
        self.store.owners[partition] = None


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_record_is_stored_once_whoever_comes_and_goes(kafka: Kafka, seed: int) -> None:
    random, store = Random(seed), Store()
    topic = await kafka.create_topic(N_PARTITIONS)
    members: list[tuple[KafkaSource, asyncio.Task[None], MemberSink]] = []
    n_sent = [0] * N_PARTITIONS

    async def send() -> None:
        for partition in range(N_PARTITIONS):
            values: list[bytes | None] = [b"%d" % (n_sent[partition] + i) for i in range(40)]
            n_sent[partition] += 40
            await produce(kafka, topic, values, partition=partition)

    async def leave() -> None:
        source, task, _ = members.pop(random.randrange(len(members)))
        await source.stop()
        await task

    for _ in range(6):
        await send()
        if len(members) > 1 and random.random() < 0.5:
            await leave()
        else:
            sink = MemberSink(store, random)
            source = KafkaSource(kafka.bootstrap, [topic], topic, options=kafka.options)
            members.append((source, asyncio.create_task(source.run(sink)), sink))
        await asyncio.sleep(random.random())
    await send()
    await wait_for(lambda: _reached(store, [sink for _, _, sink in members]) == n_sent)
    for _, _, sink in members:
        sink.random = _Always()
    while members:
        await leave()
    for partition in range(N_PARTITIONS):
        expected = [b"%d" % i for i in range(n_sent[partition])]
        assert store.values[partition] == expected[: len(store.values[partition])]
        assert store.next.get(partition, 0) == len(store.values[partition])
    assert list(map(len, store.values.values())) == n_sent, f"seed {seed}"


class _Always(Random):
    """A sink with this one flushes whatever it closes."""

    def random(self) -> float:
        return 0.0


def _reached(store: Store, sinks: list[MemberSink]) -> list[int]:
    reached = [store.next.get(partition, 0) for partition in range(N_PARTITIONS)]
    for sink in sinks:
        for partition in sink.open:
            reached[partition] = sink.stored[partition]
    return reached
