"""Brokers in processes of their own, and a producer that remembers where its records went."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.e2e.streams import ROOT, Change
from tests.kafka.node import KafkaNode

N_PARTITIONS = 4
CHUNK = 100
READ_S = 20.0

_numbers = itertools.count(1)


class Broker(Protocol):
    """What the tests need of a broker."""

    bootstrap: str

    async def create_topic(self, stem: str) -> str:
        """Make a topic of four partitions and return its name, which begins with `stem`."""
        ...


class MockBroker:
    """librdkafka's; topics are made as they are asked for, with four partitions."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    async def create_topic(self, stem: str) -> str:
        return f"{stem}{next(_numbers)}"


@contextmanager
def run_mock_broker() -> Iterator[MockBroker]:
    process = subprocess.Popen(
        [sys.executable, "-m", "consumers.mock_kafka"],
        cwd=ROOT,
        stdin=subprocess.PIPE,  # its end is the end of the broker
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield MockBroker(process.stdout.readline().strip())
    finally:
        process.communicate(timeout=10)


class ApacheBroker:
    def __init__(self, node: KafkaNode) -> None:
        self.bootstrap = node.bootstrap

    async def create_topic(self, stem: str) -> str:
        topic = f"{stem}{next(_numbers)}"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, N_PARTITIONS, 1)])
        finally:
            await admin.close()
        return topic


class Producer:
    """Sends changes as records: the id is the key, the fields are the value, null deletes."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.ends: defaultdict[str, dict[int, int]] = defaultdict(dict)
        """Topic -> partition -> offset after the newest record of ours."""

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Return partition and offset once the record is in the topic."""
        return (await self.send_all(topic, [(key, value, tuple(headers))], partition))[0]

    async def send_all(
        self,
        topic: str,
        records: Iterable[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]],
        partition: int | None = None,
    ) -> list[tuple[int, int]]:
        sent = [
            await self._producer.send(topic, value, key, partition, headers=list(headers))
            for key, value, headers in records
        ]
        places = [(answer.partition, answer.offset) for answer in await asyncio.gather(*sent)]
        for number, offset in places:
            self.ends[topic][number] = max(offset + 1, self.ends[topic].get(number, 0))
        return places

    async def replay(self, topic: str, changes: list[Change], *, pause_s: float = 0.0) -> None:
        """Send a part of a history in its order."""
        for first in range(0, len(changes), CHUNK):
            await self.send_all(topic, map(to_record, changes[first : first + CHUNK]))
            await asyncio.sleep(pause_s)


def to_record(change: Change) -> tuple[bytes, bytes | None, tuple[tuple[str, bytes], ...]]:
    value = None if change.fields is None else orjson.dumps(change.fields)
    return change.id.encode(), value, ()


@asynccontextmanager
async def producing(broker: Broker) -> AsyncIterator[Producer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap,
        enable_idempotence=True,
        compression_type="zstd",  # librdkafka's broker keeps 5 MiB of a partition
        linger_ms=2,
        max_batch_size=256 << 10,
    )
    await producer.start()
    try:
        yield Producer(producer)
    finally:
        await producer.stop()


async def read_topic(broker: Broker, topic: str, n_records: int) -> list[ConsumerRecord]:
    """Return the records of a topic, at least `n_records` of them: it waits for so many."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    records: list[ConsumerRecord] = []
    try:
        async with asyncio.timeout(READ_S):
            while len(records) < n_records:
                got = await consumer.getmany(timeout_ms=100)
                records += [record for each in got.values() for record in each]
    except TimeoutError:
        return records  # the test says what is missing
    finally:
        # Nothing must come behind them.
        got = await consumer.getmany(timeout_ms=500)
        records += [record for each in got.values() for record in each]
        await consumer.stop()
    return records
