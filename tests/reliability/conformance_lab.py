"""Three brokers behind one face, so that one list of cases can be asked of all of them.

`fake` is the cluster of the simulation, on its loop; `mock` is librdkafka's broker, `apache` is
Apache Kafka, both by way of aiokafka on asyncio's loop. What a broker cannot do is skipped with
the reason. All clients are what `KafkaClients` makes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from consumers.kafka_client import AIOKAFKA, Consumer, KafkaClients, Producer
from tests.kafka.brokers import ApacheKafka, MockKafka
from tests.reliability.fake_broker import FakeCluster
from tests.reliability.fake_clients import FakeClients
from tests.reliability.fake_log import Kind
from tests.reliability.sim_loop import SimLoop

K = TypeVar("K", MockKafka, ApacheKafka)

CASE_S = 40.0
QUICK = {
    "session_timeout_ms": 1500,
    "heartbeat_interval_ms": 100,
    "rebalance_timeout_ms": 6000,
    "fetch_max_wait_ms": 10,
    "metadata_max_age_ms": 300,
}


class Broker(Protocol):
    """What differs between the brokers."""

    clients: KafkaClients
    bootstrap: str

    def run(self, case: Awaitable[None]) -> None: ...

    async def create_topic(self, n_partitions: int) -> str: ...

    async def retain_from(self, topic: str, offset: int) -> None: ...

    async def abort_transaction(self, topic: str, values: list[bytes]) -> None: ...

    async def recreate(self, topic: str) -> None: ...

    async def add_partitions(self, topic: str, n_partitions: int) -> None: ...


class FakeLab:
    bootstrap = "fake"

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clients: KafkaClients = FakeClients(self.cluster)
        self.loop = SimLoop(random.Random(1))

    def run(self, case: Awaitable[None]) -> None:
        self.loop.run_until_complete(case)
        assert not self.loop.errors
        self.loop.close()

    async def create_topic(self, n_partitions: int) -> str:
        name = f"t{len(self.cluster.topics)}"
        self.cluster.create_topic(name, n_partitions)
        return name

    async def retain_from(self, topic: str, offset: int) -> None:
        self.cluster.topics[topic].partitions[0].retain_from(offset)

    async def abort_transaction(self, topic: str, values: list[bytes]) -> None:
        partition = self.cluster.topics[topic].partitions[0]
        for value in values:
            partition.append(b"k", value, kind=Kind.ABORTED)
        partition.append(None, None, kind=Kind.MARKER)

    async def recreate(self, topic: str) -> None:
        self.cluster.recreate(self.cluster.topics[topic])

    async def add_partitions(self, topic: str, n_partitions: int) -> None:
        self.cluster.add_partitions(self.cluster.topics[topic], n_partitions)


class BrokerLab(Generic[K]):
    """What the labs of real brokers share."""

    def __init__(self, kafka: K) -> None:
        self.clients: KafkaClients = AIOKAFKA
        self.bootstrap = kafka.bootstrap
        self._kafka = kafka

    def run(self, case: Awaitable[None]) -> None:
        asyncio.run(_awaited(case))

    async def create_topic(self, n_partitions: int) -> str:
        return await self._kafka.create_topic(n_partitions)


class MockLab(BrokerLab[MockKafka]):
    async def retain_from(self, topic: str, offset: int) -> None:
        pytest.skip("librdkafka's broker has no admin protocol to delete records by")

    async def abort_transaction(self, topic: str, values: list[bytes]) -> None:
        pytest.skip("librdkafka's broker shows the records of aborted transactions")

    async def recreate(self, topic: str) -> None:
        pytest.skip("librdkafka's broker has no admin protocol to delete topics by")

    async def add_partitions(self, topic: str, n_partitions: int) -> None:
        pytest.skip("librdkafka's broker has no admin protocol to add partitions by")


class ApacheLab(BrokerLab[ApacheKafka]):
    async def retain_from(self, topic: str, offset: int) -> None:
        await self._kafka.delete_records(topic, 0, offset)

    async def abort_transaction(self, topic: str, values: list[bytes]) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, transactional_id=f"{topic}-transaction"
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(topic, value, b"k", 0)
            await producer.abort_transaction()
        finally:
            await producer.stop()

    async def recreate(self, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([topic])
            while True:
                answer = await admin.create_topics([NewTopic(topic, 1, 1)])
                if answer.topic_errors[0][1] == 0:
                    return
                await asyncio.sleep(0.1)

    async def add_partitions(self, topic: str, n_partitions: int) -> None:
        async with self._admin() as admin:
            await admin.create_partitions({topic: NewPartitions(n_partitions)})

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


async def _awaited(case: Awaitable[None]) -> None:
    await case


class Heard(ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers what a consumer's listener was told, in order."""

    def __init__(self, on_assigned: Callable[[set[TopicPartition]], None] = lambda tps: None):
        self.told: list[tuple[str, set[int]]] = []
        self._on_assigned = on_assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.told.append(("revoked", {tp.partition for tp in revoked}))

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.told.append(("assigned", {tp.partition for tp in assigned}))
        self._on_assigned(assigned)

    @property
    def has(self) -> set[int]:
        """The partitions that it has by what it was told last."""
        return self.told[-1][1] if self.told and self.told[-1][0] == "assigned" else set()


class Lab:
    """A broker, and clients that are ended with the case."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._clients = AsyncExitStack()

    def run(self, case: Callable[[Lab], Awaitable[None]]) -> None:
        """Run a case to its end."""

        async def whole() -> None:
            async with self._clients, asyncio.timeout(CASE_S):
                await case(self)

        self.broker.run(whole())

    async def topic(self, n_partitions: int = 1, *values: bytes) -> str:
        """Make a topic, with these values in its partition 0."""
        topic = await self.broker.create_topic(n_partitions)
        if values:
            await self.produce(topic, *values)
        return topic

    async def producer(self, **options: Any) -> Producer:
        producer = self.broker.clients.producer(
            self.broker.bootstrap, acks="all", enable_idempotence=True, **options
        )
        await producer.start()
        await asyncio.sleep(0.01)
        self._clients.push_async_callback(producer.stop)
        return producer

    async def produce(self, topic: str, *values: bytes, partition: int = 0) -> list[int]:
        """Return the offsets."""
        producer = await self.producer()
        sent = [await producer.send(topic, v, b"k", partition, headers=[]) for v in values]
        return [answer.offset for answer in await asyncio.gather(*sent)]

    async def consumer(self, group: str | None = None, **options: Any) -> Consumer:
        arguments = {**QUICK, "enable_auto_commit": False, "auto_offset_reset": "none", **options}
        consumer = self.broker.clients.consumer(
            self.broker.bootstrap, group_id=group, isolation_level="read_committed", **arguments
        )
        await consumer.start()
        # aiokafka's stop lets a CancelledError out where its tasks have not begun yet.
        await asyncio.sleep(0.01)
        self._clients.push_async_callback(consumer.stop)
        return consumer

    async def reader(self, topic: str, n_partitions: int = 1, **options: Any) -> Consumer:
        """Return a consumer without a group, at the start of the partitions."""
        consumer = await self.consumer(None, **options)
        tps = [TopicPartition(topic, number) for number in range(n_partitions)]
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, 0)
        return consumer

    async def member(self, topic: str, group: str, **options: Any) -> tuple[Consumer, Heard]:
        """Return a member of a group; one that has its partitions."""
        consumer = await self.consumer(group, **options)
        heard = Heard()
        consumer.subscribe(topics=[topic], listener=heard)
        await until(lambda: bool(heard.told) and heard.told[-1][0] == "assigned")
        return consumer, heard


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.01)


async def read(
    consumer: Consumer, n_records: int, *tps: TopicPartition, max_records: int | None = None
) -> list[ConsumerRecord]:
    """Return so many records at least, in the order in which they came."""
    records: list[ConsumerRecord] = []
    while len(records) < n_records:
        got = await consumer.getmany(*tps, timeout_ms=200, max_records=max_records)
        records += [record for batch in got.values() for record in batch]
    return records
