"""One index, fed from a cluster that is a table, on a loop with a virtual clock."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from consumers.kafka import KafkaOptions, KafkaSource
from index.options import IndexOptions
from index.query import ast
from index.schema import Schema
from pipeline.budget import Budget, Budgets
from pipeline.disk import Disk
from pipeline.documents import get_documents
from pipeline.feed import Feed
from pipeline.index import Index
from pipeline.index_store import IndexMeta, IndexStore
from pipeline.options import PipelineOptions
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from tests.reliability.feed_kafka import Cluster
from tests.reliability.feed_letters import Letters
from tests.reliability.feed_poison import MAPPING
from tests.reliability.sim_loop import SimLoop

TOPIC: Final = "docs"
PATIENCE_S: Final = 300.0
"""Of the virtual clock: by then a feed is quiet."""
INFLATED_BYTES: Final = 64 << 10

_threads = Threads()
_telemetry = Telemetry()
_budgets = Budgets(Budget("writes", 1 << 30), Budget("live frames", 1 << 30), lambda: False)


class Life:
    """From a start of the index to its end, or to its crash."""

    def __init__(self, world: World, number: int, on_data_gap: str) -> None:
        rng = world.rng
        self.world = world
        self.name = f"life {number}"
        self.stored: dict[int, int | None] = {}
        """Where each shard stood when it was first opened."""
        self.openings: defaultdict[int, list[int]] = defaultdict(list)
        """Where each shard stood at each of its openings."""
        self.hints: dict[int, int] = {}
        self.options = KafkaOptions(
            max_poll_records=rng.choice([1, 3, 10, 100]),
            budget_bytes=rng.choice([2_000, 64 << 20]),
            max_inflated_bytes=INFLATED_BYTES,
            commit_interval_s=0.2,
            probe_interval_s=2.0,
            on_data_gap=on_data_gap,
        )
        self.task = world.loop.spawn(self.name, self._run())
        self.index: Index | None = None

    async def _run(self) -> None:
        self.index = self.world.make_index(self)
        while True:
            await asyncio.sleep(1.0)
            self.index.tick()

    def do(self, work: Callable[[], Any]) -> Any:
        """Run something of the index's to its end."""
        task = self.world.loop.spawn(self.name, work())
        self.world.run_until(task.done)
        return task.result()

    def crash(self) -> None:
        self.world.loop.kill(self.name)

    def is_quiet(self) -> bool:
        """Return whether every partition is at its end, or halted."""
        index = self.index
        return index is not None and all(
            self._is_done(number) for number in range(len(self.world.cluster.partitions))
        )

    def _is_done(self, number: int) -> bool:
        assert self.index is not None
        shard = self.index.shards.get(number)
        if shard is None:
            return False
        wanted = self.world.cluster.partitions[number].end
        if shard.halted is not None:
            wanted = shard.delivered_offset
        return shard.watermark.next_offset == wanted


class World:
    """Thread rule: none, there is one thread."""

    def __init__(self, rng: random.Random, cluster: Cluster, letters: Letters) -> None:
        self.rng = rng
        self.cluster = cluster
        self.letters = letters
        self.loop = SimLoop(rng)
        self.lives: list[Life] = []
        self.path = Path(tempfile.mkdtemp(prefix="tailrace-feed-", dir=_scratch()))
        self._schema = Schema.from_mapping(MAPPING)
        self._meta = IndexMeta(
            TOPIC, "uuid", 0, {"number_of_shards": 1}, msgspec.Raw(self._schema.to_json())
        )
        self._index_options = IndexOptions(memtable_docs=rng.choice([3, 20, 1000]))
        self._options = PipelineOptions(
            max_batch_docs=rng.choice([1, 7, 2_000]),
            max_batch_age_s=rng.choice([0.0, 0.01, 1.0]),
            flush_age_s=rng.choice([1.0, 60.0]),
        )

    def start(self, on_data_gap: str = "stop") -> Life:
        life = Life(self, len(self.lives), on_data_gap)
        self.lives.append(life)
        return life

    def make_index(self, life: Life) -> Index:
        store = IndexStore(self.path)
        index = _Opened(
            store,
            self._meta,
            self._schema,
            threads=_threads,
            options=self._options,
            index_options=self._index_options,
            telemetry=_telemetry,
            disk=Disk(self.path, self._options),
            budgets=_budgets,
        )
        index.life = life
        source = KafkaSource("table", [TOPIC], "g", options=life.options, clients=self.cluster)
        index.start(Feed(None, self.letters, source, topics=(TOPIC,), is_shared=True))
        return index

    def run_until(self, is_done: Callable[[], bool]) -> bool:
        """Return whether it came to pass before patience ended."""
        end = self.loop.time() + PATIENCE_S
        life = self.lives[-1]
        self.loop.run_until(lambda: life.task.done() or is_done() or self.loop.time() > end)
        if life.task.done():
            life.task.result()  # raises: it has no other end
        return is_done()

    def close(self) -> None:
        self.loop.close()
        shutil.rmtree(self.path, ignore_errors=True)


class _Opened(Index):
    """An index that notes where its shards stood when they were opened."""

    life: Life

    async def open_partition(self, partition: int) -> int | None:
        stored = await super().open_partition(partition)
        self.life.stored.setdefault(partition, stored)
        self.life.openings[partition].append(stored or 0)
        return stored

    async def close_partition(self, partition: int, flush: bool) -> None:
        # Now and then there is no time for the flush, or the disk does not take it.
        is_flushed = flush and self.life.world.rng.random() < 0.5
        await super().close_partition(partition, is_flushed)


def search_all(index: Index, keys: list[bytes]) -> tuple[int, list[bytes | None]]:
    """Return how many documents there are, and the sources of `keys`."""
    searcher = index.searcher()
    found = get_documents(searcher, [key.decode() for key in keys])
    return searcher.count(ast.MatchAll()), [one.source if one else None for one in found]


def _scratch() -> str | None:
    """Memory, where there is some: nothing here is about disks."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


logging.getLogger("aiokafka").setLevel(logging.ERROR)
