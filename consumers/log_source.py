"""Feeds an index from the embedded log."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.log_partition import LogReader
from consumers.source import (
    DataGapError,
    Record,
    ReplacedError,
    Sink,
    SourceError,
    TruncatedError,
    fence_of,
    is_behind_fence,
)
from index.errors import StorageError, TailraceError
from index.rebuild import DamagedShardError

if TYPE_CHECKING:
    from consumers.log import EmbeddedLog

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
RECHECK_S = 0.005
"""How often a full sink is looked at again."""


@dataclass(slots=True)
class _Position:
    next_offset: int
    first_end: int
    """The end of the partition when it was opened: at it, the shard is caught up."""


class EmbeddedSource:
    """A source over an `EmbeddedLog`; see `consumers.source.Source`. The log is not closed."""

    def __init__(self, log: EmbeddedLog, *, budget_bytes: int = 64 << 20) -> None:
        self._log = log
        self._budget_bytes = budget_bytes // log.n_partitions
        self._positions: dict[int, _Position] = {}
        self._hints: dict[int, int] = {}
        self._is_stopping = False
        self._is_over = [asyncio.Event() for _ in range(log.n_partitions)]
        """Of each partition: to be closed, and opened again unless all ends."""
        self._ended = asyncio.Event()
        self._ended.set()
        self._opened: set[int] = set()
        """Partitions that were opened, or could not be."""

    async def run(self, sink: Sink) -> None:
        self._ended.clear()
        try:
            async with asyncio.TaskGroup() as tasks:
                for partition in range(self._log.n_partitions):
                    tasks.create_task(self._run_partition(sink, partition))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._ended.set()

    async def stop(self) -> None:
        self._is_stopping = True
        for is_over in self._is_over:
            is_over.set()
        await self._ended.wait()

    def reopen(self, partition: int) -> None:
        self._is_over[partition].set()

    def commit_hint(self, partition: int, next_offset: int) -> None:
        """Let the log go of what the index holds durably, also where its newest manifest gets
        damaged and it goes back to the one before: so one hint late."""
        before = self._hints.get(partition, 0)
        if next_offset > before:
            self._hints[partition] = next_offset
            self._log.cut_behind(partition, before)

    def lag(self) -> dict[int, int]:
        end_offset = self._log.end_offset
        return {no: end_offset(no) - at.next_offset for no, at in self._positions.items()}

    def is_caught_up(self) -> bool:
        return len(self._opened) == self._log.n_partitions and all(
            at.next_offset >= at.first_end for at in self._positions.values()
        )

    async def _run_partition(self, sink: Sink, partition: int) -> None:
        while not self._is_stopping:
            self._is_over[partition].clear()
            try:
                await self._serve_partition(sink, partition)
            finally:
                self._positions.pop(partition, None)
                await _close(sink, partition)

    async def _open(self, sink: Sink, partition: int) -> int | None:
        """Return where the shard goes on; a damaged one begins anew if the log holds all of it."""
        try:
            return await sink.open_partition(partition)
        except DamagedShardError:
            bounds = self._log.start_offset(partition), self._log.end_offset(partition)
            return await sink.rebuild_partition(partition, bounds)

    async def _serve_partition(self, sink: Sink, partition: int) -> None:
        try:
            stored = await self._open(sink, partition)
        except TailraceError as error:
            self._opened.add(partition)
            await self._give_up(sink, partition, error)
            await self._is_over[partition].wait()
            return
        gap = self._gap(partition, stored) or await self._replaced(sink, partition)
        if gap is not None:
            self._opened.add(partition)
            await self._give_up(sink, partition, gap)
            await self._is_over[partition].wait()
            return
        start = self._log.start_offset(partition) if stored is None else stored
        self._positions[partition] = _Position(start, self._log.end_offset(partition))
        self._opened.add(partition)
        reader = self._log.reader(partition, start)
        try:
            await self._feed(sink, partition, reader)
        finally:
            reader.close()
        # A shard that has failed takes nothing more, but what it has stays searchable.
        await self._is_over[partition].wait()

    def _gap(self, partition: int, stored: int | None) -> SourceError | None:
        start, end = self._log.start_offset(partition), self._log.end_offset(partition)
        if stored is None or start <= stored <= end:
            return None
        if stored < start:
            return DataGapError(self._log.topic, partition, stored, start)
        return TruncatedError(self._log.topic, partition, stored, end)

    async def _replaced(self, sink: Sink, partition: int) -> TailraceError | None:
        fence = fence_of(sink, partition)
        if fence is None or fence["offset"] < self._log.start_offset(partition):
            return None  # no longer held: that proves nothing
        reader = self._log.reader(partition, fence["offset"])
        try:
            records = await self._log.read(reader, 1)
        except StorageError as error:
            return error
        finally:
            reader.close()
        if records and is_behind_fence(fence, records[0].timestamp_ms, records[0].value):
            return None
        return ReplacedError(self._log.topic, partition, fence["offset"])

    async def _feed(self, sink: Sink, partition: int, reader: LogReader) -> None:
        position = self._positions[partition]
        while not self._is_over[partition].is_set():
            if sink.backlog_bytes(partition) > self._budget_bytes:
                await asyncio.sleep(RECHECK_S)
                continue
            offset = reader.next_offset
            try:
                stored = await self._log.read(reader, READ_BYTES)
            except StorageError as error:
                await self._give_up(sink, partition, self._gap(partition, offset) or error)
                return
            if not stored:
                await self._wait_growth(partition, offset)
                continue
            topic = self._log.topic
            records = [
                Record(topic, partition, no, s.timestamp_ms, s.key, s.value, s.headers)
                for no, s in enumerate(stored, offset)
            ]
            assert offset + len(records) == reader.next_offset
            try:
                await sink.deliver(partition, records, reader.next_offset)
            except TailraceError as error:
                # The shard has failed, and knows it: the others go on.
                log.error("shard takes no records", extra={"reason": str(error)})
                del self._positions[partition]
                return
            position.next_offset = reader.next_offset

    async def _give_up(self, sink: Sink, partition: int, error: TailraceError) -> None:
        log.error("partition halted", extra={"reason": str(error)})
        self._positions.pop(partition, None)
        await sink.fail_partition(partition, error)

    async def _wait_growth(self, partition: int, offset: int) -> None:
        growth = asyncio.ensure_future(self._log.wait_past(partition, offset))
        stop = asyncio.ensure_future(self._is_over[partition].wait())
        try:
            await asyncio.wait([growth, stop], return_when=asyncio.FIRST_COMPLETED)
        finally:
            growth.cancel()
            stop.cancel()


async def _close(sink: Sink, partition: int) -> None:
    try:
        await sink.close_partition(partition, True)
    except TailraceError as error:
        # It is closed all the same, and the log is read on from what is durable.
        log.error("shard not flushed as it closed", extra={"reason": str(error)})
