"""A cluster that is a table, and clients of it that do what aiokafka does at its worst.

Records come in any portions, some come again, positions move before an error is raised, and
batches may be unreadable: for a while, for ever, or because they inflate without end. One member
is in the group. What it asks is counted by nobody: the product is judged by what it indexes.
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

Headers = tuple[tuple[str, bytes | None], ...]

TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Sent:
    """One record as its producer sent it."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = TIMESTAMP_MS


@dataclass(slots=True)
class Unreadable:
    """What a batch does when it is read."""

    read: Callable[[], object]
    """Raises what the client would, or returns where the batch is read after all."""
    n_times: int | None = None
    """How often it does so; None: always."""


@dataclass(slots=True)
class LogOfPartition:
    start: int = 0
    end: int = 0
    records: dict[int, Sent] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    """Of the records, rising; others are holes of compaction, or markers of transactions."""
    unreadable: dict[int, Unreadable] = field(default_factory=dict)

    def add(self, record: Sent) -> int:
        offset = self.end
        self.records[offset] = record
        self.offsets.append(offset)
        self.end += 1
        return offset

    def delete_before(self, start: int) -> None:
        """Do as retention does."""
        self.start = start
        self.offsets = self.offsets[bisect_left(self.offsets, start) :]

    def cut(self, end: int) -> None:
        """Lose what was acknowledged."""
        self.end = end
        self.offsets = self.offsets[: bisect_left(self.offsets, end)]


@dataclass(slots=True)
class Cluster:
    topic: str
    partitions: list[LogOfPartition]
    rng: random.Random
    topic_id: str | None = "first"
    """None: a broker that knows no ids."""
    replay_share: float = 0.0
    """How often records come that have come before."""
    n_errors: int = 0
    """How many times a fetch fails for no reason."""
    n_rebalances: int = 0
    """How many times all partitions are taken away and given back."""
    committed: dict[TopicPartition, int] = field(default_factory=dict)

    # --- the factory of clients -------------------------------------------------------------
    def consumer(self, bootstrap: str, **arguments: Any) -> ScriptedConsumer:
        return ScriptedConsumer(self, arguments)

    def producer(self, bootstrap: str, **arguments: Any) -> Any:
        raise NotImplementedError

    async def create_topic(
        self, bootstrap: str, topic: str, n_partitions: int, **arguments: Any
    ) -> None:
        raise NotImplementedError

    def log(self, tp: TopicPartition) -> LogOfPartition:
        return self.partitions[tp.partition]

    def tps(self) -> list[TopicPartition]:
        return [TopicPartition(self.topic, n) for n in range(len(self.partitions))]


class ScriptedConsumer:
    def __init__(self, cluster: Cluster, arguments: dict[str, Any]) -> None:
        self._cluster = cluster
        self._group: str | None = arguments.get("group_id")
        self._reset: str = arguments.get("auto_offset_reset", "latest")
        self._positions: dict[TopicPartition, int | None] = {}
        self._paused: set[TopicPartition] = set()
        self._moving: asyncio.Task[None] | None = None
        self._listener: Any = None

    async def start(self) -> None:
        await asyncio.sleep(0)

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self._positions.clear()

    def subscribe(self, *, topics: list[str], listener: Any) -> None:
        self._listener = listener
        self._moving = asyncio.create_task(self._join())

    async def _join(self) -> None:
        await asyncio.sleep(0)
        tps = self._cluster.tps()
        if self._positions:
            await self._listener.on_partitions_revoked(set(tps))
        # A group goes on where it has committed; who knows better seeks.
        self._positions = {tp: self._cluster.committed.get(tp) for tp in tps}
        self._paused.clear()
        await self._listener.on_partitions_assigned(set(tps))

    def _rebalance_maybe(self) -> None:
        cluster = self._cluster
        is_joined = self._moving is not None and self._moving.done()
        if is_joined and cluster.n_rebalances and cluster.rng.random() < 0.1:
            cluster.n_rebalances -= 1
            self._moving = asyncio.create_task(self._join())

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions)

    def assignment(self) -> Collection[TopicPartition]:
        return self._positions.keys()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._require(partition)
        self._positions[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._require(partition)
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._require(partition)
        self._paused.difference_update(partitions)

    async def position(self, partition: TopicPartition) -> int:
        self._require(partition)
        await asyncio.sleep(0)
        return self._positions[partition] or 0

    def highwater(self, partition: TopicPartition) -> int | None:
        return self._cluster.log(partition).end

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        await asyncio.sleep(0)
        self._cluster.committed.update(offsets)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        await asyncio.sleep(0)
        return {tp: self._cluster.log(tp).start for tp in partitions}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        await asyncio.sleep(0)
        return {tp: self._cluster.log(tp).end for tp in partitions}

    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        await asyncio.sleep(0)
        topic_id = self._cluster.topic_id
        return {} if topic_id is None else dict.fromkeys(topics, topic_id)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        self._rebalance_maybe()
        await asyncio.sleep(0)
        rng = self._cluster.rng
        wanted = [tp for tp in partitions or self._positions if tp not in self._paused]
        rng.shuffle(wanted)
        room = max_records or 500
        got: dict[TopicPartition, list[ConsumerRecord]] = {}
        for tp in wanted:
            if room and tp in self._positions:
                records = self._read(tp, room)  # may raise, with others drained already
                if records:
                    got[tp] = records
                    room -= len(records)
        if got and self._cluster.n_errors and rng.random() < 0.1:
            self._cluster.n_errors -= 1
            raise rng.choice([CorruptRecordException("flipped"), ValueError("flipped")])
        if not got:
            await asyncio.sleep(timeout_ms / 1000)
        return got

    def _read(self, tp: TopicPartition, room: int) -> list[ConsumerRecord]:
        log, rng = self._cluster.log(tp), self._cluster.rng
        position = self._place(tp, log)
        first = position
        if self._group is not None and rng.random() < self._cluster.replay_share:
            first = max(log.start, position - rng.randrange(1, 20))
        most = rng.randint(1, room)
        records: list[ConsumerRecord] = []
        for offset in log.offsets[bisect_left(log.offsets, first) :]:
            if len(records) == most:
                break
            unreadable = log.unreadable.get(offset)
            if unreadable is not None and unreadable.n_times != 0:
                if records:
                    break  # what came before it is returned first
                if unreadable.n_times is not None:
                    unreadable.n_times -= 1
                unreadable.read()
            records.append(record_of(tp, offset, log.records[offset]))
        if (
            len(records) < most
            and log.end not in log.unreadable
            and not self._is_blocked(log, first)
        ):
            self._positions[tp] = max(position, log.end)
        elif records:
            self._positions[tp] = max(position, records[-1].offset + 1)
        return records

    def _is_blocked(self, log: LogOfPartition, first: int) -> bool:
        return any(o >= first and bad.n_times != 0 for o, bad in log.unreadable.items())

    def _place(self, tp: TopicPartition, log: LogOfPartition) -> int:
        position = self._positions[tp]
        if position is not None and log.start <= position <= log.end:
            return position
        if self._reset == "none" and position is None:
            raise NoOffsetForPartitionError(tp)
        if self._reset == "none":
            raise OffsetOutOfRangeError({tp: position})
        position = log.start if self._reset == "earliest" else log.end
        self._positions[tp] = position
        return position

    def _require(self, tp: TopicPartition) -> None:
        if tp not in self._positions:
            raise IllegalStateError(f"{tp} is not assigned")


def record_of(tp: TopicPartition, offset: int, sent: Sent) -> ConsumerRecord:
    return ConsumerRecord(
        topic=tp.topic,
        partition=tp.partition,
        offset=offset,
        timestamp=sent.timestamp_ms,
        timestamp_type=0,
        key=sent.key,
        value=sent.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=sent.headers,
    )
