"""One node of the simulation: the real index and the real Kafka source, on simulated ground.

Simulated are the threads (jobs run in the loop, after a while), the disk and the cluster. A node
is started again and again; each life is a node of its own for the loop, so that killing it ends
all that it had begun.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from consumers.kafka import KafkaLog, KafkaOptions, KafkaSource
from index.engine import Engine
from index.errors import FencedError
from index.options import IndexOptions
from index.schema import Schema, SchemaRef
from pipeline.applied import AppliedBatch
from pipeline.budget import Budget, Budgets
from pipeline.disk import Disk
from pipeline.feed import Feed
from pipeline.index import Index
from pipeline.index_store import IndexMeta, IndexStore
from pipeline.options import PipelineOptions
from pipeline.shard import Shard, ShardState
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from tests.reliability.fake_clients import FakeClients
from tests.reliability.sim_disk import SimDirectory, SimDisk

if TYPE_CHECKING:
    from tests.reliability.sim_world import World

T = TypeVar("T")

TOPIC = "docs"
DEAD = "docs.dead"
GROUP = "tailrace"
MAPPING = {
    "dynamic": False,
    "properties": {"n": {"type": "long"}, "t": {"type": "keyword"}},
}
SCHEMA = Schema.from_mapping(MAPPING)

KAFKA = KafkaOptions(
    session_timeout_ms=1_500,
    heartbeat_interval_ms=300,
    rebalance_timeout_ms=3_000,
    fetch_max_wait_ms=1_000,
    max_poll_records=20,
    budget_bytes=10_000,
    commit_interval_s=0.5,
    probe_interval_s=1.0,
    stall_s=6.0,
    max_backoff_s=1.0,
)
PIPELINE = PipelineOptions(
    max_batch_docs=16,
    max_batch_age_s=0.01,
    # So little that sources wait, and pause.
    max_backlog_bytes=6_000,
    flush_age_s=2.0,
    slow_segments=8,
    max_segments=16,
    # A merge that rested would block the one thread there is.
    merge_cpu_share=1.0,
    merge_bytes_per_s=1 << 60,
)
INDEX = IndexOptions(memtable_docs=30, merge_factor=3)


class _Pool:
    """One thread: one job at a time, each takes a while."""

    __slots__ = ("free_at",)

    def __init__(self) -> None:
        self.free_at = 0.0


class SimThreads(Threads):
    """Jobs run whole, in the loop, in the order of their pool; their results come later."""

    def __init__(self, delay_s: Callable[[str], float], wall_s: Callable[[], float]) -> None:
        self.wall_s = wall_s
        self.n_queries = self.n_waiting = self.n_refused = 0
        self.max_waiting = 1_000
        self._delay_s = delay_s
        self._pools = {name: _Pool() for name in ("apply", "query", "flush", "merge")}

    async def apply(self, work: Callable[[], T]) -> T:
        return await self._run("apply", work)

    async def query(self, work: Callable[[], T]) -> T:
        self.n_queries += 1
        return await self._run("query", work)

    async def maintain(self, work: Callable[[], T]) -> T:
        return await self._run("flush", work)

    async def merge(self, work: Callable[[], T]) -> T:
        return await self._run("merge", work)

    def close(self) -> None:
        pass

    def _run(self, name: str, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        pool = self._pools[name]
        begin = max(pool.free_at, loop.time())
        pool.free_at = begin + self._delay_s(name)
        if begin <= loop.time():
            loop.call_soon(self._begin, work, future, pool.free_at)
        else:
            loop.call_at(begin, self._begin, work, future, pool.free_at)
        return future

    def _begin(self, work: Callable[[], T], future: asyncio.Future[T], ends_at: float) -> None:
        if future.cancelled():
            return
        try:
            result = work()
        except Exception as error:
            _later(ends_at, _end, future, None, error)
        else:
            _later(ends_at, _end, future, result, None)


def _later(when: float, callback: Callable[..., None], *args: Any) -> None:
    loop = asyncio.get_running_loop()
    if when <= loop.time():
        loop.call_soon(callback, *args)
    else:
        loop.call_at(when, callback, *args)


def _end(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class _Telemetry:
    """Tells the world of each batch; counts nothing."""

    def __init__(self, observe_batch: Callable[[AppliedBatch], None]) -> None:
        self.observe_batch = observe_batch

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class _Store:
    """No `index.json`: the mapping never changes here."""

    def shard_path(self, number: int) -> Path:
        return Path(str(number))

    def save_schema(self, meta: IndexMeta, schema_ref: SchemaRef) -> None:
        assert schema_ref.current is SCHEMA

    def close(self) -> None:
        pass


class SimNode:
    """A machine: its disk stays, its lives come and go."""

    def __init__(self, world: World, name: str, disk: SimDisk) -> None:
        self.world = world
        self.name = name
        self.disk = disk
        self.n_lives = 0
        self.index: Index | None = None
        self.source: KafkaSource | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def life(self) -> str:
        """The node's name for the loop."""
        return f"{self.name}.{self.n_lives}"

    @property
    def is_up(self) -> bool:
        return self.index is not None

    def start(self) -> None:
        self.n_lives += 1
        world = self.world
        life = self.life
        threads = SimThreads(world.job_s, world.wall_s)
        clients = FakeClients(world.cluster)
        options = replace(KAFKA, client_id=life, **world.kafka_options(self.name))
        telemetry = _Telemetry(lambda done: world.check_batch(self, life, done))
        self.index = index = _SimIndex(
            cast(IndexStore, _Store()),
            IndexMeta(TOPIC, "uuid", 0, {}, msgspec.Raw(b"")),
            SCHEMA,
            threads=threads,
            options=PIPELINE,
            index_options=INDEX,
            telemetry=cast(Telemetry, telemetry),
            disk=Disk(Path("node"), PIPELINE, clock=world.loop.time),
            budgets=Budgets(
                writes=Budget("writes", PIPELINE.max_write_bytes),
                live=Budget("live frames", PIPELINE.max_live_bytes),
                is_backlog_full=lambda: False,
            ),
            open_directory=self.disk.open,
            on_open=lambda shard: world.check_open(self, life, shard),
        )
        rng = random.Random(world.rng.random())
        self.source = source = KafkaSource(
            "sim", (TOPIC,), GROUP, options=options, clients=clients, rng=rng
        )
        feed = Feed(
            log=None,
            dead_letters=KafkaLog("sim", DEAD, options=options, clients=clients),
            source=source,
            topics=(TOPIC,),
            is_shared=True,
        )
        world.loop.spawn(life, self._live(index, feed))

    async def _live(self, index: Index, feed: Feed) -> None:
        life = self.life
        stopping = self._stopping = asyncio.Event()
        index.start(feed)
        while not stopping.is_set():
            index.tick()
            if self.is_fenced():
                # The process ends, and whoever looks after it starts it again.
                self.world.trace(f"{life} is fenced")
                self.world.start_later(self, 0.5)
                self.kill()
                return
            try:
                async with asyncio.timeout(1.0):
                    await stopping.wait()
            except TimeoutError:
                continue
        await index.stop()
        if self.index is index:
            self.world.trace(f"{self.name} has stopped")
            self.kill()

    def stop(self) -> None:
        """Ask the process to end, as by SIGTERM."""
        if self._stopping is not None:
            self._stopping.set()

    def kill(self) -> None:
        """End the process where it stands."""
        self.world.loop.kill(self.life)
        self.index = self.source = self._stopping = None

    def failures(self) -> dict[int, Exception]:
        """Return what an operator would see: shard -> why it does not go on; -1: the source."""
        index = self.index
        if index is None:
            return {}
        found: dict[int, Exception] = {}
        for number, shard in index.shards.items():
            if shard.state is ShardState.FAILED:
                found[number] = shard.failure or StopError()
            elif shard.halted is not None:
                found[number] = shard.halted
        if index.failure is not None:
            found[-1] = index.failure
        return found

    def is_fenced(self) -> bool:
        return any(isinstance(error, FencedError) for error in self.failures().values())


class StopError(Exception):
    """A shard stopped without saying why."""


class _SimIndex(Index):
    def __init__(
        self,
        *args: Any,
        open_directory: Callable[[Path], SimDirectory],
        on_open: Callable[[Shard], None],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._sim_open = open_directory
        self._on_open = on_open

    def _make_shard(self, number: int) -> Shard:
        shard = super()._make_shard(number)
        shard._open_engine = lambda path, schema, options, n: Engine.open(
            self._sim_open(path), schema, options, n
        )
        return shard

    async def open_partition(self, partition: int) -> int | None:
        next_offset = await super().open_partition(partition)
        self._on_open(self.shards[partition])
        return next_offset
