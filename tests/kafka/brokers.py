"""The fixture `kafka`: each test that asks for it runs on librdkafka's broker and on Apache Kafka.

Use: `from tests.kafka.brokers import apache_node, kafka` in a conftest.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from consumers.kafka_options import KafkaOptions
from consumers.mock_kafka import MockBroker
from tests.kafka.node import KafkaNode, missing

READY_S = 30.0

QUICK = KafkaOptions(
    session_timeout_ms=1500,
    heartbeat_interval_ms=100,
    rebalance_timeout_ms=6000,
    fetch_max_wait_ms=10,
    commit_interval_s=0.1,
    probe_interval_s=0.2,
    max_backoff_s=0.5,
)
"""Options for tests: a member that goes is noticed soon."""

_names = itertools.count()


class Kafka(Protocol):
    """A broker as tests see it."""

    name: str
    bootstrap: str
    options: KafkaOptions

    async def create_topic(self, n_partitions: int = 1) -> str:
        """Make a topic with a name of its own and return the name."""
        ...


class MockKafka:
    name = "mock"
    options = QUICK

    def __init__(self) -> None:
        self.broker = MockBroker()
        self.bootstrap = self.broker.bootstrap

    async def create_topic(self, n_partitions: int = 1) -> str:
        topic = f"topic-{next(_names)}"
        self.broker.create_topic(topic, n_partitions)
        return topic


class ApacheKafka:
    name = "apache"
    options = QUICK

    def __init__(self, node: KafkaNode) -> None:
        self.node = node
        self.bootstrap = node.bootstrap

    async def create_topic(self, n_partitions: int = 1, **configs: str) -> str:
        topic = f"topic-{next(_names)}"
        admin = await self._admin()
        try:
            new = NewTopic(topic, n_partitions, 1, topic_configs=configs)
            await admin.create_topics([new])
        finally:
            await admin.close()
        return topic

    async def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Move the start of a partition's log, as retention does."""
        admin = await self._admin()
        try:
            await admin.delete_records(
                {TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}
            )
        finally:
            await admin.close()

    async def delete_topic(self, topic: str) -> None:
        admin = await self._admin()
        try:
            await admin.delete_topics([topic])
        finally:
            await admin.close()

    async def make_topic(self, topic: str, n_partitions: int = 1) -> None:
        """Make a topic of this name, once the one that had it is gone."""
        admin = await self._admin()
        try:
            async with asyncio.timeout(READY_S):
                while True:
                    answer = await admin.create_topics([NewTopic(topic, n_partitions, 1)])
                    if answer.topic_errors[0][1] == 0:
                        return
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()

    def log_file(self, topic: str, partition: int = 0) -> Path:
        """Return the first file of a partition's log on the broker's disk."""
        return self.node.directory / "logs" / f"{topic}-{partition}" / f"{0:020d}.log"

    async def add_partitions(self, topic: str, n_partitions: int) -> None:
        """Let the topic have so many in all."""
        admin = await self._admin()
        try:
            await admin.create_partitions({topic: NewPartitions(n_partitions)})
        finally:
            await admin.close()

    async def _admin(self) -> AIOKafkaAdminClient:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        return admin


async def produce(
    kafka: Kafka,
    topic: str,
    values: list[bytes | None],
    *,
    key: bytes = b"k",
    partition: int | None = 0,
    **options: Any,
) -> list[int]:
    """Produce values to one partition with any compression; return their offsets."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=5, **options)
    await producer.start()
    try:
        sent = [await producer.send(topic, v, key, partition) for v in values]
        return [answer.offset for answer in await asyncio.gather(*sent)]
    finally:
        await producer.stop()


def skip_absent(reason: str) -> None:
    """Skip for want of an optional part; fail instead where all are required."""
    if os.environ.get("TAILRACE_TEST_REQUIRE") == "all":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def apache_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """Apache Kafka, started once for all tests that want it."""
    reason = missing()
    if reason is not None:
        skip_absent(reason)
    node = KafkaNode(tmp_path_factory.mktemp("kafka"))
    node.start()
    asyncio.run(_wait_ready(node.bootstrap))
    yield node
    node.stop()


@pytest.fixture(params=["mock", "apache"])
def kafka(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    """A broker; on the mock one all is forgotten after the test."""
    if request.param == "apache":
        yield ApacheKafka(request.getfixturevalue("apache_node"))
        return
    slow_down_leaders(monkeypatch)
    mock = MockKafka()
    yield mock
    mock.broker.close()


@pytest.fixture
def mock_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[MockKafka]:
    """The mock broker alone, for faults that only it can make."""
    slow_down_leaders(monkeypatch)
    mock = MockKafka()
    yield mock
    mock.broker.close()


@pytest.fixture
def apache_kafka(apache_node: KafkaNode) -> ApacheKafka:
    """Apache Kafka alone, for what the mock broker lacks."""
    return ApacheKafka(apache_node)


def slow_down_leaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let followers be first: the mock broker refuses those that sync after the leader."""
    perform = GroupCoordinator._perform_assignment

    async def delayed(self: GroupCoordinator, response: Any) -> Any:
        await asyncio.sleep(0.1)
        return await perform(self, response)

    monkeypatch.setattr(GroupCoordinator, "_perform_assignment", delayed)


async def _wait_ready(bootstrap: str) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
            try:
                await admin.start()
                await admin.describe_cluster()
                return
            except KafkaError:
                await asyncio.sleep(0.1)
            finally:
                await admin.close()
