"""Append and flush: documents into segments on disk."""

from __future__ import annotations

import gc
import shutil
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson

from bench.corpus import Item, mapping_of
from bench.engines import TailraceEngine, TantivyEngine
from bench.progress import say
from bench.tables import Clock, Table, median, per_second, seconds_of
from bench.workspace import Workspace

ROUNDS = 5
HEAP_BYTES = 128_000_000
"""tantivy-py's own default."""

WARM_DOCS = 2_000
OURS, ONE, DEFAULT = "Tailrace", "tantivy-py, one writer thread", "tantivy-py, default threads"


class Rounds(NamedTuple):
    n_docs: int
    """In a round."""
    clocks: dict[str, list[Clock]]
    parsing_s: list[float]
    """What `orjson` needs for the documents, of tantivy-py's time."""


def run_indexing(space: Workspace) -> list[Table]:
    """Return the table of append + flush."""
    return [_table(_measure(space), space)]


def _measure(space: Workspace) -> Rounds:
    n_docs = max(1, space.corpus.n_docs // ROUNDS)
    folder = space.subfolder("indexing")
    runs = _runs(mapping_of(space.corpus.names), folder / "index")
    for run in runs.values():
        run(list(space.corpus.items(0, WARM_DOCS)))
        shutil.rmtree(folder / "index")
    measured = Rounds(n_docs, {name: [] for name in runs}, [])
    names = deque(runs)
    for round_no in range(ROUNDS):
        items = list(space.corpus.items(round_no * n_docs, (round_no + 1) * n_docs))
        gc.collect()
        gc.freeze()
        for name in names:
            measured.clocks[name].append(runs[name](items))
            shutil.rmtree(folder / "index")
        measured.parsing_s.append(seconds_of(partial(_parse, items)))
        gc.unfreeze()
        names.rotate()
        rates = (f"{name} {per_second(n_docs, measured.clocks[name][-1].wall_s)}" for name in runs)
        say(f"append + flush, round {round_no + 1}: " + ", ".join(rates))
    return measured


def _parse(items: list[Item]) -> None:
    for item in items:
        orjson.loads(item.source)


def _table(measured: Rounds, space: Workspace) -> Table:
    n_docs, scores = measured.n_docs, space.scores
    table = Table(
        "Append + flush",
        f"{n_docs:,} documents a round ({', '.join(space.corpus.names)}: a text, a keyword, a "
        f"number; an id that can be looked up; the source stored), {ROUNDS} rounds of different "
        "documents into empty indexes, medians. Both sides start from the id and the source, JSON "
        "bytes in memory. Counted for Tailrace: making its events, `engine.apply` in batches of "
        "2,000 (upserts: every id is looked up, every batch is searchable), flushes in a second "
        "thread as the memtable fills, until the last segment and its manifest are synced. "
        "Counted for tantivy-py: `orjson.loads`, making its `Document`s, plain adds, one commit "
        f"at the end; its writer has {HEAP_BYTES // 1_000_000} MB, the default. Neither merges. "
        "CPU is of all threads.",
        ["", "wall", "documents", "CPU", "documents per CPU second"],
    )
    wall = {name: median([each.wall_s for each in seen]) for name, seen in measured.clocks.items()}
    cpu = {name: median([each.cpu_s for each in seen]) for name, seen in measured.clocks.items()}
    for name in measured.clocks:
        table.add(
            name,
            f"{wall[name]:.2f} s",
            per_second(n_docs, wall[name]),
            f"{cpu[name]:.2f} s",
            per_second(n_docs, cpu[name]),
        )
    parsing = f"{median(measured.parsing_s):.2f} s"
    table.add("of tantivy-py's, `orjson.loads`", parsing, "", parsing, "")
    for goal, name in (("index wall 1", ONE), ("index wall n", DEFAULT)):
        cpu_ratio = scores.judge("index cpu", cpu[name] / cpu[OURS], name)
        wall_ratio = scores.judge(goal, wall[name] / wall[OURS])
        table.add(f"**ratio to {name}**", wall_ratio, "", cpu_ratio, "")
    return table


def _runs(mapping: dict[str, object], path: Path) -> dict[str, Callable[[list[Item]], Clock]]:
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
