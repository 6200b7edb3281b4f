"""From a Kafka record to a searchable document: throughput, and freshness under steady load.

The broker and the producer are processes of their own; the node is this one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop

from bench.corpus import MAPPING, Corpus
from bench.goals import Scores
from bench.tables import Table, in_ms, percentile
from bench.workspace import Workspace
from consumers.mock_kafka import MockBrokerProcess
from index.options import IndexOptions
from pipeline.applied import AppliedBatch
from pipeline.node import Node
from pipeline.options import PipelineOptions
from tailrace.feeds import Feeds
from tailrace.sections import IndexSection, SourceSection

PARTITIONS = 8
STEADY_PARTITIONS = 2
"""librdkafka's broker answers a fetch with one batch of each partition: with small batches, many
partitions make it the bottleneck."""

MAX_BULK_DOCS = 120_000
"""What the broker's memory holds, which drops the oldest records of a fuller partition."""

TOPIC = "bench"
STEADY_RATE = 5_000.0
STEADY_S = 30.0
WARM_UP_S = 3.0
TIMEOUT_S = 300.0


class Watch:
    """What became searchable, and how long after it was sent; batch by batch."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.n_docs = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self.delays: list[tuple[float, float]] = []
        """(when it was sent, seconds until it was searchable)"""
        self.grown = asyncio.Event()
        self._observe = node.telemetry.observe_batch
        node.telemetry.observe_batch = self.observe_batch  # type: ignore[method-assign]

    def observe_batch(self, done: AppliedBatch) -> None:
        self._observe(done)
        self.first_s = self.first_s or done.taken_s
        self.last_s = done.searchable_s
        for arrival in done.batch.arrivals:
            self.n_docs += len(arrival.records)
            for record in arrival.records:
                sent = float(dict(record.headers)["sent"] or b"0")
                self.delays.append((sent, done.searchable_s - sent))
        self.grown.set()

    async def wait_for(self, n_docs: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while self.n_docs < n_docs:
                self.grown.clear()
                await self.grown.wait()


def run_streaming(space: Workspace) -> list[Table]:
    """Return the tables of throughput and freshness."""
    corpus = Corpus(space.corpus.folder, space.corpus.n_docs)
    data, scores = space.subfolder("streaming"), space.scores
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        throughput = runner.run(_measure_throughput(corpus, data / "bulk", scores))
        freshness = runner.run(_measure_freshness(corpus, data / "steady", scores))
    return [throughput, freshness]


async def _measure_throughput(corpus: Corpus, data: Path, scores: Scores) -> Table:
    n_docs = min(corpus.n_docs, MAX_BULK_DOCS)
    async with broker(PARTITIONS) as bootstrap:
        producer = await start_producer(bootstrap, n_docs, 0.0, corpus.folder)
        await producer.wait()
        async with node(data, bootstrap, PARTITIONS) as watch:
            await watch.wait_for(n_docs)
    seconds = watch.last_s - watch.first_s
    table = Table(
        "Kafka record to searchable document",
        f"{n_docs:,} records wait in {PARTITIONS} partitions of a broker in another process; from "
        "the first batch to the last searchable document, all of fetching, decoding and indexing.",
        ["", "documents"],
    )
    table.add("Tailrace", scores.judge("kafka", n_docs / seconds))
    return table


async def _measure_freshness(corpus: Corpus, data: Path, scores: Scores) -> Table:
    n_docs = min(corpus.n_docs, int(STEADY_RATE * STEADY_S))
    # A small memtable, so that flushes and merges run all the while.
    options = IndexOptions(memtable_docs=5_000, merge_factor=4)
    async with (
        broker(STEADY_PARTITIONS) as bootstrap,
        node(data, bootstrap, STEADY_PARTITIONS, options) as watch,
    ):
        producer = await start_producer(bootstrap, n_docs, STEADY_RATE, corpus.folder)
        await watch.wait_for(n_docs)
        await producer.wait()
        shards = watch.node.indexes[TOPIC].stats().shards.values()
        n_flushes = sum(shard.n_flushes for shard in shards)
        n_merges = sum(shard.n_merges for shard in shards)
    start = watch.delays[0][0] + WARM_UP_S
    delays = [delay for sent, delay in watch.delays if sent >= start] or [0.0]
    table = Table(
        "Freshness",
        f"{STEADY_RATE:,.0f} documents a second for {n_docs / STEADY_RATE:.0f} s, from the call "
        f"that sends a record until it is searchable; {n_flushes} flushes and "
        f"{n_merges} merges ran meanwhile.",
        ["", "p50", "p99", "largest"],
    )
    p99 = percentile(delays, 0.99)
    table.add(
        "Tailrace",
        in_ms(percentile(delays, 0.5)),
        scores.judge("fresh", p99 * 1e3),
        in_ms(max(delays)),
    )
    return table


@asynccontextmanager
async def broker(n_partitions: int) -> AsyncIterator[str]:
    broker = await MockBrokerProcess.start({TOPIC: n_partitions})
    try:
        yield broker.bootstrap
    finally:
        await broker.stop()


@asynccontextmanager
async def node(
    data: Path, bootstrap: str, n_partitions: int, options: IndexOptions | None = None
) -> AsyncIterator[Watch]:
    source = SourceSection(type="kafka", bootstrap=bootstrap, topics=[TOPIC], group="bench")
    sections = {TOPIC: IndexSection(source=source, mapping=MAPPING)}
    feeds = Feeds(sections, data, max_backlog_bytes=PipelineOptions().max_backlog_bytes)
    node = Node(data, PipelineOptions(), options, open_feed=feeds.open)
    watch = Watch(node)
    await node.start()
    try:
        index = await node.create_index(TOPIC, {"mappings": MAPPING})
        async with asyncio.timeout(TIMEOUT_S):
            while len(index.shards) < n_partitions:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)
        yield watch
    finally:
        await node.stop()


async def start_producer(
    bootstrap: str, n_docs: int, rate: float, folder: Path | None
) -> asyncio.subprocess.Process:
    """Start it and return when it has made its documents and begins to send."""
    rest = [str(folder)] if folder is not None else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.producer",
        bootstrap,
        TOPIC,
        str(n_docs),
        str(rate),
        *rest,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError("the producer did not start")
    return process
