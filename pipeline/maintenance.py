"""Flushes and merges, off the path of the documents: planned in the apply thread, written in
threads of their own, installed in the apply thread.

A shard has one flush and one merge at a time. A merge writes while flushes go on, paced
(pacing.py); then it waits until no flush is under way, is told what they changed, and is
committed. What is durable is told to `on_durable`, which passes it on to the source as a hint.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from index.errors import StorageError
from index.jobs import Job, Pace, at_full_speed
from pipeline.applier import Applier
from pipeline.options import PipelineOptions
from pipeline.pacing import MergeStoppedError, Pacer
from pipeline.shard import Shard, ShardState
from pipeline.stall import Stall
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads

log = logging.getLogger(__name__)

TICK_S = 1.0
MERGE_RETRY_S = 60.0

PersistSchema = Callable[[], None]
OnDurable = Callable[[int, int], None]


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
    ) -> None:
        self._threads = threads
        self._options = options
        self._telemetry = telemetry
        self._persist_schema = persist_schema
        self._on_durable = on_durable
        self._flushes: dict[Shard, asyncio.Task[None]] = {}
        self._merges: dict[Shard, asyncio.Task[None]] = {}
        self._checks: dict[Shard, asyncio.Task[None]] = {}
        self._no_merge_before: dict[Shard, float] = {}

    def consider(self, shard: Shard) -> None:
        """Flush the shard in the background, then merge what is due, unless that is under way."""
        if shard in self._flushes or shard.state not in (ShardState.SERVING, ShardState.DRAINING):
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
            await self._threads.merge(partial(engine.check, self._pacer(shard)))
        except MergeStoppedError:
            pass
        except Exception as error:
            shard.fail(error)

    def _flush_ended(self, shard: Shard) -> None:
        self._flushes.pop(shard, None)
        shard.note_job_ended()

    def consider_merge(self, shard: Shard) -> None:
        """Merge in the background what is due, unless that is under way."""
        now = asyncio.get_running_loop().time()
        is_due = self._no_merge_before.get(shard, 0.0) <= now
        if shard in self._merges or shard.state is not ShardState.SERVING or not is_due:
            return
        task = asyncio.create_task(self._merge_while_due(shard), name=f"merge {shard.number}")
        self._merges[shard] = task
        task.add_done_callback(lambda _: self._merges.pop(shard, None))

    def tick(self, shards: Iterable[Shard]) -> None:
        """Begin the flushes that age asks for, and merges that failed before. To be called about
        every `TICK_S`."""
        now = asyncio.get_running_loop().time()
        for shard in shards:
            oldest = shard.oldest_unflushed
            if oldest is not None and now - oldest >= self._options.flush_age_s:
                self.consider(shard)
            elif shard.stall is not Stall.NONE:
                self.consider_merge(shard)

    async def flush(self, shard: Shard) -> None:
        """Return when everything applied before the call is durable.

        Raises: StorageError; the shard is FAILED then.
        """
        wanted = shard.watermark.next_offset
        while max(shard.engine.durable_offset, 0) < wanted:
            if not await _to_its_end(self._flush(shard)):
                await asyncio.sleep(0.005)  # a rejected record is on its way to the letters

    async def force_merge(self, shard: Shard, max_segments: int = 1) -> None:
        """Flush, then merge down to `max_segments`."""
        await self.flush(shard)
        plan = partial(Applier.plan_full_merge, max_segments=max_segments)
        await _to_its_end(self._merge(shard, plan))

    async def expunge_deletes(self, shard: Shard) -> None:
        """Flush, then write every segment again that has many deleted documents."""
        await self.flush(shard)
        while await _to_its_end(self._merge(shard, Applier.plan_expunge)):
            pass

    async def settle(self, shard: Shard) -> None:
        """Return when nothing runs for the shard. Requires: it is not SERVING any more; a merge or
        a check hears of that and ends."""
        self._no_merge_before.pop(shard, None)
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
        except Exception as error:  # a failed flush has already failed its shard
            self._log_failure(shard, error)
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
            self._log_failure(shard, error)

    def _log_failure(self, shard: Shard, error: Exception) -> None:
        log.error(
            "maintenance failed",
            extra={"index": shard.index, "shard": shard.number, "reason": str(error)},
        )

    async def _flush(self, shard: Shard) -> bool:
        async with shard.maintenance_lock:
            if shard.state is ShardState.FAILED:
                name = f"{shard.index}/{shard.number}"
                raise StorageError(f"shard {name} has failed, nothing is flushed: {shard.failure}")
            job = await self._threads.apply(shard.applier.plan_flush)
            if job is None:
                return False
            shard.note_flush_begun()
            started_s = self._threads.wall_s()
            try:
                await self._threads.maintain(partial(self._write, job, at_full_speed))
                await self._commit(shard, job)
            except Exception as error:
                await self._threads.apply(partial(shard.applier.abandon, job))
                # After a failed fsync the kernel may call bad pages clean: never try again.
                shard.fail(error)
                raise
            finally:
                shard.note_job_ended()
        self._observe(shard, job, started_s)
        self._on_durable(shard.number, shard.engine.durable_offset)
        return True

    async def _merge(self, shard: Shard, plan: Callable[[Applier], Job | None]) -> bool:
        async with shard.merge_lock:
            # The applier is asked for only now: while this waited for its turn, the shard may
            # have been closed, and its directory have another engine.
            job = await self._threads.apply(partial(plan, shard.applier))
            if job is None:
                return False
            started_s = self._threads.wall_s()
            try:
                await self._threads.merge(partial(self._write, job, self._pacer(shard)))
                # Flushes went on meanwhile; while this one is committed there is none.
                async with shard.maintenance_lock:
                    await self._threads.apply(partial(shard.applier.settle, job))
                    await self._commit(shard, job)
            except MergeStoppedError:
                await self._threads.apply(partial(shard.applier.abandon, job))
                return False
            except Exception:
                await self._threads.apply(partial(shard.applier.abandon, job))
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
        await self._threads.maintain(job.commit)
        await self._threads.apply(partial(shard.applier.install, job))

    def _pacer(self, shard: Shard) -> Pacer:
        return Pacer(
            self._options,
            is_stopped=lambda: shard.state is not ShardState.SERVING,
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
