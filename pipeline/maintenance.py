"""Flushes and merges, off the path of the documents: planned in the apply thread, written in
threads of their own, installed in the apply thread.

A shard has one flush and one merge at a time. A merge writes while flushes go on, paced
(pacing.py); then it waits until no flush is under way, is told what they changed, and is
committed. What is durable is told to `on_durable`, which passes it on to the source as a hint.

What follows from an error is in `remedy_of`. A job that is abandoned leaves nothing behind; what
a flush had frozen stays searchable and is what the next one begins with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from index.errors import (
    CorruptionError,
    ExhaustedError,
    FencedError,
    StorageError,
    UnsettledError,
)
from index.jobs import Job, MergeJob, Pace, at_full_speed
from pipeline.applier import Applier
from pipeline.disk import Disk, DiskState
from pipeline.options import PipelineOptions
from pipeline.pacing import MergeStoppedError, Pacer
from pipeline.shard import Shard, ShardState
from pipeline.stall import Stall
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads

log = logging.getLogger(__name__)

TICK_S = 1.0
FLUSH_RETRY_S = 1.0
"""Before a flush that found no room is tried again; doubled each time, up to the next."""
LONGEST_RETRY_S = 30.0
MERGE_RETRY_S = 60.0
SETTLE_RETRY_S = 0.25
"""Before it is looked again whether an edit can be made durable."""

PersistSchema = Callable[[], None]
OnDurable = Callable[[int, int], None]
OnDamage = Callable[[int], None]


class Remedy(Enum):
    """What follows from an error of a flush."""

    LATER = auto()
    """Nothing is wrong with the directory: the same again when there may be room."""
    NEW_FILE = auto()
    """The file is dead, and removed: once more into another one, then the shard fails."""
    FAIL = auto()
    """The shard fails: what it holds stays searchable, it takes nothing more."""


def remedy_of(error: Exception) -> Remedy:
    """Return what a flush that met this error does."""
    if isinstance(error, ExhaustedError):
        return Remedy.LATER
    if isinstance(error, (UnsettledError, FencedError)) or not isinstance(error, StorageError):
        # Which manifest a crash would find is not known; another owner is there; or a bug.
        return Remedy.FAIL
    return Remedy.NEW_FILE


@dataclass(slots=True)
class _Trouble:
    """Of a shard's flushes, since the last that succeeded."""

    n_dead: int = 0
    """Files that died."""
    n_full: int = 0
    not_before: float = 0.0
    """Loop time of the next try."""


class Maintenance:
    """Of one index. Thread rule: the event loop's thread."""

    def __init__(
        self,
        *,
        threads: Threads,
        options: PipelineOptions,
        telemetry: Telemetry,
        persist_schema: PersistSchema,
        on_durable: OnDurable,
        on_damage: OnDamage = lambda shard: None,
        disk: Disk,
    ) -> None:
        """`on_damage`: told of a shard that has failed because files of it are damaged."""
        self._threads = threads
        self._options = options
        self._disk = disk
        self._telemetry = telemetry
        self._persist_schema = persist_schema
        self._on_durable = on_durable
        self._on_damage = on_damage
        self._flushes: dict[Shard, asyncio.Task[None]] = {}
        self._merges: dict[Shard, asyncio.Task[None]] = {}
        self._checks: dict[Shard, asyncio.Task[None]] = {}
        self._no_merge_before: dict[Shard, float] = {}
        """Of the shards whose last merge failed or had to wait for room."""
        self._troubles: dict[Shard, _Trouble] = {}
        """Of the shards whose last flush failed."""
        self._unchecked: set[Shard] = set()
        """Shards whose check could not go on."""

    def consider(self, shard: Shard) -> None:
        """Flush the shard in the background, then merge what is due, unless that is under way."""
        if shard in self._flushes or shard.state not in (ShardState.SERVING, ShardState.DRAINING):
            return
        trouble = self._troubles.get(shard)
        if trouble is not None and asyncio.get_running_loop().time() < trouble.not_before:
            return
        task = asyncio.create_task(self._flush_and_consider(shard), name=f"flush {shard.number}")
        self._flushes[shard] = task
        task.add_done_callback(lambda _: self._flush_ended(shard))

    def check(self, shard: Shard) -> None:
        """Read all that the shard opened, in the background; damage fails it."""
        task = asyncio.create_task(self._check(shard), name=f"check {shard.number}")
        self._checks[shard] = task
        task.add_done_callback(lambda _: self._checks.pop(shard, None))

    async def _check(self, shard: Shard) -> None:
        engine = shard.engine
        try:
            await self._threads.merge(partial(engine.check, self._pacer(shard, lambda: False)))
        except MergeStoppedError:
            pass
        except ExhaustedError as error:  # that is not damage
            self._disk.note_full()
            self._unchecked.add(shard)
            self._log_failure(shard, "check", error)
        except Exception as error:
            self._fail(shard, error)

    def _fail(self, shard: Shard, error: Exception) -> None:
        is_serving = shard.state is ShardState.SERVING
        shard.fail(error)
        if is_serving and isinstance(error, CorruptionError):
            self._on_damage(shard.number)

    def _flush_ended(self, shard: Shard) -> None:
        self._flushes.pop(shard, None)
        shard.note_job_ended()

    def consider_merge(self, shard: Shard) -> None:
        """Merge in the background what is due, unless that is under way."""
        if shard in self._merges or shard.state is not ShardState.SERVING:
            return
        now = asyncio.get_running_loop().time()
        if self._has_no_room():
            self._no_merge_before.setdefault(shard, now)
        if self._has_no_room() or self._no_merge_before.get(shard, now) > now:
            return
        self._no_merge_before.pop(shard, None)
        task = asyncio.create_task(self._merge_while_due(shard), name=f"merge {shard.number}")
        self._merges[shard] = task
        task.add_done_callback(lambda _: self._merges.pop(shard, None))

    def tick(self, shards: Iterable[Shard]) -> None:
        """Begin the flushes that age asks for, and flushes and merges that failed before or had
        to wait for room. To be called about every `TICK_S`."""
        now = asyncio.get_running_loop().time()
        for shard in shards:
            if shard in self._unchecked:
                self._unchecked.discard(shard)
                self.check(shard)
            oldest = shard.oldest_unflushed
            is_old = oldest is not None and now - oldest >= self._options.flush_age_s
            if is_old or shard in self._troubles:
                self.consider(shard)
            elif shard.stall is not Stall.NONE or shard in self._no_merge_before:
                self.consider_merge(shard)

    async def flush(self, shard: Shard) -> None:
        """Return when everything applied before the call is durable.

        Raises: ExhaustedError: there was no room, it is tried again in the background; any other
        StorageError: the shard is FAILED.
        """
        wanted = shard.watermark.next_offset
        while max(shard.engine.durable_offset, 0) < wanted:
            if not await _to_its_end(self._flush(shard)):
                await asyncio.sleep(0.005)  # a rejected record is on its way to the letters

    async def force_merge(self, shard: Shard, max_segments: int = 1) -> None:
        """Flush, then merge down to `max_segments`. Raises: DiskFullError, StorageError."""
        self._disk.require_merges()
        await self.flush(shard)
        plan = partial(Applier.plan_full_merge, max_segments=max_segments)
        await _to_its_end(self._merge(shard, plan))

    async def expunge_deletes(self, shard: Shard) -> None:
        """Flush, then write every segment again that has many deleted documents.

        Raises: DiskFullError, StorageError.
        """
        self._disk.require_merges()
        await self.flush(shard)
        while await _to_its_end(self._merge(shard, Applier.plan_expunge)):
            pass

    async def settle(self, shard: Shard) -> None:
        """Return when nothing runs for the shard. Requires: it is not SERVING any more; a merge or
        a check hears of that and ends."""
        self._no_merge_before.pop(shard, None)
        self._troubles.pop(shard, None)
        self._unchecked.discard(shard)
        all_tasks = (self._flushes, self._merges, self._checks)
        tasks = [tasks[shard] for tasks in all_tasks if shard in tasks]
        if tasks:
            await asyncio.wait(tasks)

    async def _flush_and_consider(self, shard: Shard) -> None:
        try:
            # One that cannot begin because of dead letters under way is asked for again after them.
            while await _to_its_end(self._flush(shard)):
                if shard.state is not ShardState.SERVING or not shard.is_flush_due:
                    break
        except Exception as error:  # what follows from it has already been done
            self._log_failure(shard, "flush", error)
        self.consider_merge(shard)

    async def _merge_while_due(self, shard: Shard) -> None:
        try:
            while shard.state is ShardState.SERVING and await _to_its_end(
                self._merge(shard, Applier.plan_merge)
            ):
                pass
        except Exception as error:
            now = asyncio.get_running_loop().time()
            self._no_merge_before[shard] = now + MERGE_RETRY_S
            self._log_failure(shard, "merge", error)

    def _log_failure(self, shard: Shard, kind: str, error: Exception) -> None:
        log.error(
            "maintenance failed",
            extra={
                "index": shard.index,
                "shard": shard.number,
                "kind": kind,
                "reason": str(error),
                "state": shard.state.name.lower(),
            },
        )

    async def _flush(self, shard: Shard) -> bool:
        async with shard.maintenance_lock:
            while True:
                if shard.state is ShardState.FAILED:
                    name = f"{shard.index}/{shard.number}"
                    reason = f"shard {name} has failed, nothing is flushed: {shard.failure}"
                    raise StorageError(reason)
                job = await self._threads.apply(shard.applier.plan_flush)
                if job is None:
                    return False
                try:
                    await self._run_flush(shard, job)
                    break
                except Exception as error:
                    if not self._is_to_repeat(shard, error):
                        raise
                    self._log_failure(shard, "flush", error)
            self._troubles.pop(shard, None)
            self._on_durable(shard.number, shard.engine.durable_offset)
            await self._sweep(shard)
        return True

    async def _run_flush(self, shard: Shard, job: Job) -> None:
        shard.note_flush_begun()
        started_s = self._threads.wall_s()
        try:
            await self._threads.maintain(partial(self._write, job, at_full_speed))
            await self._commit(shard, job)
        except Exception:
            await self._threads.apply(partial(shard.applier.abandon, job))
            raise
        finally:
            shard.note_job_ended()
        self._observe(shard, job, started_s)

    def _is_to_repeat(self, shard: Shard, error: Exception) -> bool:
        """Do what follows from the error; return whether the flush is tried again at once."""
        trouble = self._troubles.setdefault(shard, _Trouble())
        remedy = remedy_of(error)
        if remedy is Remedy.LATER:
            self._disk.note_full()
            wait_s = min(FLUSH_RETRY_S * 2**trouble.n_full, LONGEST_RETRY_S)
            trouble.n_full += 1
            trouble.not_before = asyncio.get_running_loop().time() + wait_s
            return False
        trouble.n_dead += 1
        if remedy is Remedy.NEW_FILE and trouble.n_dead == 1:
            return True
        self._troubles.pop(shard, None)
        shard.fail(error)
        return False

    async def _merge(self, shard: Shard, plan: Callable[[Applier], Job | None]) -> bool:
        async with shard.merge_lock:
            # The applier is asked for only now: while this waited for its turn, the shard may
            # have been closed, and its directory have another engine.
            job = await self._threads.apply(partial(plan, shard.applier))
            if job is None:
                return False
            started_s = self._threads.wall_s()
            try:
                await self._threads.merge(
                    partial(self._write, job, self._pacer(shard, self._has_no_room))
                )
                # Flushes went on meanwhile; while this one is committed there is none.
                async with shard.maintenance_lock:
                    await self._threads.apply(partial(shard.applier.settle, job))
                    await self._commit(shard, job)
                    await self._sweep(shard)
            except Exception as error:
                await self._threads.apply(partial(shard.applier.abandon, job))
                if isinstance(error, MergeStoppedError):
                    if shard.state is ShardState.SERVING:  # then it was the disk
                        self._no_merge_before[shard] = asyncio.get_running_loop().time()
                    return False
                if isinstance(error, ExhaustedError):
                    self._disk.note_full()
                elif isinstance(error, (UnsettledError, FencedError)) or _is_damaged(job, error):
                    self._fail(shard, error)
                raise
            finally:
                shard.note_job_ended()
        self._observe(shard, job, started_s)
        return True

    def _write(self, job: Job, pace: Pace) -> None:
        # Fields before the segments that use their numbers: a crash between the two leaves
        # fields that no document has, never documents with unknown fields.
        self._persist_schema()
        job.write(pace)

    async def _commit(self, shard: Shard, job: Job) -> None:
        """Make the job's edit durable and take it over. Requires: `maintenance_lock`: while it is
        unsettled, no other edit may follow."""
        while True:
            try:
                await self._threads.maintain(job.commit)
                break
            except UnsettledError as error:
                is_open = shard.state is ShardState.SERVING
                if not isinstance(error.__cause__, ExhaustedError) or not is_open:
                    raise
                self._log_failure(shard, job.kind, error)
            # The disk, or the table of open files, was full at the last step.
            self._disk.note_full()
            await asyncio.sleep(SETTLE_RETRY_S)
        await self._threads.apply(partial(shard.applier.install, job))

    async def _sweep(self, shard: Shard) -> None:
        """Remove what is not needed any more. Not in the apply thread: documents would wait for a
        slow disk. Requires: `maintenance_lock`."""
        await self._threads.maintain(shard.engine.sweep)

    def _has_no_room(self) -> bool:
        return self._disk.state >= DiskState.NO_MERGES

    def _pacer(self, shard: Shard, is_stopped: Callable[[], bool]) -> Pacer:
        return Pacer(
            self._options,
            is_stopped=lambda: shard.state is not ShardState.SERVING or is_stopped(),
            is_urgent=lambda: shard.stall is not Stall.NONE,
            n_searches=lambda: self._threads.n_queries,
        )

    def _observe(self, shard: Shard, job: Job, started_s: float) -> None:
        ended_s = self._threads.wall_s()
        self._telemetry.observe_job(
            shard.index, shard.number, job.kind, started_s=started_s, ended_s=ended_s
        )


async def _to_its_end(job: Coroutine[Any, Any, bool]) -> bool:
    """Go on to the end if the caller gives up: a job that was planned must be installed or
    abandoned."""
    return await asyncio.shield(asyncio.ensure_future(job))


def _is_damaged(job: Job, error: Exception) -> bool:
    """Return whether what a job reads is damaged; what it writes is its own."""
    inputs = job.inputs if isinstance(job, MergeJob) else []
    return isinstance(error, CorruptionError) and error.name in {part.name for part in inputs}
