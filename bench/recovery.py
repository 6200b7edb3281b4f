"""How fast a large index is checked, and how soon it answers after a start."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.corpus import WHOLE, Corpus, mapping_of
from bench.engines import TailraceEngine
from bench.progress import say
from bench.queries import Query
from bench.tables import Clock, Table, median, seconds_of
from bench.workspace import Workspace
from index.check import verify
from index.directory import FsDirectory
from index.options import IndexOptions

N_BYTES = 1_000_000_000
"""Of the index; fewer where a run is short."""

BYTES_PER_DOC = 2_000
CHUNK_DOCS = 20_000
ROUNDS = 5
MB = 1e6
QUERY = Query("term", ("debian",))


def run_recovery(space: Workspace) -> list[Table]:
    """Return the table of `verify` and of the time to the first answer."""
    folder = space.subfolder("recovery")
    n_bytes = _build(Corpus(space.corpus.folder, 1 << 40, WHOLE), folder, space.corpus.n_docs)
    say(f"recovery: {n_bytes / MB:,.0f} MB")
    clock = Clock()
    with clock.running():
        report = verify(FsDirectory(folder))
    assert report.is_sound
    ways = {"every byte checked first": "all", "tables alone": "tables"}
    opened = {
        name: [seconds_of(partial(_first_answer, folder, IndexOptions(check_on_open=check)))  # type: ignore[arg-type]
               for _ in range(ROUNDS)]
        for name, check in ways.items()
    }  # fmt: skip
    table = Table(
        "Check and recovery",
        f"An index of {n_bytes / MB:,.0f} MB in {report.n_segments} segments, {report.n_live:,} "
        "documents with all their fields, in the page cache. `verify` reads and recounts "
        "everything, in one thread. The first answer: from opening the shard's directory to what "
        f"a search for a word found; medians of {ROUNDS} rounds.",
        ["", "wall", "MB per CPU second", ""],
    )
    rate = n_bytes / MB / clock.cpu_s
    table.add("verify", f"{clock.wall_s:.2f} s", f"{rate:,.0f}", space.scores.judge("verify", rate))
    for name, times in opened.items():
        seconds = median(times)
        goal = space.scores.judge("recovery", seconds * 1e3) if ways[name] == "all" else ""
        table.add(f"first answer, {name}", f"{seconds:.2f} s", "", goal)
    return [table]


def _build(corpus: Corpus, folder: Path, n_docs: int) -> int:
    """Index documents up to the size; return how many bytes the segments have."""
    wanted = min(N_BYTES, n_docs * BYTES_PER_DOC)
    engine = TailraceEngine(folder, mapping_of(WHOLE))
    first = 0
    while engine.engine.stats().n_bytes < wanted:
        engine.take(list(corpus.items(first, first + CHUNK_DOCS)))
        first += CHUNK_DOCS
    engine.settle()
    n_bytes = engine.engine.stats().n_bytes
    engine.close()
    return n_bytes


def _first_answer(folder: Path, options: IndexOptions) -> None:
    engine = TailraceEngine(folder, mapping_of(WHOLE), options)
    assert engine.prepared(QUERY, counted=True)().total
    engine.close()
