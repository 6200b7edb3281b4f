"""A shard: one partition's engine, the queue before it and the watermark behind it.

Theory of operation: `deliver` queues raw records. One task takes a batch when it is due, has it
decoded and applied in the node's apply thread, and publishes what became of it. Rejected records
are in the dead letters before the next batch begins, and no flush may begin between: so no
checkpoint ever covers a record that is in neither place.

Thread rule: the event loop's thread, but for the methods that say "apply thread". `visible` may
be read by any thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

import google_crc32c

from index.directory import FsDirectory
from index.engine import Engine
from index.errors import StorageError, TailraceError
from index.jobs import Job
from index.options import IndexOptions
from index.schema import SchemaRef
from pipeline.applied import AppliedBatch, Visible
from pipeline.batcher import Batch, Batcher
from pipeline.decoding import decode_batch
from pipeline.events import Record, Rejected, dead_letter
from pipeline.feed import Log
from pipeline.options import PipelineOptions
from pipeline.outcomes import Outcomes
from pipeline.threads import Threads
from pipeline.watermark import Watermark

log = logging.getLogger(__name__)

DEAD_LETTER_RETRY_S = 1.0


class ShardState(Enum):
    RECOVERING = auto()
    SERVING = auto()
    DRAINING = auto()
    CLOSED = auto()
    FAILED = auto()


TRANSITIONS: dict[ShardState, dict[str, ShardState]] = {
    ShardState.RECOVERING: {
        "recovered": ShardState.SERVING,
        "failed": ShardState.FAILED,
    },
    ShardState.SERVING: {"revoked": ShardState.DRAINING, "failed": ShardState.FAILED},
    ShardState.DRAINING: {"drained": ShardState.CLOSED, "failed": ShardState.FAILED},
    ShardState.FAILED: {"revoked": ShardState.FAILED, "drained": ShardState.CLOSED},
    ShardState.CLOSED: {},
}


@dataclass(frozen=True, slots=True)
class ShardHooks:
    """Whom a shard tells."""

    on_applied: Callable[[AppliedBatch], None]
    """In the event loop, in log order, right after the batch became searchable."""
    observe: Callable[[AppliedBatch], None]
    """In the apply thread, after `on_applied` was scheduled: for counting."""
    wants_maintenance: Callable[[Shard], None]
    """In the event loop: a flush may be due."""


OpenEngine = Callable[[Path, SchemaRef, IndexOptions, int], Engine]


def open_engine(path: Path, schema_ref: SchemaRef, options: IndexOptions, number: int) -> Engine:
    """Recover the shard's engine from its directory; make an empty one where there is none."""
    path.mkdir(parents=True, exist_ok=True)
    return Engine.open(FsDirectory(path), schema_ref, options, number)


class Shard:
    def __init__(
        self,
        index: str,
        number: int,
        path: Path,
        schema_ref: SchemaRef,
        *,
        threads: Threads,
        options: PipelineOptions,
        index_options: IndexOptions,
        dead_letters: Log,
        hooks: ShardHooks,
        open_engine: OpenEngine = open_engine,
    ) -> None:
        self.index = index
        self.number = number
        self.path = path
        self.state = ShardState.RECOVERING
        self.failure: Exception | None = None
        self.outcomes = Outcomes()
        self.watermark = Watermark(0)
        self.visible = Visible((), 0)
        self.maintenance_lock = asyncio.Lock()
        """Held while a flush or merge of this shard is planned, run and installed."""
        self.job_done = asyncio.Event()
        self._schema_ref = schema_ref
        self._threads = threads
        self._options = options
        self._index_options = index_options
        self._dead_letters = dead_letters
        self._hooks = hooks
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._batcher = Batcher(
            max_records=options.max_batch_docs,
            max_bytes=options.max_batch_bytes,
            max_age_s=options.max_batch_age_s,
        )
        self._delivered = 0
        self._in_flight_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_record: Record | None = None
        self._has_dead_pending = False
        self._oldest_unflushed: float | None = None
        self.n_duplicates = 0
        self.n_gaps = 0

    # --- what is there -----------------------------------------------------------------
    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise StorageError(f"shard {self.index}/{self.number} is not open")
        return self._engine

    @property
    def backlog_bytes(self) -> int:
        """Return about how much was delivered and is not searchable yet."""
        return self._batcher.n_bytes + self._in_flight_bytes

    @property
    def delivered_offset(self) -> int:
        """Return the offset after the last one delivered."""
        return self._delivered

    @property
    def oldest_unflushed(self) -> float | None:
        """Return when (loop time) the oldest batch was applied that no flush has taken."""
        return self._oldest_unflushed

    @property
    def is_flush_due(self) -> bool:
        return self._engine is not None and self._engine.is_memtable_full()

    @property
    def is_stalled(self) -> bool:
        """Return whether flushes are so far behind that no more may be applied."""
        bound = self._options.max_stall_memtables * self._index_options.memtable_bytes
        return self.engine.memtable_bytes > bound

    def _move(self, event: str) -> None:
        self.state = TRANSITIONS[self.state][event]

    # --- open and close ----------------------------------------------------------------
    async def open(self) -> int | None:
        """Recover, begin to serve, and return the next offset to deliver (None: any).

        Raises: CorruptionError, StorageError; the shard is FAILED then.
        """
        try:
            self._engine = await self._threads.query(
                lambda: self._open_engine(
                    self.path, self._schema_ref, self._index_options, self.number
                )
            )
        except Exception as error:
            self._fail(error)
            raise
        next_offset = self._engine.next_offset
        self._delivered = max(next_offset, 0)
        self.watermark = Watermark(self._delivered)
        self.visible = Visible(self._engine.views(), self._delivered)
        self._move("recovered")
        self._task = asyncio.create_task(self._run(), name=f"shard {self.index}/{self.number}")
        return next_offset if next_offset >= 0 else None

    async def drain(self) -> None:
        """Take no more records, and return when all that were delivered are applied."""
        if self.state is ShardState.SERVING:
            self._move("revoked")
        self._wake.set()
        self._room.set()
        if self._task is not None:
            await self._task

    def drop_queue(self) -> None:
        """Forget what was delivered and is not applied: the log still has it."""
        self._batcher.clear()
        self._wake.set()

    async def close(self) -> None:
        """End. Requires: drained. What is not flushed is dropped: the log still has it."""
        async with self.maintenance_lock:
            if self.state is not ShardState.CLOSED:
                self._move("drained")
            self._engine = None
            self.visible = Visible((), 0)
        self.watermark.fail(StorageError(f"shard {self.index}/{self.number} is closed"))

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._move("failed")
        self._batcher.clear()
        self._room.set()
        failure = StorageError(f"shard {self.index}/{self.number} failed: {error}")
        self.watermark.fail(failure)
        log.error(
            "shard failed",
            extra={"index": self.index, "shard": self.number, "reason": str(error)},
            exc_info=error if not isinstance(error, TailraceError) else None,
        )

    def fail(self, error: Exception) -> None:
        """Stop for good: its directory cannot be trusted to take more."""
        if self.state in (ShardState.SERVING, ShardState.DRAINING):
            self._fail(error)
            self._wake.set()

    # --- records in --------------------------------------------------------------------
    async def deliver(self, records: list[Record], next_offset: int) -> None:
        """Queue records in offset order. Those delivered before are dropped and counted; a hole
        (compaction, transaction markers) is legal. Waits while the backlog is past its bound.

        Raises: StorageError where the shard is not serving.
        """
        self._require_serving()
        while self.backlog_bytes > self._options.max_backlog_bytes:
            self._room.clear()
            await self._room.wait()
            self._require_serving()
        if records and records[0].offset < self._delivered:
            n_before = len(records)
            records = [record for record in records if record.offset >= self._delivered]
            self.n_duplicates += n_before - len(records)
        if records and records[0].offset > self._delivered:
            self.n_gaps += 1
        next_offset = max(next_offset, records[-1].offset + 1 if records else 0)
        if next_offset <= self._delivered:
            return
        self._delivered = next_offset
        now = asyncio.get_running_loop().time()
        self._batcher.add(records, next_offset, now=now, consumed_s=time.time())
        self._wake.set()

    def _require_serving(self) -> None:
        if self.state is not ShardState.SERVING:
            reason = f": {self.failure}" if self.failure is not None else ""
            name = self.state.name.lower()
            raise StorageError(f"shard {self.index}/{self.number} is {name}{reason}")

    async def _run(self) -> None:
        try:
            while (batch := await self._next_batch()) is not None:
                self._in_flight_bytes = batch.n_bytes
                done = await self._threads.apply(
                    partial(self._apply, batch, asyncio.get_running_loop())
                )
                self._in_flight_bytes = 0
                self._room.set()
                if done.rejected:
                    await self._bury(done.rejected)
                if self.is_flush_due:
                    self._hooks.wants_maintenance(self)
        except Exception as error:  # a bug or a dead disk: nothing may be applied on top of it
            self._in_flight_bytes = 0
            if self.state is not ShardState.FAILED:
                self._fail(error)

    async def _next_batch(self) -> Batch | None:
        """Wait until a batch is due and there is room for it; None: drained, or failed."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if self.state is ShardState.FAILED:
                return None
            is_draining = self.state is ShardState.DRAINING
            deadline = self._batcher.deadline
            if deadline is None:
                if is_draining:
                    return None
                await self._wake.wait()
            elif self.is_stalled:
                self._hooks.wants_maintenance(self)
                self.job_done.clear()
                await self.job_done.wait()
            elif is_draining or self._batcher.is_due(loop.time()):
                return self._batcher.take(loop.time())
            else:
                timer = loop.call_at(deadline, self._wake.set)
                await self._wake.wait()
                timer.cancel()

    async def _bury(self, rejected: list[Rejected]) -> None:
        """Return once the dead letters have all of `rejected`; until then no flush begins."""
        letters = [dead_letter(entry) for entry in rejected]
        while True:
            try:
                await self._dead_letters.append(letters)
                break
            except Exception as error:
                log.warning(
                    "dead letters not written, will try again",
                    extra={"index": self.index, "shard": self.number, "reason": str(error)},
                )
                await asyncio.sleep(DEAD_LETTER_RETRY_S)
        self._has_dead_pending = False

    # --- the apply thread ----------------------------------------------------------------
    def _apply(self, batch: Batch, loop: asyncio.AbstractEventLoop) -> AppliedBatch:
        """Decode, apply, make searchable. Apply thread."""
        taken_s = time.time()
        decoded = decode_batch(batch, self._index_options)
        decoded_s = time.time()
        applied = self.engine.apply(decoded.events, batch.next_offset)
        for number, reason in applied.rejected:
            record = decoded.records[number]
            decoded.rejected.append(Rejected(record, "mapper_parsing_exception", reason))
        if decoded.rejected:
            self._has_dead_pending = True
        if batch.arrivals:
            self._last_record = batch.arrivals[-1].records[-1]
        self.publish()
        done = AppliedBatch(
            index=self.index,
            shard=self.number,
            batch=batch,
            decoded=decoded,
            applied=applied,
            visible=self.visible,
            taken_s=taken_s,
            decoded_s=decoded_s,
            searchable_s=time.time(),
        )
        # Waiters first, counting after: this is the moment that freshness is measured by.
        loop.call_soon_threadsafe(self._published, done)
        self._hooks.observe(done)
        return done

    def publish(self) -> None:
        """Let searches see the engine as it is now. Apply thread."""
        engine = self.engine
        self.visible = Visible(engine.views(), max(engine.next_offset, 0))

    def plan_flush(self) -> Job | None:
        """Begin a flush; None: nothing to flush, a job runs, or a rejected record is not yet in
        the dead letters. Apply thread."""
        if self._has_dead_pending:
            return None
        job = self.engine.plan_flush(self._fence())
        if job is not None:
            self._oldest_unflushed = None
            self.publish()
        return job

    def plan_merge(self) -> Job | None:
        """Apply thread."""
        return self.engine.plan_merge()

    def plan_full_merge(self) -> Job | None:
        """Apply thread."""
        return self.engine.plan_full_merge()

    def install(self, job: Job) -> None:
        """Apply thread."""
        self.engine.install(job)
        self.publish()

    def abandon(self, job: Job) -> None:
        """Apply thread."""
        self.engine.abandon(job)

    def _fence(self) -> dict[str, int] | None:
        """Return what proves, at the next start, that the log is still the one we read."""
        record = self._last_record
        if record is None:
            return self.engine.manifest.fence
        crc32c: int = google_crc32c.value(record.value or b"")
        return {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "crc32c": crc32c,
        }

    # --- the event loop ------------------------------------------------------------------
    def _published(self, done: AppliedBatch) -> None:
        if self._oldest_unflushed is None:
            self._oldest_unflushed = asyncio.get_running_loop().time()
        applied = done.applied
        if self.outcomes.is_wanted:
            reasons = {
                done.decoded.events[number].offset: reason for number, reason in applied.rejected
            }
            offsets = [event.offset for event in done.decoded.events]
            self.outcomes.keep(offsets, applied.outcomes, applied.versions, reasons)
        self._hooks.on_applied(done)
        self.watermark.advance(done.visible.next_offset)
