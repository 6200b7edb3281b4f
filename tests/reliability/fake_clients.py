"""Makes clients of a cluster in memory, as `consumers.kafka_client.AioKafka` does of a real one."""

from __future__ import annotations

from typing import Any

from consumers.kafka_client import Consumer, Producer
from tests.reliability.fake_broker import FakeCluster
from tests.reliability.fake_consumer import FakeConsumer
from tests.reliability.fake_producer import FakeProducer


class FakeClients:
    """The address is not looked at."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    def consumer(self, bootstrap: str, **arguments: Any) -> Consumer:
        return FakeConsumer(self.cluster, **arguments)

    def producer(self, bootstrap: str, **arguments: Any) -> Producer:
        return FakeProducer(self.cluster, **arguments)

    async def create_topic(
        self, bootstrap: str, topic: str, n_partitions: int, **arguments: Any
    ) -> None:
        await self.cluster.reach("metadata")
        self.cluster.create_topic(topic, n_partitions)
