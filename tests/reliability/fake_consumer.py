"""A consumer of a cluster in memory, with aiokafka's rules for positions.

What was fetched lies in a buffer; `getmany` drains it and moves the positions. Where a batch is
bad it raises halfway, and what it had drained from other partitions is lost to the caller while
their positions have moved: the rule that makes own positions necessary. A buffer whose position
was moved by `seek`, or whose partition is paused, is dropped, but an error that was fetched is
raised all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
)

from tests.reliability.fake_broker import FakeCluster
from tests.reliability.fake_log import Entry, FakePartition, Kind, Poison
from tests.reliability.fake_membership import FakeMembership

RETRY_S = 0.1
PREFETCH_S = 0.1
REQUEST_S = 40.0


@dataclass(slots=True)
class Position:
    """Where one assigned partition stands."""

    offset: int | None = None
    is_paused: bool = False
    highwater: int | None = None


@dataclass(slots=True)
class Fetched:
    """What an answer held for one partition."""

    entries: list[Entry]
    offset: int
    """The position that its next entry is for; where it is not the partition's, it is void."""
    end: int
    """The position after all entries, of which the last may be nobody's."""
    corrupt_at: int | None = None
    entries_given: int = 0
    is_spoilt: bool = False


@dataclass(slots=True, eq=False)
class Assignment:
    """One generation's partitions; positions do not live longer."""

    positions: dict[TopicPartition, Position]
    fetched: dict[TopicPartition, Fetched | KafkaError] = field(default_factory=dict)
    is_active: bool = True


class FakeConsumer:
    """See `consumers.kafka_client.Consumer`. Thread rule: the event loop's thread."""

    def __init__(
        self,
        cluster: FakeCluster,
        *,
        group_id: str | None = None,
        auto_offset_reset: str = "latest",
        isolation_level: str = "read_uncommitted",
        fetch_max_wait_ms: int = 500,
        **arguments: Any,
    ) -> None:
        self._cluster = cluster
        self._group_id = group_id
        self._reset = auto_offset_reset
        self._reads_committed = isolation_level == "read_committed"
        self._max_wait_s = fetch_max_wait_ms / 1000
        self._arguments = arguments
        self._assignment: Assignment | None = None
        self._membership: FakeMembership | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._is_started = False
        self._is_closed = False
        self._changed = asyncio.Event()
        """There may be something to fetch: a position, room in the buffer, an assignment."""
        self._waiters: list[asyncio.Future[None]] = []
        self._is_reassigning = False
        self._assigned = asyncio.Event()

    # --- life ---
    async def start(self) -> None:
        await self._cluster.reach("metadata")
        self._is_started = True

    async def stop(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self in self._cluster.consumers:
            self._cluster.consumers.remove(self)
        if self._membership is not None:
            await self._membership.close()
        if self._fetching is not None:
            self._fetching.cancel()
        self._wake()

    def subscribe(self, *, topics: list[str], listener: ConsumerRebalanceListener) -> None:
        assert self._group_id is not None, "a group is needed"
        self._is_reassigning = True
        self._membership = FakeMembership(
            self._cluster,
            self._group_id,
            tuple(topics),
            listener,
            begin=self._begin_reassignment,
            assign=self._take_assignment,
            **self._arguments,
        )
        self._fetching = asyncio.create_task(self._fetch_forever())
        self._cluster.consumers.append(self)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._take_assignment(partitions)
        self._fetching = asyncio.create_task(self._fetch_forever())

    def assignment(self) -> Collection[TopicPartition]:
        return self._assignment.positions.keys() if self._assignment is not None else ()

    def _begin_reassignment(self) -> list[TopicPartition]:
        """Hand nothing out until the next assignment; return the last one."""
        self._is_reassigning = True
        self._assigned.clear()
        return list(self.assignment())

    def _take_assignment(self, partitions: list[TopicPartition]) -> None:
        if self._assignment is not None:
            self._assignment.is_active = False
        self._assignment = Assignment({tp: Position() for tp in partitions})
        self._is_reassigning = False
        self._assigned.set()
        self._changed.set()

    # --- positions ---
    async def position(self, partition: TopicPartition) -> int:
        async with asyncio.timeout(REQUEST_S):
            while (offset := self._position(partition).offset) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return offset

    def highwater(self, partition: TopicPartition) -> int | None:
        return self._position(partition).highwater

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if not isinstance(offset, int) or offset < 0:
            raise ValueError("Offset must be a positive integer")
        self._position(partition).offset = offset
        self._changed.set()

    def pause(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._position(partition).is_paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self._position(partition).is_paused = False
        self._changed.set()

    def _position(self, partition: TopicPartition) -> Position:
        if self._assignment is None or partition not in self._assignment.positions:
            raise IllegalStateError(f"Partition {partition} is not assigned")
        return self._assignment.positions[partition]

    # --- records ---
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise ConsumerStoppedError
        if self._membership is not None:
            self._membership.check_errors()
        until = None
        while True:
            if self._is_reassigning:
                await self._assigned.wait()
            drained = self._drain(partitions, max_records)
            if drained or not timeout_ms:
                return drained
            until = until or loop.time() + timeout_ms / 1000
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append(waiter)
            timer = loop.call_at(until, _set, waiter)
            await waiter
            timer.cancel()
            if self._is_closed or loop.time() >= until:
                return {}  # without looking again

    def _drain(
        self, partitions: Collection[TopicPartition], max_records: int | None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        assignment = self._assignment
        drained: dict[TopicPartition, list[ConsumerRecord]] = {}
        if assignment is None:
            return drained
        room = max_records if max_records is not None else 1 << 30
        for tp, found in list(assignment.fetched.items()):
            if partitions and tp not in partitions:
                continue
            if isinstance(found, KafkaError):
                if drained:
                    return drained
                del assignment.fetched[tp]
                self._changed.set()
                raise found
            records, is_empty = self._take(tp, assignment.positions[tp], found, room)
            if is_empty:
                del assignment.fetched[tp]
                self._changed.set()
            if records:
                drained[tp] = records
                room -= len(records)
                if room == 0:
                    break
        return drained

    def _take(
        self, tp: TopicPartition, position: Position, found: Fetched, room: int
    ) -> tuple[list[ConsumerRecord], bool]:
        """Return at most `room` records, and whether nothing is left."""
        if position.is_paused or position.offset != found.offset or found.is_spoilt:
            return [], True
        records = []
        for entry in found.entries[found.entries_given :]:
            if len(records) == room:
                position.offset = found.offset
                return records, False
            if found.corrupt_at is not None and entry.offset >= found.corrupt_at:
                break
            found.entries_given += 1
            found.offset = entry.offset + 1
            if self._is_seen(entry):
                records.append(_record(tp, entry))
        if found.corrupt_at is not None:
            if len(records) == room:
                position.offset = found.offset
                return records, False
            # The position stays: what was taken here comes again, what was taken elsewhere not.
            found.is_spoilt = True
            raise CorruptRecordException(f"Invalid CRC - {tp}")
        position.offset = found.offset = found.end
        return records, True

    def _is_seen(self, entry: Entry) -> bool:
        return entry.kind is Kind.RECORD or (
            entry.kind is Kind.ABORTED and not self._reads_committed
        )

    # --- the task that fetches ---
    async def _fetch_forever(self) -> None:
        while True:
            self._changed.clear()
            assignment = self._assignment
            if assignment is None or not assignment.is_active or not self._is_started:
                await self._changed.wait()
                continue
            if await self._look_up_positions(assignment):
                continue
            wanted = {
                tp: position.offset
                for tp, position in assignment.positions.items()
                if position.offset is not None
                and not position.is_paused
                and tp not in assignment.fetched
            }
            if assignment.fetched:
                # While something lies here, the broker is asked only now and then.
                await self._wait_changed(PREFETCH_S if wanted else None)
                if assignment.fetched and self._changed.is_set():
                    continue
            if not wanted:
                if not self._changed.is_set():
                    await self._changed.wait()
                continue
            if not await self._fetch(assignment, wanted):
                await asyncio.sleep(RETRY_S)

    async def _wait_changed(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _look_up_positions(self, assignment: Assignment) -> bool:
        """Find a position where there is none, from what is committed or by the reset rule.
        Return whether anything changed."""
        missing = [
            tp
            for tp, position in assignment.positions.items()
            if position.offset is None and tp not in assignment.fetched
        ]
        if not missing:
            return False
        try:
            await self._cluster.reach("committed")
        except KafkaError:
            await asyncio.sleep(RETRY_S)
            return True
        group = self._cluster.group(self._group_id) if self._group_id is not None else None
        for tp in missing:
            position = assignment.positions[tp]
            if not assignment.is_active or position.offset is not None:
                continue
            committed = group.committed.get(tp) if group is not None else None
            partition = self._partition(tp)
            if committed is not None:
                position.offset = committed
            elif self._reset == "none":
                assignment.fetched[tp] = NoOffsetForPartitionError(tp)
                self._wake()
            elif partition is not None:
                position.offset = partition.start if self._reset == "earliest" else partition.end
        return True

    async def _fetch(self, assignment: Assignment, wanted: dict[TopicPartition, int]) -> bool:
        """Ask once; return whether it was answered."""
        loop = asyncio.get_running_loop()
        try:
            await self._cluster.reach("fetch")
            until = loop.time() + self._max_wait_s
            while not any(self._has_answer(tp, offset) for tp, offset in wanted.items()):
                waiter: asyncio.Future[None] = loop.create_future()
                for tp in wanted:
                    if (partition := self._partition(tp)) is not None:
                        partition.wait(waiter)
                timer = loop.call_at(until, _set, waiter)
                await waiter
                timer.cancel()
                if self._cluster.is_down or loop.time() >= until:
                    break
            if self._cluster.is_down:
                return False
        except KafkaError:
            return False
        if assignment.is_active:
            for tp, offset in wanted.items():
                self._receive(assignment, tp, offset)
        return True

    def _has_answer(self, tp: TopicPartition, offset: int) -> bool:
        partition = self._partition(tp)
        return partition is None or offset < partition.end or partition.is_out_of_range(offset)

    def _receive(self, assignment: Assignment, tp: TopicPartition, offset: int) -> None:
        position = assignment.positions[tp]
        partition = self._partition(tp)
        if position.offset != offset or partition is None:
            return
        if partition.is_out_of_range(offset):
            if self._reset == "none":
                assignment.fetched[tp] = OffsetOutOfRangeError({tp: offset})
            else:
                position.offset = None
            self._wake()
            return
        position.highwater = partition.end
        entries = partition.from_offset(offset, self._cluster.fetch_size())
        if not entries:
            if offset < partition.end:  # nothing but holes up to the end
                position.offset = partition.end
            return
        bad = next((entry.offset for entry in entries if entry.offset in partition.bad), None)
        if bad is not None and self._is_met(partition, bad) is Poison.TOO_LARGE:
            if bad == entries[0].offset:
                assignment.fetched[tp] = RecordTooLargeError(f"{tp} at {offset}")
                position.offset = offset + 1
                self._wake()
                return
            entries = [entry for entry in entries if entry.offset < bad]
            bad = None
        assignment.fetched[tp] = Fetched(entries, offset, entries[-1].offset + 1, bad)
        self._wake()

    def _is_met(self, partition: FakePartition, offset: int) -> Poison:
        bad = partition.bad[offset]
        if bad.times is not None:
            bad.times -= 1
            if bad.times == 0:
                del partition.bad[offset]
        return bad.poison

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _set(waiter)

    def _partition(self, tp: TopicPartition) -> FakePartition | None:
        try:
            return self._cluster.partition(tp)
        except UnknownTopicOrPartitionError:
            return None

    def hang(self) -> None:
        """Fetch nothing any more, and tell nobody, as aiokafka's consumer does now and then."""
        if self._fetching is not None:
            self._fetching.cancel()

    # --- offsets ---
    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        assigned = self.assignment()
        for tp in offsets:
            if tp not in assigned:
                raise IllegalStateError(f"Partition {tp} is not assigned")
        assert self._membership is not None
        await self._membership.commit(offsets)

    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return {tp: partition.start for tp, partition in await self._ask(partitions)}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: partition.end for tp, partition in await self._ask(partitions)}

    async def topic_ids(self, topics: list[str]) -> dict[str, str]:
        await self._cluster.reach("metadata")
        found = {name: self._cluster.topics.get(name) for name in topics}
        return {name: str(topic.incarnation) for name, topic in found.items() if topic is not None}

    async def unowned(self, topics: list[str]) -> set[TopicPartition]:
        await self._cluster.reach("describe")
        assert self._membership is not None
        return self._membership.unowned(topics)

    def leave_for_good(self) -> None:
        assert self._membership is not None
        self._membership.leave_for_good()

    async def _ask(
        self, partitions: list[TopicPartition]
    ) -> list[tuple[TopicPartition, FakePartition]]:
        while True:
            try:
                await self._cluster.reach("offsets")
                return [(tp, self._cluster.partition(tp)) for tp in partitions]
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_S)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _record(tp: TopicPartition, entry: Entry) -> ConsumerRecord:
    return ConsumerRecord(
        tp.topic, tp.partition, entry.offset, entry.timestamp_ms, 0,
        entry.key, entry.value, None,
        len(entry.key) if entry.key is not None else -1,
        len(entry.value) if entry.value is not None else -1,
        entry.headers,
    )  # fmt: skip
