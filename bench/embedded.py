"""Indexing and searching in one process, the engines taking turns."""

from __future__ import annotations

import random
from pathlib import Path

from bench.corpus import Corpus
from bench.engines import TailraceEngine, TantivyEngine, timed
from bench.tables import Clock, Table, in_ms, per_second, percentile, verdict

CHUNK_DOCS = 50_000
N_QUERIES = 300
ROUNDS = 5
WARM_UP = 1


def run_embedded(corpus: Corpus, folder: Path) -> list[Table]:
    """Return the tables of indexing and of `match` top-10."""
    ours, theirs = TailraceEngine(folder / "tailrace"), TantivyEngine(folder / "tantivy")
    indexing = _index(corpus, ours, theirs)
    searching = _search(corpus, ours, theirs)
    ours.close()
    return [indexing, *searching]


def _index(corpus: Corpus, ours: TailraceEngine, theirs: TantivyEngine) -> Table:
    our_clock, their_clock = Clock(), Clock()
    engines = [(ours, our_clock), (theirs, their_clock)]
    for first in range(0, corpus.n_docs, CHUNK_DOCS):
        items = list(corpus.items(first, min(first + CHUNK_DOCS, corpus.n_docs)))
        for engine, clock in engines:
            with clock.running():
                engine.take(items)
        engines.reverse()
    for engine, clock in engines:
        with clock.running():
            engine.settle()
    n_docs = corpus.n_docs
    table = Table(
        "Indexing",
        f"{n_docs:,} documents of {corpus.name} in turns of {CHUNK_DOCS:,}, until all is on disk "
        "and due merges are done. Tailrace: `engine.apply`, upserts by id, flushes and merges in "
        "a second thread. tantivy-py: one indexing thread, plain adds without looking for an "
        "older version. Both store the source. Made from parsed documents; CPU is of all threads.",
        ["", "wall", "documents", "CPU", "documents per CPU second"],
    )
    for name, clock in (("Tailrace", our_clock), ("tantivy-py", their_clock)):
        table.add(
            name,
            f"{clock.wall_s:.1f} s",
            per_second(n_docs, clock.wall_s),
            f"{clock.cpu_s:.1f} s",
            per_second(n_docs, clock.cpu_s),
        )
    ratio = verdict(their_clock.wall_s / our_clock.wall_s, 1.0, at_least=True)
    table.add("**ratio**", ratio, "", f"{their_clock.cpu_s / our_clock.cpu_s:.2f}", "")
    return table


def _search(corpus: Corpus, ours: TailraceEngine, theirs: TantivyEngine) -> list[Table]:
    theirs.prepare()
    kinds = {
        "words": ("one to three words, frequent, medium and rare", corpus.queries(N_QUERIES)),
        "sentences": ("a sentence, from debian-tldr", corpus.sentences(N_QUERIES)),
    }
    return [
        _search_table(kind, what, queries, ours, theirs)
        for kind, (what, queries) in kinds.items()
        if queries
    ]


def _search_table(
    kind: str, what: str, queries: list[str], ours: TailraceEngine, theirs: TantivyEngine
) -> Table:
    works = [
        ("ours", ours.search),
        ("ours uncounted", ours.search_uncounted),
        ("theirs", theirs.search),
        ("theirs uncounted", theirs.search_uncounted),
    ]
    times: dict[str, list[float]] = {name: [] for name, _ in works}
    chance = random.Random(7)
    for round_no in range(WARM_UP + ROUNDS):
        for query in queries:
            chance.shuffle(works)
            for name, work in works:
                seconds = timed(work, query)  # type: ignore[arg-type]
                if round_no >= WARM_UP:
                    times[name].append(seconds)
    at = {name: (percentile(seen, 0.5), percentile(seen, 0.99)) for name, seen in times.items()}
    table = Table(
        f"`match` top-10, {kind}",
        f"{len(queries)} queries of {what}, {ROUNDS} rounds, the engines taking turns query by "
        f"query; parsing included, stored sources not fetched. Tailrace has {ours.n_segments} "
        "segments. Counting: the exact total is given too (Tailrace's default).",
        ["", "p50 counting", "p99 counting", "p50", "p99"],
    )
    for title, name in (("Tailrace", "ours"), ("tantivy-py", "theirs")):
        cells = [in_ms(seconds) for seconds in (*at[name], *at[f"{name} uncounted"])]
        table.add(title, *cells)
    counting = [ours_s / s for ours_s, s in zip(at["ours"], at["theirs"], strict=True)]
    free = zip(at["ours uncounted"], at["theirs uncounted"], strict=True)
    p50, p99 = [ours_s / s for ours_s, s in free]
    table.add(
        "**ratio**",
        verdict(counting[0], 1.5, at_least=False),
        f"{counting[1]:.2f}",
        verdict(p50, 1.5, at_least=False),
        f"{p99:.2f}",
    )
    return table
