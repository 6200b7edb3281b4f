"""Append and flush: documents into segments on disk."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.corpus import Item, mapping_of
from bench.engines import TailraceEngine, TantivyEngine
from bench.progress import say
from bench.tables import Clock, Table, per_second
from bench.workspace import Workspace

ROUNDS = 5
HEAP_BYTES = 128_000_000
"""tantivy-py's own default."""

WARM_DOCS = 2_000
OURS, ONE, DEFAULT = "Tailrace", "tantivy-py, one writer thread", "tantivy-py, default threads"


def run_indexing(space: Workspace) -> list[Table]:
    """Return the table of append + flush."""
    corpus, scores = space.corpus, space.scores
    n_docs = max(1, corpus.n_docs // ROUNDS)
    folder = space.subfolder("indexing")
    runs = _runs(mapping := mapping_of(corpus.names), folder)
    for run in runs.values():
        run(list(corpus.items(0, WARM_DOCS)))
        shutil.rmtree(folder / "index")
    clocks: dict[str, list[Clock]] = {name: [] for name in runs}
    for round_no in range(ROUNDS):
        items = list(corpus.items(round_no * n_docs, (round_no + 1) * n_docs))
        gc.collect()
        gc.freeze()
        names = list(runs)
        for name in names[round_no % 3 :] + names[: round_no % 3]:
            clocks[name].append(runs[name](items))
            shutil.rmtree(folder / "index")
        gc.unfreeze()
        rates = (f"{name} {per_second(n_docs, clocks[name][-1].wall_s)}" for name in names)
        say(f"append + flush, round {round_no + 1}: " + ", ".join(rates))
    table = Table(
        "Append + flush",
        f"{n_docs:,} documents a round ({', '.join(mapping['properties'])}: a text, a keyword, a "
        f"number; an id that can be looked up; the source stored), {ROUNDS} rounds of different "
        "documents into empty indexes, medians. Both sides start from the id, the source as JSON "
        "bytes and the parsed fields in memory. Counted for Tailrace: making its events, "
        "`engine.apply` in batches of 2,000 (upserts: every id is looked up, every batch is "
        "searchable), flushes in a second thread as the memtable fills, until the last segment "
        "and its manifest are synced. Counted for tantivy-py: making its `Document`s, plain adds, "
        f"one commit at the end; writer of {HEAP_BYTES // 1_000_000} MB, its default. Neither "
        "merges. CPU is of all threads.",
        ["", "wall", "documents", "CPU", "documents per CPU second"],
    )
    wall = {name: float(np.median([c.wall_s for c in seen])) for name, seen in clocks.items()}
    cpu = {name: float(np.median([c.cpu_s for c in seen])) for name, seen in clocks.items()}
    for name in runs:
        table.add(
            name,
            f"{wall[name]:.2f} s",
            per_second(n_docs, wall[name]),
            f"{cpu[name]:.2f} s",
            per_second(n_docs, cpu[name]),
        )
    table.add(
        "**ratio, one writer**",
        scores.judge("index wall 1", wall[ONE] / wall[OURS]),
        "",
        scores.judge("index cpu", cpu[ONE] / cpu[OURS], "one writer"),
        "",
    )
    table.add(
        "**ratio, default threads**",
        scores.judge("index wall n", wall[DEFAULT] / wall[OURS]),
        "",
        scores.judge("index cpu", cpu[DEFAULT] / cpu[OURS], "default threads"),
        "",
    )
    return [table]


def _runs(mapping: dict[str, object], folder: Path) -> dict[str, Callable[[list[Item]], Clock]]:
    path = folder / "index"

    def ours(items: list[Item]) -> Clock:
        clock, engine = Clock(), TailraceEngine(path, mapping)
        with clock.running():
            engine.take(items, merges="never")
            engine.flush()
        engine.close()
        return clock

    def theirs(n_threads: int) -> Callable[[list[Item]], Clock]:
        def run(items: list[Item]) -> Clock:
            clock = Clock()
            engine = TantivyEngine(path, mapping, heap_bytes=HEAP_BYTES, n_threads=n_threads)
            with clock.running():
                engine.take(items)
                engine.commit()
            return clock

        return run

    return {OURS: ours, ONE: theirs(1), DEFAULT: theirs(0)}
