"""Small batches, each searchable before the next: what freshness costs."""

from __future__ import annotations

import gc
import time

from bench.corpus import Item, mapping_of
from bench.engines import TailraceEngine, TantivyEngine
from bench.progress import say
from bench.queries import Query
from bench.tables import Table, in_ms, median, per_second, percentile, seconds_of
from bench.workspace import Workspace

ROUNDS = 5
BATCH_DOCS = 500
MAX_DOCS = 40_000
"""In a round: the peer needs seconds for them."""

WARM_DOCS = 5_000


def run_visible(space: Workspace) -> list[Table]:
    """Return the table of batches of 500 documents, each visible before the next."""
    n_docs = min(MAX_DOCS, space.corpus.n_docs // ROUNDS)
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    warm = list(space.corpus.items(0, WARM_DOCS))
    _take_ours(space, warm, "warm")
    for round_no in range(ROUNDS):
        items = list(space.corpus.items(round_no * n_docs, (round_no + 1) * n_docs))
        gc.collect()
        gc.freeze()
        ours.append(_take_ours(space, items, str(round_no)))
        theirs.append(_take_theirs(space, items, str(round_no)))
        gc.unfreeze()
        rates = [per_second(n_docs, sum(batches[-1])) for batches in (ours, theirs)]
        say(f"visible every {BATCH_DOCS}, round {round_no + 1}: {rates[0]}, peer {rates[1]}")
    table = Table(
        f"Visible every {BATCH_DOCS} documents",
        f"{n_docs:,} documents a round in batches of {BATCH_DOCS}, {ROUNDS} rounds, medians of "
        "the rounds. Tailrace: `engine.apply`, searchable when it returns, durable by the log; "
        "flushes and merges in a second thread, their planning and installing counted. "
        "tantivy-py: adds, commit (durable), reload, new searcher; one writer thread.",
        ["", "documents", "batch p50", "batch p99"],
    )
    rates = []
    for name, rounds in (("Tailrace", ours), ("tantivy-py", theirs)):
        rates.append(n_docs / median([sum(batches) for batches in rounds]))
        p50, p99 = (median([percentile(each, at) for each in rounds]) for at in (0.5, 0.99))
        cell = in_ms(p99)
        if rounds is ours:
            cell = space.scores.judge("visible p99", p99 * 1e3)
        table.add(name, per_second(rates[-1], 1.0), in_ms(p50), cell)
    table.add("**ratio**", space.scores.judge("visible rate", rates[0] / rates[1]), "", "")
    return [table]


def _batches(items: list[Item]) -> list[list[Item]]:
    return [items[first : first + BATCH_DOCS] for first in range(0, len(items), BATCH_DOCS)]


def _take_ours(space: Workspace, items: list[Item], name: str) -> list[float]:
    folder = space.subfolder(f"visible-{name}")
    engine = TailraceEngine(folder, mapping_of(space.corpus.names))
    times = []
    for batch in _batches(items):
        began = time.perf_counter()
        engine.apply(batch)
        engine.maintain()
        times.append(time.perf_counter() - began)
    everything = Query("match_all", ("",))
    assert engine.prepared(everything, counted=True)().total == len(items)
    engine.close()
    return times


def _take_theirs(space: Workspace, items: list[Item], name: str) -> list[float]:
    folder = space.subfolder(f"visible-peer-{name}")
    engine = TantivyEngine(folder, mapping_of(space.corpus.names))

    def take(batch: list[Item]) -> None:
        engine.take(batch)
        engine.commit()
        engine.prepare()

    times = [seconds_of(lambda batch=batch: take(batch)) for batch in _batches(items)]
    assert engine.searcher.num_docs == len(items)
    engine.wait()
    return times
