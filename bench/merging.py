"""Merging segments into one, by the CPU time it takes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from bench.corpus import Item, mapping_of
from bench.engines import UNBOUNDED, TailraceEngine, TantivyEngine
from bench.peer_threads import merge_threads
from bench.progress import say
from bench.tables import Clock, Table, median, per_second
from bench.workspace import Workspace

ROUNDS = 5
N_SEGMENTS = 8
"""tantivy's merge policy, which tantivy-py cannot change, takes 8 segments of one size."""

MAX_DOCS = 50_000
"""In a segment."""

HEAP_BYTES = 2_000_000_000
TIMEOUT_S = 120.0
POLL_S = 0.005


class Merge(NamedTuple):
    n_docs: int
    wall_s: float
    cpu_s: float


def run_merging(space: Workspace) -> list[Table]:
    """Return the table of merging 8 segments."""
    n_docs = min(MAX_DOCS, space.corpus.n_docs // N_SEGMENTS)
    mapping = mapping_of(space.corpus.names)
    folder = space.subfolder("merging")
    say(f"merge: making {N_SEGMENTS} segments of {n_docs:,} documents")
    ours = TailraceEngine(folder / "ours", mapping, UNBOUNDED)
    theirs = TantivyEngine(folder / "theirs", mapping, heap_bytes=HEAP_BYTES)
    for number in range(N_SEGMENTS):
        items = list(space.corpus.items(number * n_docs, (number + 1) * n_docs))
        ours.take(items, merges="never")
        ours.flush()
        if number < N_SEGMENTS - 1:
            theirs.take(items)
            theirs.commit()
    ours.close()
    theirs.wait()
    last = items
    our_merges, their_merges = [], []
    for round_no in range(ROUNDS):
        copy = folder / "copy"
        shutil.copytree(folder / "ours", copy)
        our_merges.append(_merge_ours(copy, mapping))
        shutil.rmtree(copy)
        shutil.copytree(folder / "theirs", copy)
        their_merges.append(_merge_theirs(copy, mapping, last))
        shutil.rmtree(copy)
        rates = [f"{m[-1].n_docs / m[-1].cpu_s:,.0f}" for m in (our_merges, their_merges)]
        say(f"merge, round {round_no + 1}: {rates[0]} per CPU s, peer {rates[1]}")
    table = Table(
        "Merge",
        f"{N_SEGMENTS} segments of {n_docs:,} documents into one, sources and ids included, on "
        f"disk and synced; {ROUNDS} rounds, medians. Tailrace: the job of a full merge. "
        f"tantivy-py has no call for it: its policy merges when a commit makes the {N_SEGMENTS}th "
        "segment of one size; counted is the CPU time of its merging threads alone, wall from "
        "the end of that commit.",
        ["", "documents merged", "wall", "CPU", "documents per CPU second"],
    )
    rates = []
    for name, merges in (("Tailrace", our_merges), ("tantivy-py", their_merges)):
        merged = int(median([merge.n_docs for merge in merges]))
        wall, cpu = (median([merge[at] for merge in merges]) for at in (1, 2))
        rates.append(median([merge.n_docs / merge.cpu_s for merge in merges]))
        table.add(name, f"{merged:,}", f"{wall:.2f} s", f"{cpu:.2f} s", per_second(rates[-1], 1.0))
    ratio = space.scores.judge("merge", rates[0] / rates[1])
    table.add("**ratio**", "", "", "", ratio)
    return [table]


def _merge_ours(path: Path, mapping: dict[str, object]) -> Merge:
    engine = TailraceEngine(path, mapping, UNBOUNDED)
    clock = Clock()
    with clock.running():
        engine.merge_all()
    assert engine.n_segments == 1
    n_docs = engine.engine.stats().n_docs
    engine.close()
    return Merge(n_docs, clock.wall_s, clock.cpu_s)


def _merge_theirs(path: Path, mapping: dict[str, object], last: list[Item]) -> Merge:
    """Add the last segment; time the merge that follows by itself."""
    engine = TantivyEngine(path, mapping, heap_bytes=HEAP_BYTES)
    engine.take(last)
    engine.commit()
    began = time.perf_counter()
    cpu_s: dict[str, float] = {}
    while engine.n_segments >= N_SEGMENTS:
        if time.perf_counter() - began > TIMEOUT_S:
            raise TimeoutError("tantivy did not merge")
        cpu_s.update(merge_threads())
        time.sleep(POLL_S)
        engine.index.reload()
    wall_s = time.perf_counter() - began
    cpu_s.update(merge_threads())
    n_docs = int(engine.index.searcher().num_docs)
    engine.wait()
    return Merge(n_docs, wall_s, sum(cpu_s.values()))
