"""What it costs that nothing is lost: indexing from Kafka with and without fsync and checks.

Both ways run the same code in turn. Without: a directory that does not wait for the disk, and
segments that are not read back before they are kept.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest.mock import patch

import uvloop

from bench.corpus import Corpus
from bench.progress import say
from bench.streaming import MAX_BULK_DOCS, PARTITIONS, TOPIC, broker, node, start_producer
from bench.tables import Clock, Table
from bench.workspace import Workspace
from index.directory import FsDirectory
from index.format import Sections
from index.options import IndexOptions

ROUNDS = 5
OPTIONS = IndexOptions(memtable_docs=5_000, merge_factor=4)
"""Small memtables: many more files than usual to be made durable, some two for 10,000 documents."""
CAREFUL, CARELESS = "as it is", "without fsync and checks"


class Cost(NamedTuple):
    docs_per_s: float
    cpu_us: float
    """Of this process, for a document."""
    n_fsyncs: int


def run_durability(space: Workspace) -> list[Table]:
    """Return the table of both ways."""
    corpus = Corpus(space.corpus.folder, space.corpus.n_docs)
    folder = space.subfolder("durability")
    found: dict[str, list[Cost]] = {CAREFUL: [], CARELESS: []}
    for number in range(ROUNDS):
        # each goes first as often as the other
        for way in (CAREFUL, CARELESS) if number % 2 else (CARELESS, CAREFUL):
            data = folder / f"{number} {way}"
            with (
                careless() if way == CARELESS else counting() as fsyncs,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                cost = runner.run(_measure(corpus, data))
            found[way].append(cost._replace(n_fsyncs=len(fsyncs)))
            say(f"{way}: {cost.docs_per_s:,.0f} documents a second, {cost.cpu_us:.1f} us of CPU")
    ratios = [
        ours.docs_per_s / theirs.docs_per_s
        for ours, theirs in zip(found[CAREFUL], found[CARELESS], strict=True)
    ]
    table = Table(
        "Cost of durability",
        f"{min(corpus.n_docs, MAX_BULK_DOCS):,} records wait in {PARTITIONS} partitions; from the "
        f"first batch until all are flushed, memtables of {OPTIONS.memtable_docs:,} documents, "
        f"merges beside them. Medians of {ROUNDS} rounds, both ways in turn.",
        ["", "documents", "CPU a document", "fsyncs", "ratio"],
    )
    for way, costs in found.items():
        table.add(
            way,
            f"{median(cost.docs_per_s for cost in costs):,.0f}/s",
            f"{median(cost.cpu_us for cost in costs):.1f} us",
            f"{median(cost.n_fsyncs for cost in costs):.0f}",
            space.scores.judge("durability", median(ratios)) if way == CAREFUL else "",
        )
    return [table]


async def _measure(corpus: Corpus, data: Path) -> Cost:
    n_docs = min(corpus.n_docs, MAX_BULK_DOCS)
    clock = Clock()
    async with broker(PARTITIONS) as bootstrap:
        producer = await start_producer(bootstrap, n_docs, 0.0, corpus.folder)
        await producer.wait()
        with clock.running():
            async with node(data, bootstrap, PARTITIONS, OPTIONS) as watch:
                await watch.wait_for(n_docs)
                await watch.node.indexes[TOPIC].flush()
                seconds = time.time() - watch.first_s
    return Cost(n_docs / seconds, clock.cpu_s / n_docs * 1e6, 0)


@contextmanager
def counting() -> Iterator[list[int]]:
    """Count the fsyncs that happen meanwhile."""
    seen: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        seen.append(file)
        fsync(file)

    with patch.object(os, "fsync", counted):
        yield seen


@contextmanager
def careless() -> Iterator[list[int]]:
    """Wait for no disk, and check nothing, meanwhile."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(os, "fsync", lambda file: None))
        patches.enter_context(patch.object(FsDirectory, "sync", lambda self: None))
        patches.enter_context(patch.object(Sections, "verify", lambda self, *pace: None))
        yield []
