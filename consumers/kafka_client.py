"""What we ask of a Kafka client, and who makes one.

The protocols are the few calls that we make of aiokafka's clients, with its meanings and its
errors; `AioKafka` makes those. Whoever speaks to another broker, such as one in memory, hands
down clients of his own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any, Protocol, cast

from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import RecordMetadata

from consumers.group_owners import find_unowned
from consumers.topic_ids import ask_topic_ids


class Consumer(Protocol):
    """A consumer, in a group or alone. Thread rule: the event loop's thread."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Leave the group and close all connections. The listener is told nothing."""

    def subscribe(self, *, topics: list[str], listener: ConsumerRebalanceListener) -> None:
        """Join the group for these topics."""

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions, without a group."""

    def assignment(self) -> Collection[TopicPartition]: ...

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """Return what has come, of all partitions where none is named. The positions have moved
        past it by then, also where it raises halfway."""

    async def position(self, partition: TopicPartition) -> int: ...

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end of the log as of the last fetch."""

    def seek(self, partition: TopicPartition, offset: int) -> None: ...

    def pause(self, *partitions: TopicPartition) -> None: ...

    def resume(self, *partitions: TopicPartition) -> None: ...

    async def commit(self, offsets: dict[TopicPartition, int]) -> None: ...

    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]: ...

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...

    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        """Return the id of each topic that is there, as far as the broker tells them."""

    async def unowned(self, topics: list[str]) -> set[TopicPartition]:
        """Return the partitions that the group has given to nobody, where it is on this member
        to see to it; see group_owners.py."""

    def leave_for_good(self) -> None:
        """Let `stop` leave the group also where this member is a static one, which else is kept
        a place for."""


class Producer(Protocol):
    """Thread rule: the event loop's thread."""

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Send what is under way and close all connections."""

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        *,
        headers: list[tuple[str, bytes | None]],
    ) -> asyncio.Future[RecordMetadata]:
        """Return once the record is queued; the future is done once all replicas have it."""

    async def partitions_for(self, topic: str) -> set[int]:
        """Ask for the topic's partitions. Raises: KafkaError where there is none."""

    def known_partitions(self, topic: str) -> Collection[int]:
        """Return the topic's partitions as far as they are known now."""


class KafkaClients(Protocol):
    """Makes clients; `arguments` are those of aiokafka's clients."""

    def consumer(self, bootstrap: str, **arguments: Any) -> Consumer: ...

    def producer(self, bootstrap: str, **arguments: Any) -> Producer: ...

    async def create_topic(
        self, bootstrap: str, topic: str, n_partitions: int, **arguments: Any
    ) -> None:
        """Make the topic where it is not there yet, with as many replicas as the cluster likes.

        Raises: KafkaError.
        """


class AioKafka:
    """The clients of aiokafka."""

    def consumer(self, bootstrap: str, **arguments: Any) -> Consumer:
        return cast(Consumer, _Consumer(bootstrap_servers=bootstrap, **arguments))

    def producer(self, bootstrap: str, **arguments: Any) -> Producer:
        return cast(Producer, _Producer(bootstrap_servers=bootstrap, **arguments))

    async def create_topic(
        self, bootstrap: str, topic: str, n_partitions: int, **arguments: Any
    ) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **arguments)
        await admin.start()
        try:
            with contextlib.suppress(TopicAlreadyExistsError):
                # -1: as many replicas as the cluster's own default
                await admin.create_topics([NewTopic(topic, n_partitions, -1)])
        finally:
            await admin.close()


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        return await ask_topic_ids(self._client, topics)

    async def unowned(self, topics: list[str]) -> set[TopicPartition]:
        mine = self._coordinator
        return await find_unowned(
            self._client, mine.coordinator_id, mine.group_id, mine.member_id, topics
        )

    def leave_for_good(self) -> None:
        self._coordinator._group_instance_id = None


class _Producer(AIOKafkaProducer):  # type: ignore[misc]
    def known_partitions(self, topic: str) -> Collection[int]:
        return self.client.cluster.partitions_for_topic(topic) or ()


AIOKAFKA = AioKafka()
