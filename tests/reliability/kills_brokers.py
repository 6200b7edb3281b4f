"""The brokers of the kills program: librdkafka's, which cannot be killed, and Apache Kafka."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError

from tests.e2e.brokers import run_mock_broker
from tests.kafka.node import KafkaNode
from tests.reliability.kills_topic import EVENTS

READY_S = 60.0


class Broker(Protocol):
    bootstrap: str
    n_partitions: int
    """Of the topic."""
    session_s: float
    """How long the group waits for a server that is silent."""
    variables: dict[str, str]
    """What servers need in their environment to get on with it."""

    async def create_topic(self) -> None: ...


class FakeBroker:
    """librdkafka's, in a process of its own. It makes topics as they are asked for."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.n_partitions = 4
        self.session_s = 1.0  # its rebalances take as long
        # It refuses members that sync after the leader.
        self.variables = {"KILLS_SLOW_LEADER": "1"}

    async def create_topic(self) -> None:
        return


class ApacheBroker:
    def __init__(self, node: KafkaNode, n_partitions: int) -> None:
        self.bootstrap = node.bootstrap
        self.n_partitions = n_partitions
        self.session_s = 4.0
        self.variables: dict[str, str] = {}
        self._node = node

    async def create_topic(self) -> None:
        """Make the topic anew."""
        async with self._admin() as admin:
            await admin.create_topics([NewTopic(EVENTS, self.n_partitions, 1)])

    async def add_partitions(self, n: int) -> None:
        self.n_partitions += n
        async with self._admin() as admin:
            await admin.create_partitions({EVENTS: NewPartitions(self.n_partitions)})

    async def kill(self) -> None:
        await asyncio.to_thread(self._node.kill)

    async def start(self) -> None:
        await asyncio.to_thread(self._node.start)

    def send(self, number: int) -> None:
        self._node.send_signal(number)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        async with asyncio.timeout(READY_S):
            while True:
                admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
                try:
                    await admin.start()
                    break
                except KafkaError:  # it listens, and is not ready
                    await admin.close()
                    await asyncio.sleep(0.2)
        try:
            yield admin
        finally:
            await admin.close()


@contextmanager
def running_fake() -> Iterator[FakeBroker]:
    with run_mock_broker() as mock:
        yield FakeBroker(mock.bootstrap)


@contextmanager
def running_apache(folder: Path) -> Iterator[KafkaNode]:
    node = KafkaNode(folder)
    node.start()
    try:
        yield node
    finally:
        node.send_signal(signal.SIGCONT)
        node.stop()
