"""A producer of a cluster in memory: acks=all, idempotent, as aiokafka's is.

Records of a partition are appended in the order of `send`, each once, however often the broker
refuses for a while. What it refuses for good, or for longer than a request may take, fails, and
may be in the log all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerClosed,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from tests.reliability.fake_broker import FakeCluster

RETRY_S = 0.1


class OutcomeUnknownError(KafkaError):  # type: ignore[misc]
    """Pushed as an error of `produce`: the records are appended, the answer is lost."""


class FakeProducer:
    """See `consumers.kafka_client.Producer`. Thread rule: the event loop's thread."""

    def __init__(
        self,
        cluster: FakeCluster,
        *,
        request_timeout_ms: int = 40_000,
        max_request_size: int = 1 << 20,
        **_: Any,
    ) -> None:
        self._cluster = cluster
        self._request_s = request_timeout_ms / 1000
        self._max_request_bytes = max_request_size
        self._known: dict[str, set[int]] = {}
        self._queues: dict[TopicPartition, asyncio.Task[None]] = {}
        self._is_closed = False

    async def start(self) -> None:
        await self._cluster.reach("metadata")

    async def stop(self) -> None:
        self._is_closed = True
        if self._queues:
            await asyncio.wait(list(self._queues.values()))

    async def partitions_for(self, topic: str) -> set[int]:
        await self._cluster.reach("metadata")
        found = self._cluster.topics.get(topic)
        if found is None:
            raise UnknownTopicOrPartitionError(topic)
        self._known[topic] = set(range(len(found.partitions)))
        return self._known[topic]

    def known_partitions(self, topic: str) -> Collection[int]:
        found = self._cluster.topics.get(topic)
        return range(len(found.partitions)) if found is not None else ()

    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        *,
        headers: list[tuple[str, bytes | None]],
    ) -> asyncio.Future[RecordMetadata]:
        if self._is_closed:
            raise ProducerClosed
        n_bytes = len(value or b"") + len(key or b"")
        if n_bytes > self._max_request_bytes:
            raise MessageSizeTooLargeError(f"{n_bytes} bytes")
        tp = TopicPartition(topic, partition)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        before = self._queues.get(tp)
        work = self._deliver(before, future, tp, key, value, tuple(headers))
        task = self._queues[tp] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._forget(tp, task))
        return future

    def _forget(self, tp: TopicPartition, task: asyncio.Task[None]) -> None:
        if self._queues.get(tp) is task:
            del self._queues[tp]

    async def _deliver(
        self,
        before: asyncio.Task[None] | None,
        future: asyncio.Future[RecordMetadata],
        tp: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes | None], ...],
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        try:
            offset = await self._append(tp, key, value, headers)
        except Exception as error:
            if not future.done():
                future.set_exception(error)
                future.exception()  # who awaits it is told, and nobody has to
            return
        if not future.done():
            future.set_result(RecordMetadata(tp.topic, tp.partition, tp, offset, None, 0, 0))

    async def _append(
        self,
        tp: TopicPartition,
        key: bytes | None,
        value: bytes | None,
        headers: tuple[tuple[str, bytes | None], ...],
    ) -> int:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._request_s
        while True:
            is_lost = False
            try:
                await self._cluster.reach("produce")
                self._cluster.check(f"produce {tp.topic}")
                partition = self._cluster.partition(tp)
                if partition.is_frozen:
                    raise NotLeaderForPartitionError(tp)
                if len(value or b"") + len(key or b"") > self._cluster.max_message_bytes:
                    raise MessageSizeTooLargeError(tp)
            except OutcomeUnknownError as error:
                is_lost = True
                partition = self._cluster.partition(tp)
                if partition.is_frozen:
                    raise KafkaConnectionError from error
            except KafkaError as error:
                if not error.retriable:
                    raise
                if loop.time() >= until:
                    raise KafkaTimeoutError from error
                await asyncio.sleep(RETRY_S)
                continue
            offset = partition.append(
                key, value, headers, timestamp_ms=self._cluster.timestamp_ms()
            )
            if is_lost:
                raise KafkaConnectionError("the answer did not come")
            return offset
