"""Asks where partitions begin and end, over connections of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from consumers.kafka_client import AIOKAFKA, Consumer, KafkaClients
from consumers.kafka_options import KafkaOptions
from consumers.kafka_poison import is_poison

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_FAILURES = 3
"""Fetches of one record that may fail before it counts as unreadable."""


class OffsetProbe:
    """Independent of the consumer in the group, so that it still sees when that one hangs."""

    def __init__(
        self, bootstrap: str, options: KafkaOptions, clients: KafkaClients = AIOKAFKA
    ) -> None:
        self._bootstrap = bootstrap
        self._options = options
        self._clients = clients
        self._client: Consumer | None = None
        self._lock = asyncio.Lock()

    async def ends(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the end offsets. Raises KafkaError or TimeoutError, then connects anew."""
        async with self._lock:
            return await self._ask(tps, "end_offsets")

    async def bounds(self, tps: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (log start, log end) of each partition. Raises as `ends`."""
        async with self._lock:
            starts = await self._ask(tps, "beginning_offsets")
            ends = await self._ask(tps, "end_offsets")
        return {tp: (starts[tp], ends[tp]) for tp in tps}

    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        """Return the ids of the topics; those are left out that have none. Raises as `ends`:
        no answer says nothing about a topic."""
        if not topics:
            return {}
        async with self._lock:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    client = await self._connected()
                    return await client.topic_ids(topics)
            except BaseException:
                await self.close()
                raise

    async def records_at(
        self, offsets: dict[TopicPartition, int]
    ) -> dict[TopicPartition, ConsumerRecord]:
        """Return the records at these offsets; those that are gone or unreadable are left out.

        Requires: every offset lies within its partition's bounds. Raises: KafkaError or OSError
        where the broker does not answer: that says nothing about a record.
        """
        if not offsets:
            return {}
        reader = self._clients.consumer(
            self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=64 << 10,
            **self._options.client_arguments(),
        )
        found: dict[TopicPartition, ConsumerRecord] = {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await reader.start()
                reader.assign([*offsets])
                for tp, offset in offsets.items():
                    reader.seek(tp, offset)
                for tp, offset in offsets.items():
                    # One by one: an error does not say which partition it is of.
                    record = await _next_record(reader, tp, offset)
                    if record is not None and record.offset == offset:
                        found[tp] = record
        finally:
            await _stop(reader)
        return found

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _stop(client)

    async def _ask(self, tps: list[TopicPartition], question: str) -> dict[TopicPartition, int]:
        if not tps:
            return {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                client = await self._connected()
                answer: dict[TopicPartition, int] = await getattr(client, question)(tps)
        except BaseException:
            await self.close()
            raise
        return answer

    async def _connected(self) -> Consumer:
        if self._client is None:
            self._client = self._clients.consumer(
                self._bootstrap,
                enable_auto_commit=False,
                **self._options.client_arguments(),
            )
            await self._client.start()
        return self._client


async def _next_record(reader: Consumer, tp: TopicPartition, offset: int) -> ConsumerRecord | None:
    """Return the first record from `offset` on, None where it is not to be had."""
    n_failures = 0
    while True:
        try:
            got = await reader.getmany(tp, timeout_ms=100, max_records=1)
        except OffsetOutOfRangeError:
            return None  # retention was faster
        except Exception as error:
            if not is_poison(error):
                raise
            n_failures += 1
            if n_failures == MAX_FAILURES:
                log.warning("last record not compared", extra={"reason": repr(error)})
                return None
            reader.seek(tp, offset)
            continue
        if tp in got:
            return got[tp][0]
        if await reader.position(tp) > offset:
            return None  # nothing but markers from there on


async def _stop(client: Consumer) -> None:
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(client.stop(), TIMEOUT_S)
