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
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from pathlib import Path

from index.directory import FsDirectory, OpenDirectory
from index.engine import Engine
from index.errors import (
    CorruptionError,
    ExhaustedError,
    FencedError,
    ShardFailedError,
    StorageError,
    TailraceError,
)
from index.gaps import Gap
from index.options import IndexOptions
from index.rebuild import begin_anew
from index.schema import SchemaRef
from pipeline.applied import AppliedBatch, Visible
from pipeline.applier import Applier
from pipeline.batcher import Batch, Batcher
from pipeline.dead_letters import bury
from pipeline.events import Record, Rejected, dead_letter
from pipeline.feed import Log
from pipeline.options import PipelineOptions
from pipeline.outcomes import Outcomes
from pipeline.refusals import FindRefused, refuse_by_answer
from pipeline.stall import Stall, delay_s, stall_of
from pipeline.threads import Threads
from pipeline.watermark import Watermark

log = logging.getLogger(__name__)

DEAD_LETTER_RETRY_S = 1.0
DRAIN_LETTERS_S = 3.0
"""How long a drain goes on trying to write dead letters."""
PAUSE_STEP_S = 0.1
OPEN_RETRIES_S = (0.25, 0.5, 1.0, 2.0)
"""What a shard waits before it tries again to be opened where there is no room."""
NOTHING_VISIBLE = Visible((), 0)


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
    wants_merge: Callable[[Shard], None] = lambda shard: None
    """In the event loop: documents wait for merges."""
    wants_changes: Callable[[], bool] = lambda: False
    """In the apply thread: `on_applied` will look at what changed. It may at any time; then the
    event loop has the work."""
    on_fenced: Callable[[FencedError], None] = lambda error: None
    """In the event loop: the shard has another owner, who is another process."""
    must_wait: Callable[[], bool] = lambda: False
    """Any thread: nothing may be applied now, but for a drain."""
    note_full: Callable[[], None] = lambda: None
    """There was no room."""


OpenEngine = Callable[[Path, SchemaRef, IndexOptions, int], Engine]


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
        find_refused: FindRefused = refuse_by_answer,
        open_directory: OpenDirectory = FsDirectory,
        open_engine: OpenEngine | None = None,
    ) -> None:
        self.index = index
        self.number = number
        self.path = path
        self.state = ShardState.RECOVERING
        self.failure: Exception | None = None
        self.halted: TailraceError | None = None
        """Why nothing more comes for it; what it has stays searchable and is flushed."""
        self.outcomes = Outcomes()
        self.watermark = Watermark(0)
        self.maintenance_lock = asyncio.Lock()
        """Held while a flush of this shard is planned, written and installed, and while a merge
        that is written is installed."""
        self.merge_lock = asyncio.Lock()
        """Held while a merge is planned, written and installed; taken before the other one."""
        self._schema_ref = schema_ref
        self._threads = threads
        self._options = options
        self._index_options = index_options
        self._dead_letters = dead_letters
        self._hooks = hooks
        self._find_refused = find_refused
        self._open_directory = open_directory
        self._open_engine = open_engine or self._take_over
        self._applier: Applier | None = None
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
        self._is_dropping = False
        self._oldest_unflushed: float | None = None
        self._last_stall = Stall.NONE
        self._last_taken = 0.0
        self.n_duplicates = 0
        self.n_gaps = 0

    # --- what is there -----------------------------------------------------------------
    @property
    def applier(self) -> Applier:
        """Return the part of it that belongs to the apply thread. Raises: StorageError."""
        if self._applier is None:
            raise StorageError(f"shard {self.index}/{self.number} is not open")
        return self._applier

    @property
    def engine(self) -> Engine:
        """Return the engine; its views, offsets and stats may be read. Raises: StorageError."""
        return self.applier.engine

    @property
    def visible(self) -> Visible:
        """Return what a search sees now. Any thread."""
        return self._applier.visible if self._applier is not None else NOTHING_VISIBLE

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
        return self._applier is not None and self._applier.engine.is_memtable_full()

    @property
    def is_stalled(self) -> bool:
        """Return whether flushes are so far behind that no more may be applied."""
        bound = self._options.max_stall_memtables * self._index_options.memtable_bytes
        return self.engine.memtable_bytes > bound

    @property
    def stall(self) -> Stall:
        """Return whether merges are so far behind that documents have to wait. Any thread."""
        applier = self._applier
        if applier is None:
            return Stall.NONE
        return stall_of(applier.engine.n_unsettled, self._options)

    def _move(self, event: str) -> None:
        self.state = TRANSITIONS[self.state][event]

    @property
    def is_open(self) -> bool:
        """Return whether it has an engine. One that could not be opened has none."""
        return self._applier is not None

    @property
    def unsearchable(self) -> ShardFailedError | None:
        """Return why a search must not see this shard: its files are damaged, or it is being
        rebuilt and lacks what it had. None where it may. Any thread."""
        applier, failure, name = self._applier, self.failure, f"[{self.index}][{self.number}]"
        if isinstance(failure, CorruptionError) or (failure is not None and applier is None):
            return ShardFailedError(f"{name} has failed: {failure}")
        if applier is None:
            return ShardFailedError(f"{name} is not open")
        rebuild, at = applier.engine.rebuild, applier.visible.next_offset
        if rebuild is not None and at < rebuild.until:
            reason = f"is being rebuilt from the log, {at} of {rebuild.until} offsets are done"
            return ShardFailedError(f"{name} {reason}")
        return None

    @property
    def refusal(self) -> ShardFailedError | None:
        """Return why writes must not go to this shard, None where they may."""
        if self.state is ShardState.FAILED:
            return ShardFailedError(f"[{self.index}][{self.number}] has failed: {self.failure}")
        return self.unsearchable

    # --- open and close ----------------------------------------------------------------
    async def open(self) -> int | None:
        """Recover, begin to serve, and return the next offset to deliver (None: any).

        Where there is no room, or no more files can be open, it is tried again for a moment.
        Raises: CorruptionError, StorageError; the shard is FAILED then.
        """
        return await self._open(
            lambda: self._open_engine(self.path, self._schema_ref, self._index_options, self.number)
        )

    async def rebuild(self, damage: CorruptionError, log_end: int) -> int | None:
        """Begin anew, the damaged files set aside; then as `open`. `log_end`: see `begin_anew`."""

        def open_anew() -> Engine:
            begin_anew(self._open_directory(self.path), str(damage), log_end)
            return self._open_engine(self.path, self._schema_ref, self._index_options, self.number)

        log.error(
            "shard is damaged and rebuilt from the log",
            extra={"index": self.index, "shard": self.number, "reason": str(damage)},
        )
        return await self._open(open_anew)

    def _take_over(
        self, path: Path, schema_ref: SchemaRef, options: IndexOptions, number: int
    ) -> Engine:
        """Take the shard's directory over; make an empty shard where there is none."""
        return Engine.open(self._open_directory(path), schema_ref, options, number)

    async def _open(self, open_engine: Callable[[], Engine]) -> int | None:
        try:
            engine = await self._recover(open_engine)
        except Exception as error:
            self._fail(error)
            raise
        self._applier = Applier(
            self.index,
            self.number,
            engine,
            self._index_options,
            self._find_refused,
            self._hooks.wants_changes,
            self._threads.wall_s,
        )
        self._delivered = self.visible.next_offset
        self.watermark = Watermark(self._delivered)
        self._move("recovered")
        self._task = asyncio.create_task(self._run(), name=f"shard {self.index}/{self.number}")
        return engine.next_offset if engine.next_offset >= 0 else None

    async def _recover(self, open_engine: Callable[[], Engine]) -> Engine:
        for wait_s in OPEN_RETRIES_S:
            try:
                return await self._threads.query(open_engine)
            except ExhaustedError as error:
                self._hooks.note_full()
                log.warning(
                    "shard not opened, will try again",
                    extra={"index": self.index, "shard": self.number, "reason": str(error)},
                )
                await asyncio.sleep(wait_s)
        return await self._threads.query(open_engine)

    async def drain(self) -> None:
        """Take no more records, and return when all that were delivered are applied."""
        if self.state is ShardState.SERVING:
            self._move("revoked")
        self._wake.set()
        self._room.set()
        if self._task is not None:
            await self._task

    def drop_queue(self) -> None:
        """Forget what was delivered and is not applied: the log still has it. No flush may come
        after it, because dead letters are not waited for either."""
        self._is_dropping = True
        self._batcher.clear()
        self._wake.set()

    async def close(self) -> None:
        """End. Requires: drained. What is not flushed is dropped: the log still has it."""
        async with self.merge_lock, self.maintenance_lock:
            if self.state is not ShardState.CLOSED:
                self._move("drained")
            self._applier = None
        self.watermark.fail(StorageError(f"shard {self.index}/{self.number} is closed"))

    def _fail(self, error: Exception) -> None:
        self.failure = error
        if isinstance(error, FencedError):
            self._hooks.on_fenced(error)
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

    def note_flush_begun(self) -> None:
        """What was applied so far is on its way to disk."""
        self._oldest_unflushed = None

    def note_job_ended(self) -> None:
        """There may be room again."""
        engine = self._applier.engine if self._applier is not None else None
        if engine is not None and engine.next_offset > engine.durable_offset:
            # What came between the freeze and `note_flush_begun` was marked as flushed too.
            self._oldest_unflushed = self._oldest_unflushed or asyncio.get_running_loop().time()
        self._wake.set()

    def fail(self, error: Exception) -> None:
        """Stop for good: its directory cannot be trusted to take more."""
        if self.state in (ShardState.SERVING, ShardState.DRAINING):
            self._fail(error)
            self._wake.set()

    def halt(self, error: TailraceError) -> None:
        """Take no more: its log cannot be read on. What was delivered is applied and flushed."""
        self.halted = error
        name = f"shard {self.index}/{self.number}"
        self.watermark.end_at(self._delivered, StorageError(f"{name} is halted: {error}"))

    async def skip_gap(self, next_offset: int) -> None:
        """Go on at `next_offset`: the log has lost what lies before it and was not delivered.
        The manifest remembers it.

        Raises: StorageError where the shard is not serving.
        """
        self._require_serving()
        gap = Gap(self._delivered, next_offset, int(self._threads.wall_s() * 1000))
        log.error(
            "data gap skipped: these offsets are lost to the index",
            extra={"index": self.index, "shard": self.number, "from": gap.first, "to": gap.end},
        )
        await self._threads.apply(partial(self.engine.note_gap, gap))
        await self.deliver([], next_offset)

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
        self._batcher.add(records, next_offset, now=now, consumed_s=self._threads.wall_s())
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
                await self._wake.wait()
            elif not is_draining and (pause_s := self._pause_s(loop.time())) > 0.0:
                timer = loop.call_later(pause_s, self._wake.set)
                await self._wake.wait()
                timer.cancel()
            elif is_draining or self._batcher.is_due(loop.time()):
                self._last_taken = loop.time()
                return self._batcher.take(loop.time())
            else:
                timer = loop.call_at(deadline, self._wake.set)
                await self._wake.wait()
                timer.cancel()

    def _pause_s(self, now: float) -> float:
        """Return how long the next batch has to wait for room, or for merges."""
        if self._hooks.must_wait():
            return PAUSE_STEP_S
        stall = self.stall
        if stall is not self._last_stall:
            self._note_stall(stall)
        if stall is Stall.NONE:
            return 0.0
        self._hooks.wants_merge(self)
        if stall is Stall.PAUSED:
            return PAUSE_STEP_S
        return self._last_taken + delay_s(self.engine.n_unsettled, self._options) - now

    def _note_stall(self, stall: Stall) -> None:
        self._last_stall = stall
        log.log(
            logging.INFO if stall is Stall.NONE else logging.WARNING,
            f"ingestion {'goes on' if stall is Stall.NONE else stall.name.lower()}",
            extra={
                "index": self.index,
                "shard": self.number,
                "segments_to_merge": self.engine.n_unsettled,
            },
        )

    async def _bury(self, rejected: list[Rejected]) -> None:
        """Return once the dead letters have all of `rejected`; until then no flush begins."""
        loop = asyncio.get_running_loop()
        letters = [dead_letter(entry) for entry in rejected]
        give_up_at: float | None = None
        while True:
            try:
                await bury(self._dead_letters, letters)
                break
            except Exception as error:
                log.warning(
                    "dead letters not written, will try again",
                    extra={"index": self.index, "shard": self.number, "reason": str(error)},
                )
                if self._is_dropping or self.state is ShardState.FAILED:
                    return
                if self.state is ShardState.DRAINING:
                    give_up_at = give_up_at or loop.time() + DRAIN_LETTERS_S
                    if loop.time() >= give_up_at:
                        # Nothing is flushed then: the next owner reads and rejects them again.
                        self._fail(StorageError(f"dead letters cannot be written: {error}"))
                        return
                await asyncio.sleep(DEAD_LETTER_RETRY_S)
        self.applier.letters_written()

    def _apply(self, batch: Batch, loop: asyncio.AbstractEventLoop) -> AppliedBatch:
        """Make the batch searchable, tell, and count. Apply thread."""
        done = self.applier.apply(batch)
        # Waiters first, counting after: this is the moment that freshness is measured by.
        loop.call_soon_threadsafe(self._published, done)
        try:
            self._hooks.observe(done)
        except Exception:  # what counts the documents must not stop them
            log.exception("batch not counted", extra={"index": self.index})
        return done

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
        self.watermark.advance(done.visible.next_offset)
        self._hooks.on_applied(done)
