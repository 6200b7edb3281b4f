"""Errors of the disk below a whole shard: the real Shard, Maintenance and Disk, on a loop whose
clock is virtual, with flushes and merges as they come by themselves.

A case is `shard.LETTERS.OPERATION.ERROR.HOW`; or `tight.LETTERS.BYTES`, a disk that holds no more
than so many bytes until others give some back; or `tide.LETTERS.SEED`, one that others fill and
empty every second; or `reserve.LETTERS.EVENTS`, one that others fill to the last byte after so
many events, and leave full; or `slow.LETTERS.MILLISECONDS`, one each of whose operations takes so
long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from index.document import DocumentEvent, Op
from index.engine import Engine
from index.errors import StorageError, TailraceError
from index.manifest import load_manifest
from index.options import IndexOptions
from index.schema import SchemaRef
from pipeline import disk as disk_module
from pipeline.disk import RESERVE, Disk, DiskFullError, DiskState
from pipeline.events import Record
from pipeline.maintenance import Maintenance
from pipeline.options import PipelineOptions
from pipeline.shard import Shard, ShardHooks, ShardState
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from tests.pipeline.logs import MemoryLog
from tests.reliability.error_life import survive
from tests.reliability.errors_engine import each_error, scene
from tests.reliability.faulty_disk import Faults, FaultyDisk
from tests.reliability.life import BrokenError, demand
from tests.reliability.program import Violation
from tests.reliability.shard_life import check_answers
from tests.reliability.short_workloads import SCHEMA, log_of
from tests.reliability.sim_loop import SimLoop

INDEX_OPTIONS = IndexOptions(merge_factor=2, memtable_docs=2, check_on_open="tables")
RESERVE_BYTES = 4_096
OPTIONS = PipelineOptions(
    flush_age_s=2.0,
    max_batch_age_s=0.01,
    slow_segments=4,
    max_segments=6,
    disk_reserve_bytes=RESERVE_BYTES,
)
FILLED = "+"
"""What a workload begins with whose shard has segments already."""
WORKLOADS = ("uuadu", "uudusu", "+ad")
HEALED_S = 12.0
"""When the disk is well again."""
PATIENCE_S = 120.0
"""How long after that all must be durable."""
STEP = 256
SOON_S = 0.1
"""Within which a document is searchable, however slow the disk is."""
DELAYS_MS = (10, 50, 200, 1_000, 5_000)
TIDES = (0.5, 0.825, 0.835, 0.845, 0.855, 0.875, 0.885, 0.895, 0.905, 0.925, 0.935, 0.945, 0.955)


def record_of(event: DocumentEvent) -> Record:
    headers: list[tuple[str, bytes | None]] = []
    if event.op is not Op.UPSERT:
        headers.append(("op", event.op.name.lower().encode()))
    if event.version is not None:
        headers.append(("version", b"%d" % event.version))
    if event.upsert is not None:
        headers.append(("upsert", b'{"t":"%s","n":-1}' % str(event.upsert["t"]).encode()))
    return Record("t", 0, event.offset, 1_000, event.key, event.source, tuple(headers))


class SlowLoop(SimLoop):
    """A loop whose threads take their time: each operation of the disk costs `delay_s`."""

    def __init__(self, rng: Random, faults: Faults, delay_s: float) -> None:
        super().__init__(rng)
        self.delay_s = delay_s
        self._faults = faults
        self._free_at: dict[int, float] = {}

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run it once the thread is free; its result comes when all its operations are done."""
        done = self.create_future()
        begins_at = max(self.time(), self._free_at.get(id(executor), 0.0))
        if begins_at > self.time():
            # Others may come before it: it asks again then.
            self.call_at(begins_at, self._begin, executor, done, func, args)
        else:
            self._begin(executor, done, func, args)
        return done

    def _begin(self, executor: Any, done: Any, func: Callable[..., Any], args: Any) -> None:
        begins_at = self._free_at.get(id(executor), 0.0)
        if begins_at > self.time():
            self.call_at(begins_at, self._begin, executor, done, func, args)
            return
        n_before = self._faults.n_operations
        result = super().run_in_executor(executor, func, *args)
        cost_s = (self._faults.n_operations - n_before) * self.delay_s
        self._free_at[id(executor)] = self.time() + cost_s
        self.call_later(cost_s, _hand_over, result, done)


def _hand_over(result: Any, done: Any) -> None:
    if done.done():
        return
    if result.exception() is not None:
        done.set_exception(result.exception())
    else:
        done.set_result(result.result())


class Marks:
    """What the marks of a full disk must stop, seen from outside once a second."""

    MARKS = ((0.95, "all"), (0.90, "partitions"), (0.85, "merges"))

    def __init__(self) -> None:
        self._stopped: dict[str, bool] = dict.fromkeys(("all", "partitions", "merges"), False)
        self._before: tuple[int, int] | None = None

    def look(self, engine: Engine, files: FaultyDisk) -> None:
        """See how full the disk is, and from what the shard is not to go on."""
        used = 1 - files.free_bytes() / files.total_bytes()
        for mark, what in self.MARKS:
            self._stopped[what] = used >= mark or (self._stopped[what] and used >= mark - 0.02)
        stats = engine.stats()
        self._before = (stats.next_offset, stats.n_merges)

    def demand_kept(self, engine: Engine, disk: Disk) -> None:
        """Demand that what was to stop has stopped. Before the next look of the shard's own."""
        if self._before is None:
            return
        next_offset, n_merges = self._before
        stats = engine.stats()
        if self._stopped["partitions"]:
            demand(stats.next_offset == next_offset, "applied while partitions pause")
        if self._stopped["merges"]:
            demand(stats.n_merges == n_merges, "merged while merges stop")
        refusals = (disk.require_merges, disk.require_local_writes, disk.require_writes)
        for refuse, what in zip(refusals, ("merges", "partitions", "all"), strict=True):
            demand(_refuses(refuse) == self._stopped[what], what, "stopped:", self._stopped)


def _refuses(require: Callable[[], None]) -> bool:
    try:
        require()
    except DiskFullError:
        return True
    return False


class ShardCase:
    """One life of a shard, its disk and its source."""

    def __init__(self, disk: FaultyDisk, letters: str, tide: Random | None = None) -> None:
        self.files = disk
        before = ""
        if letters.startswith(FILLED):
            files, before = scene("filled")
            disk.files.update(files)
            disk.durable.update(files)
        self.history = before + letters.removeprefix(FILLED)
        self.events = log_of(self.history).events
        self._n_before = len(log_of(before).events)
        self.promised = -1
        self.n_failures = 0
        self.broken = ""
        """A promise that did not hold when it was given."""
        self.is_slow = False
        self._tide = tide
        self._marks = Marks()
        self._threads = Threads()
        self.disk = Disk(
            Path(), OPTIONS, open_directory=lambda path: disk, clock=lambda: self._now()
        )
        self.maintenance = Maintenance(
            threads=self._threads,
            options=OPTIONS,
            telemetry=Telemetry(OPTIONS),
            persist_schema=lambda: None,
            on_durable=self._on_durable,
            disk=self.disk,
        )
        self.shard: Shard | None = None

    def close(self) -> None:
        self._threads.close()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _on_durable(self, number: int, next_offset: int) -> None:
        self.promised = max(self.promised, next_offset)
        durable = load_manifest(FaultyDisk(files=self.files.durable))
        if durable is None or durable.next_offset < next_offset:
            self.broken = f"{next_offset} is promised and not durable"

    async def live(self) -> None:
        """Deliver all, with whatever the disk does; heal it; wait until all is durable."""
        with _quiet():
            self._try_start()
            await self._open()
            for event in self.events[self._n_before :]:
                await self._deliver(event)
                await asyncio.sleep(0.4)
                self._tick()
            await self._tick_until(lambda: False, HEALED_S)
            survive(self.files, self.promised, self.history)
            self.files.faults.heal()
            self.files.capacity, self.files.n_taken, self._tide = 1 << 40, 0, None
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SlowLoop)
            loop.delay_s = 0.0
            await self._resume()
            await self._end()

    async def live_on_reserve(self, n_events: int) -> None:
        """Have others fill the disk for good: what is kept back is enough for what is in memory."""
        with _quiet():
            self._try_start()
            await self._open()
            self._tick()
            demand(self.disk.has_reserve, "no reserve on an empty disk")
            for event in self.events[:n_events]:
                await self._deliver(event)
            await asyncio.sleep(0.1)
            self.files.n_taken += self.files.free_bytes()
            is_done = await self._tick_until(lambda: self.promised == n_events, HEALED_S)
            demand(is_done and not self.n_failures, f"{self.promised} durable of {n_events}")
            demand(self.shard is not None and self.shard.state is ShardState.SERVING, "has failed")
            await self._end()

    def _try_start(self) -> None:
        try:
            self.disk.start()
        except StorageError as error:
            self._demand_a_reason(error)

    async def _open(self) -> None:
        shard = Shard(
            "t",
            0,
            Path(),
            SCHEMA,
            threads=self._threads,
            options=OPTIONS,
            index_options=INDEX_OPTIONS,
            dead_letters=MemoryLog("t.dlq"),
            hooks=ShardHooks(
                on_applied=lambda done: None,
                observe=lambda done: None,
                wants_maintenance=self.maintenance.consider,
                wants_merge=self.maintenance.consider_merge,
                must_wait=lambda: self.disk.state >= DiskState.PAUSED,
            ),
            open_engine=self._open_engine,
        )
        try:
            next_offset = await shard.open()
        except TailraceError as error:
            self._demand_a_reason(error)
            self.shard = None
            return
        demand((next_offset or 0) >= self.promised, "opened below what was promised")
        self.promised = max(self.promised, -1 if next_offset is None else next_offset)
        self.shard = shard
        self.maintenance.check(shard)

    def _open_engine(
        self, path: Path, schema: SchemaRef, options: IndexOptions, number: int
    ) -> Engine:
        return Engine.open(self.files, schema, options, number)

    async def _deliver(self, event: DocumentEvent) -> None:
        shard = self.shard
        if shard is not None and shard.state is ShardState.SERVING:
            await shard.deliver([record_of(event)], event.offset + 1)
            if self.is_slow:
                await asyncio.sleep(SOON_S)
                demand(shard.watermark.next_offset > event.offset, "late:", event.offset)

    def _tick(self) -> None:
        if self._tide is not None:
            share = self._tide.choice(TIDES) + self._tide.random() * 0.01
            own = sum(map(len, self.files.files.values()))
            self.files.n_taken = max(int(self.files.capacity * share) - own, 0)
        shard = self.shard
        if shard is not None:
            self._marks.demand_kept(shard.engine, self.disk)
            self._marks.look(shard.engine, self.files)
        self.disk.poll()
        if shard is not None:
            self.maintenance.tick([shard])
            check_answers(shard.engine, self.history)

    async def _tick_until(self, is_done: Any, seconds: float) -> bool:
        deadline = self._now() + seconds
        while not is_done() and self._now() < deadline:
            await asyncio.sleep(1.0)
            self._tick()
        return bool(is_done())

    async def _resume(self) -> None:
        """Wait until all is durable by itself; a shard that failed is opened again first."""
        if self.shard is None or self.shard.state is ShardState.FAILED:
            if self.shard is not None:
                self.n_failures += 1
                await self._close()
            await self._open()
            shard = self.shard
            demand(shard is not None, "cannot be opened on a disk that is well")
            assert shard is not None
            start = shard.delivered_offset
            await shard.deliver([record_of(e) for e in self.events[start:]], len(self.events))
        shard = self.shard
        # It is durable a few turns of the loop before its source is told.
        await self._tick_until(lambda: self.promised == len(self.events), PATIENCE_S)
        is_done = shard.engine.durable_offset == len(self.events)
        demand(is_done, f"{shard.engine.durable_offset} durable of {len(self.events)}")
        demand(shard.state is ShardState.SERVING, "failed on a disk that is well:", shard.failure)
        demand(self.promised == len(self.events), "the source was not told")
        await self._tick_until(lambda: self.disk.has_reserve, 2 * disk_module.QUIET_S)
        demand(self.disk.has_reserve, "no reserve on a disk that is well")

    async def _end(self) -> None:
        await self._close()
        self.files.files.pop(RESERVE, None)
        survive(self.files, self.promised, self.history)

    async def _close(self) -> None:
        assert self.shard is not None
        await self.shard.drain()
        await self.maintenance.settle(self.shard)
        await self.shard.close()

    def _demand_a_reason(self, error: Exception) -> None:
        has_trouble = self.files.faults.n_met or self.files.n_no_room
        demand(has_trouble and isinstance(error, StorageError), "for no reason:", repr(error))


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def run_case(
    disk: FaultyDisk,
    letters: str,
    tide: Random | None = None,
    *,
    n_events: int | None = None,
    delay_s: float = 0.0,
) -> ShardCase:
    loop = SlowLoop(Random(1), disk.faults, delay_s)
    case = ShardCase(disk, letters, tide)
    case.is_slow = delay_s > 0.0
    try:
        life = case.live() if n_events is None else case.live_on_reserve(n_events)
        loop.run_until_complete(life)
        demand(not case.broken, case.broken)
        demand(not loop.errors, "nobody took:", loop.errors)
    finally:
        loop.close()
        case.close()
    return case


@cache
def verbs_of(letters: str) -> tuple[str, ...]:
    disk = FaultyDisk()
    run_case(disk, letters)
    return tuple(disk.verbs)


def cases_of(letters: str) -> Iterator[str]:
    return (f"shard.{letters}.{each}" for each in each_error(verbs_of(letters)))


def sizes_of(letters: str) -> Iterator[str]:
    disk = FaultyDisk()
    run_case(disk, letters)
    most = sum(len(data) for name, data in disk.files.items())
    for capacity in range(0, 3 * most + RESERVE_BYTES, STEP):
        yield f"tight.{letters}.{capacity}"


def random_letters(chosen: Random) -> str:
    return "".join(chosen.choice("uuuads") for _ in range(chosen.randrange(4, 12)))


def replay(case: str) -> None:
    """Raises: Violation."""
    kind, letters, *rest = case.split(".")
    tide = n_events = None
    delay_s = 0.0
    if kind == "tight":
        disk = FaultyDisk(capacity=int(rest[0]))
    elif kind == "slow":
        disk, delay_s = FaultyDisk(), int(rest[0]) / 1_000
    elif kind == "reserve":
        disk, n_events = FaultyDisk(capacity=1 << 20), int(rest[0])
    elif kind == "tide":
        disk, tide = FaultyDisk(capacity=1 << 20), Random(case)
    else:
        number, error, how = rest
        disk = FaultyDisk(Faults(int(number), error, how == "sticky", how == "after"))
    try:
        lived = run_case(disk, letters, tide, n_events=n_events, delay_s=delay_s)
        if lived.n_failures and disk.faults.error != "EIO":
            raise BrokenError(f"failed for {disk.faults.error} at {disk.faults.verb}")
    except (BrokenError, AssertionError, TailraceError, OSError, KeyError, ValueError) as error:
        raise Violation(case, f"{type(error).__name__}: {error}") from error
