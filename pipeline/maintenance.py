"""Flushes and merges, off the path of the documents: planned in the apply thread, run in the
maintenance thread, installed in the apply thread; one job a shard at a time.

What is durable is told to `on_durable`, which passes it on to the source as a hint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from index.errors import StorageError
from index.jobs import Job
from pipeline.applier import Applier
from pipeline.options import PipelineOptions
from pipeline.shard import Shard, ShardState
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
        self._tasks: dict[Shard, asyncio.Task[None]] = {}
        self._no_merge_before: dict[Shard, float] = {}

    def consider(self, shard: Shard) -> None:
        """Flush and merge the shard in the background, unless that is under way."""
        if shard in self._tasks or shard.state not in (ShardState.SERVING, ShardState.DRAINING):
            return
        task = asyncio.create_task(self._maintain(shard), name=f"maintain {shard.number}")
        self._tasks[shard] = task
        task.add_done_callback(lambda _: self._ended(shard))

    def _ended(self, shard: Shard) -> None:
        self._tasks.pop(shard, None)
        shard.note_job_ended()

    def tick(self, shards: Iterable[Shard]) -> None:
        """Begin the flushes that age asks for. To be called about every `TICK_S`."""
        now = asyncio.get_running_loop().time()
        for shard in shards:
            oldest = shard.oldest_unflushed
            if oldest is not None and now - oldest >= self._options.flush_age_s:
                self.consider(shard)

    async def flush(self, shard: Shard) -> None:
        """Return when everything applied before the call is durable.

        Raises: StorageError; the shard is FAILED then.
        """
        wanted = shard.watermark.next_offset
        while max(shard.engine.durable_offset, 0) < wanted:
            if not await _alone(shard, self._flush(shard)):
                await asyncio.sleep(0.005)  # a rejected record is on its way to the letters

    async def force_merge(self, shard: Shard) -> None:
        """Flush, then merge all segments into one."""
        await self.flush(shard)
        await _alone(shard, self._merge(shard, Applier.plan_full_merge))

    async def settle(self, shard: Shard) -> None:
        """Return when nothing runs for the shard. Requires: it is closed soon."""
        self._no_merge_before.pop(shard, None)
        task = self._tasks.get(shard)
        if task is not None:
            await asyncio.wait([task])

    async def _maintain(self, shard: Shard) -> None:
        try:
            await _alone(shard, self._flush(shard))
            now = asyncio.get_running_loop().time()
            while shard.state is ShardState.SERVING and self._no_merge_before.get(shard, 0) <= now:
                if shard.is_flush_due:
                    await _alone(shard, self._flush(shard))
                if not await _alone(shard, self._merge(shard, Applier.plan_merge)):
                    break
        except Exception as error:
            # A failed flush has already failed its shard, a failed merge is tried again later.
            log.error(
                "maintenance failed",
                extra={"index": shard.index, "shard": shard.number, "reason": str(error)},
            )

    async def _flush(self, shard: Shard) -> bool:
        if shard.state is ShardState.FAILED:
            name = f"{shard.index}/{shard.number}"
            raise StorageError(f"shard {name} has failed, nothing is flushed: {shard.failure}")
        job = await self._threads.apply(shard.applier.plan_flush)
        if job is None:
            return False
        shard.note_flush_begun()
        try:
            await self._run(shard, job)
        except Exception as error:
            # After a failed fsync the kernel may call bad pages clean: never try the same again.
            shard.fail(error)
            raise
        self._on_durable(shard.number, shard.engine.durable_offset)
        return True

    async def _merge(self, shard: Shard, plan: Callable[[Applier], Job | None]) -> bool:
        # The applier is asked for only now: while this waited for its turn, the shard may have
        # been closed, and its directory have another engine.
        job = await self._threads.apply(partial(plan, shard.applier))
        if job is None:
            return False
        try:
            await self._run(shard, job)
        except Exception:
            now = asyncio.get_running_loop().time()
            self._no_merge_before[shard] = now + MERGE_RETRY_S
            raise
        return True

    async def _run(self, shard: Shard, job: Job) -> None:
        started_s = time.time()
        try:
            await self._threads.maintain(partial(self._work, job))
        except Exception:
            await self._threads.apply(partial(shard.applier.abandon, job))
            raise
        else:
            await self._threads.apply(partial(shard.applier.install, job))
            self._telemetry.observe_job(
                shard.index, shard.number, job.kind, started_s=started_s, ended_s=time.time()
            )
        finally:
            shard.note_job_ended()

    def _work(self, job: Job) -> None:
        # Fields before the segments that use their numbers: a crash between the two leaves
        # fields that no document has, never documents with unknown fields.
        self._persist_schema()
        job.run()


async def _alone(shard: Shard, job: Coroutine[Any, Any, bool]) -> bool:
    """Do one job while no other of the shard is under way. It goes on to its end if the caller
    gives up: a job that was planned must be installed or abandoned."""

    async def run() -> bool:
        async with shard.maintenance_lock:
            return await job

    return await asyncio.shield(asyncio.ensure_future(run()))
