"""The loop that takes records from aiokafka and hands them to the sink, in order, none lost.

What aiokafka holds as a position is never trusted: it moves before records reach us, and an
error in one partition throws away what was already taken from another. `Positions.next` is the
truth; after any error every partition is sought back to it, and what lies below it is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from consumers.kafka_client import Consumer
from consumers.kafka_continuity import Continuity
from consumers.kafka_options import KafkaOptions
from consumers.kafka_poison import is_poison
from consumers.kafka_positions import FetchCounts, Positions
from consumers.kafka_probe import OffsetProbe
from consumers.source import PoisonError, Record, Sink, SourceError
from index.errors import TailraceError

log = logging.getLogger(__name__)

POLL_MS = 200
PAUSED_POLL_MS = 20
CAREFUL_POLL_MS = 250
MAX_FAILURES = 3
"""Fetches of one offset that may fail before its partition is halted."""
FAILURE_PAUSE_S = 0.1


class SinkError(Exception):
    """The sink raised; `__cause__` says what. It ends the source."""


class FetchLoop:
    """Runs in one task. `run` ends after `stop`; nobody cancels it while the consumer lives."""

    def __init__(
        self,
        consumer: Consumer,
        sink: Sink,
        positions: Positions,
        probe: OffsetProbe,
        continuity: Continuity,
        options: KafkaOptions,
        counts: FetchCounts,
    ) -> None:
        self._consumer = consumer
        self._sink = sink
        self._positions = positions
        self._probe = probe
        self._continuity = continuity
        self._options = options
        self._counts = counts
        self._stopping = False
        self._paused: set[TopicPartition] = set()
        self._careful: dict[TopicPartition, int] = {}
        """Partitions polled alone, record by record, and how often that failed in place."""
        self.is_delivering = False
        """Whether the sink has the word: then nothing can be said about the broker."""

    def stop(self) -> None:
        self._stopping = True
        self._positions.gate.set()

    def is_excused(self, tp: TopicPartition) -> bool:
        """Return whether no progress is due on `tp`, because of us and not of the broker."""
        return self.is_delivering or tp in self._paused or tp in self._careful

    async def run(self) -> None:
        """Raises SinkError; KafkaError and others where only a new consumer helps."""
        while not self._stopping:
            await self._positions.gate.wait()
            self._forget_lost()
            self._apply_pressure()
            for tp in [*self._careful]:
                await self._poll_alone(tp)
            await self._poll_rest()
            # getmany returns without a pause while it holds records: let others run.
            await asyncio.sleep(0)

    async def _poll_rest(self) -> None:
        rest: list[TopicPartition] = []
        if self._careful:
            rest = [tp for tp in self._positions.next if tp not in self._careful]
            if not rest:
                return  # without names, getmany would take all partitions
        try:
            got = await self._consumer.getmany(
                *rest,
                timeout_ms=PAUSED_POLL_MS if self._paused else POLL_MS,
                max_records=self._options.max_poll_records,
            )
        except Exception as error:
            await self._recover(error)
            return
        generation = self._positions.generation
        for tp, records in got.items():
            await self._deliver(tp, records)
            if self._positions.generation != generation:
                return
        if not got:
            await self._pass_markers(rest or [*self._positions.next])

    async def _poll_alone(self, tp: TopicPartition) -> None:
        """Take single records, so that a bad batch shows its place and costs no good record."""
        positions, generation = self._positions, self._positions.generation
        records: list[ConsumerRecord] = []
        failure: Exception | None = None
        while len(records) < self._options.max_poll_records:
            timeout_ms = 0 if records else CAREFUL_POLL_MS
            try:
                got = await self._consumer.getmany(tp, timeout_ms=timeout_ms, max_records=1)
            except Exception as error:
                failure = error
                break
            if positions.generation != generation:
                # What came so far is of an older owner; what came last has moved the position.
                if tp in positions.next:
                    self._seek(tp, positions.next[tp])
                return
            if tp not in got:
                break
            fresh = [r for r in got[tp] if not records or r.offset > records[-1].offset]
            self._counts.below_position += len(got[tp]) - len(fresh)
            records += fresh
        await self._deliver(tp, records)
        if tp not in self._positions.next:
            return
        if failure is None:
            del self._careful[tp]
            return
        self._counts.errors += 1
        if not is_poison(failure):
            await self._recover(failure)
            return
        self._careful[tp] = 1 if records else self._careful[tp] + 1
        next_offset = self._positions.next[tp]
        if self._careful[tp] >= MAX_FAILURES:
            reason = f"{type(failure).__name__}: {failure}"
            await self.halt(tp, PoisonError(tp.topic, tp.partition, next_offset, reason))
            return
        self._seek(tp, next_offset)
        await asyncio.sleep(FAILURE_PAUSE_S)

    async def _recover(self, error: Exception) -> None:
        """Go back to the own positions; raise where only a new consumer helps."""
        self._counts.errors += 1
        for tp, next_offset in self._positions.next.items():
            self._seek(tp, next_offset)
        if isinstance(error, NoOffsetForPartitionError):
            return  # it looked for a committed offset before we had sought ours
        if isinstance(error, OffsetOutOfRangeError):
            await self._check_bounds()
        elif is_poison(error):
            # Nobody says which partition it was: each is polled alone until that is known.
            log.warning("cannot read a batch", extra={"reason": repr(error)})
            for tp in self._positions.next:
                self._careful.setdefault(tp, 0)
        else:
            raise error

    async def _check_bounds(self) -> None:
        """Find the partition whose log does not hold its position, and halt it or skip the gap."""
        positions, generation = self._positions, self._positions.generation
        tps = [*positions.next]
        replaced = await self._continuity.find_other_topics(tps)
        bounds = await self._probe.bounds(tps)
        for tp in tps:
            if positions.generation != generation:
                return
            if tp in positions.next:
                await self._check_bound(tp, bounds[tp], replaced.get(tp))
        await asyncio.sleep(FAILURE_PAUSE_S)

    async def _check_bound(
        self, tp: TopicPartition, bounds: tuple[int, int], replaced: SourceError | None
    ) -> None:
        positions, generation = self._positions, self._positions.generation
        try:
            if replaced is not None:
                raise replaced
            next_offset = await self._continuity.enter(tp, positions.next[tp], bounds)
        except SourceError as error:
            await self.halt(tp, error)
        except TailraceError as error:
            log.error("shard takes no records", extra={"reason": str(error)})
            self._give_up(tp)
        except Exception as error:
            raise SinkError from error
        else:
            if positions.generation == generation and tp in positions.next:
                positions.next[tp] = next_offset
                self._seek(tp, next_offset)

    async def _deliver(self, tp: TopicPartition, got: list[ConsumerRecord]) -> None:
        """Hand records over and move the position, unless ownership moved meanwhile."""
        positions = self._positions
        next_offset = positions.next.get(tp)
        if next_offset is None or not got:
            return
        records = [
            Record(tp.topic, tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
            for r in got
            if r.offset >= next_offset
        ]
        self._counts.below_position += len(got) - len(records)
        if not records:
            return
        if records[-1].offset - next_offset >= len(records):
            self._counts.holes += 1
        self._counts.records += len(records)
        await self._hand_over(tp, records, records[-1].offset + 1)

    async def _pass_markers(self, tps: list[TopicPartition]) -> None:
        """Move past offsets that hold no record of ours, such as transaction markers."""
        generation = self._positions.generation
        for tp in tps:
            if tp in self._paused:
                continue
            try:
                position = await self._consumer.position(tp)
            except IllegalStateError:
                return
            if self._positions.generation != generation:
                return
            if tp in self._positions.next and position > self._positions.next[tp]:
                await self._pass_marker(tp, position)

    async def _pass_marker(self, tp: TopicPartition, position: int) -> None:
        """Move on to `position`, unless it moved past a record that could not be read."""
        generation = self._positions.generation
        try:
            # aiokafka moves past a record that is too large, and says so only here.
            got = await self._consumer.getmany(
                tp, timeout_ms=0, max_records=self._options.max_poll_records
            )
        except Exception as error:
            await self._recover(error)
            return
        if tp in got:
            await self._deliver(tp, got[tp])
        elif self._positions.generation == generation:
            await self._hand_over(tp, [], position)

    async def _hand_over(self, tp: TopicPartition, records: list[Record], next_offset: int) -> None:
        generation = self._positions.generation
        self.is_delivering = True
        try:
            await self._sink.deliver(self._positions.shard_no(tp), records, next_offset)
        except TailraceError as error:
            if self._positions.generation == generation:
                # The shard has failed, and knows it: the others go on.
                log.error("shard takes no records", extra={"reason": str(error)})
                self._give_up(tp)
            return
        except Exception as error:
            if self._positions.generation == generation:
                raise SinkError from error
            return
        finally:
            self.is_delivering = False
        if self._positions.generation == generation and tp in self._positions.next:
            self._positions.next[tp] = next_offset

    async def halt(self, tp: TopicPartition, error: SourceError) -> None:
        """Give one partition up; the others go on. Requires: it is ours."""
        log.error("partition halted", extra={"reason": str(error)})
        self._give_up(tp)
        try:
            await self._sink.fail_partition(self._positions.shard_no(tp), error)
        except Exception as failure:
            raise SinkError from failure

    def _give_up(self, tp: TopicPartition) -> None:
        self._positions.next.pop(tp, None)
        self._careful.pop(tp, None)
        self._paused.discard(tp)
        self._pause(tp)

    def _forget_lost(self) -> None:
        owned = self._positions.next.keys()
        self._paused &= owned
        for tp in self._careful.keys() - owned:
            del self._careful[tp]

    def _apply_pressure(self) -> None:
        """Pause the partitions with more than their share when the sink holds too much."""
        backlogs = {
            tp: self._sink.backlog_bytes(self._positions.shard_no(tp))
            for tp in self._positions.next
        }
        if not backlogs:
            return
        share = self._options.budget_bytes / len(backlogs)
        if sum(backlogs.values()) > self._options.budget_bytes:
            for tp, n_bytes in backlogs.items():
                if n_bytes >= share and tp not in self._paused:
                    self._pause(tp)
                    self._paused.add(tp)
        for tp in [tp for tp in self._paused if backlogs[tp] <= share / 2]:
            self._paused.discard(tp)
            self._resume(tp)

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        with contextlib.suppress(IllegalStateError):  # no longer ours
            self._consumer.seek(tp, offset)

    def _pause(self, tp: TopicPartition) -> None:
        with contextlib.suppress(IllegalStateError):  # no longer ours
            self._consumer.pause(tp)

    def _resume(self, tp: TopicPartition) -> None:
        with contextlib.suppress(IllegalStateError):  # no longer ours
            self._consumer.resume(tp)
