"""Small batches, each searchable before the next: what freshness costs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from bench.corpus import Item, mapping_of
from bench.engines import TailraceEngine, TantivyEngine
from bench.progress import say
from bench.queries import Query
from bench.tables import Clock, Table, in_ms, median, per_second, percentile, seconds_of
from bench.workspace import Workspace

ROUNDS = 5
BATCH_DOCS = 500
MAX_DOCS = 40_000
"""In a round: the peer needs seconds for them."""

WARM_DOCS = 5_000


class Round(NamedTuple):
    batch_s: list[float]
    cpu_s: float


def run_visible(space: Workspace) -> list[Table]:
    """Return the table of batches of 500 documents, each visible before the next."""
    n_docs = min(MAX_DOCS, space.corpus.n_docs // ROUNDS)
    takers = {"Tailrace": _take_ours, "tantivy-py": _take_theirs}
    rounds: dict[str, list[Round]] = {name: [] for name in takers}
    warm = list(space.corpus.items(0, WARM_DOCS))
    _take_ours(space, warm, "warm")
    for round_no in range(ROUNDS):
        items = list(space.corpus.items(round_no * n_docs, (round_no + 1) * n_docs))
        gc.collect()
        gc.freeze()
        for name, take in takers.items():
            rounds[name].append(take(space, items, str(round_no)))
        gc.unfreeze()
        rates = [per_second(n_docs, sum(seen[-1].batch_s)) for seen in rounds.values()]
        say(f"visible every {BATCH_DOCS}, round {round_no + 1}: {rates[0]}, peer {rates[1]}")
    return [_table(rounds, n_docs, space)]


def _table(rounds: dict[str, list[Round]], n_docs: int, space: Workspace) -> Table:
    table = Table(
        f"Visible every {BATCH_DOCS} documents",
        f"{n_docs:,} documents a round in batches of {BATCH_DOCS}, {ROUNDS} rounds, medians of "
        "the rounds. Tailrace: `engine.apply`, searchable when it returns, durable by the log; "
        "flushes and merges in a second thread, their planning and installing counted. "
        "tantivy-py: adds, commit (durable), reload, new searcher; one writer thread. CPU is of "
        "all threads.",
        ["", "documents", "documents per CPU second", "batch p50", "batch p99"],
    )
    rates, cpu_rates = [], []
    for name, seen in rounds.items():
        rates.append(n_docs / median([sum(each.batch_s) for each in seen]))
        cpu_rates.append(n_docs / median([each.cpu_s for each in seen]))
        p50, p99 = (median([percentile(each.batch_s, at) for each in seen]) for at in (0.5, 0.99))
        last = in_ms(p99)
        if name == "Tailrace":
            last = space.scores.judge("visible p99", p99 * 1e3)
        table.add(name, per_second(rates[-1], 1), per_second(cpu_rates[-1], 1), in_ms(p50), last)
    ratio = space.scores.judge("visible rate", rates[0] / rates[1])
    table.add("**ratio**", ratio, f"{cpu_rates[0] / cpu_rates[1]:.2f}x", "", "")
    return table


def _timed(take: Callable[[list[Item]], None], items: list[Item]) -> Round:
    clock, times = Clock(), []
    with clock.running():
        for first in range(0, len(items), BATCH_DOCS):
            times.append(seconds_of(partial(take, items[first : first + BATCH_DOCS])))
    return Round(times, clock.cpu_s)


def _take_ours(space: Workspace, items: list[Item], name: str) -> Round:
    folder = space.subfolder(f"visible-{name}")
    engine = TailraceEngine(folder, mapping_of(space.corpus.names))

    def take(batch: list[Item]) -> None:
        engine.apply(batch)
        engine.maintain()

    done = _timed(take, items)
    everything = Query("match_all", ("",))
    assert engine.prepared(everything, counted=True)().total == len(items)
    engine.close()
    return done


def _take_theirs(space: Workspace, items: list[Item], name: str) -> Round:
    folder = space.subfolder(f"visible-peer-{name}")
    engine = TantivyEngine(folder, mapping_of(space.corpus.names))

    def take(batch: list[Item]) -> None:
        engine.take(batch)
        engine.commit()
        engine.prepare()

    done = _timed(take, items)
    assert engine.searcher.num_docs == len(items)
    engine.wait()
    return done
