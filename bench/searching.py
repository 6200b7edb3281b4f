"""Query classes: top-10 on one segment, and on what live indexing and merging left."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from bench.corpus import Corpus, questions
from bench.engines import NUMBER, TailraceEngine, TantivyEngine, plain
from bench.goals import Scores
from bench.layouts import Layout
from bench.progress import say
from bench.python_cost import python_cost
from bench.queries import Query, QueryClass, choose_words, make_classes
from bench.tables import Table, geometric_mean, in_us, median, percentile, undisturbed_s
from bench.workspace import Workspace
from index.errors import InvalidQueryError

ROUNDS = 5
N_QUERIES = 300
LEAST_QUERIES = 20
N_PROBES = 5
CLASS_S = 1.2
"""A class gets as many queries as both engines answer in this time, all rounds together."""

WORD_DOCS = 20_000
"""Queries are made of the texts of this many documents."""

SCORE_TOLERANCE, TOTAL_TOLERANCE = 0.05, 0.02
"""The engines cut words such as `e.g.` and `it's` in different ways, and so count the words of a
text differently."""

SCORED = ("term", "or", "and", "phrase", "range", "text")
"""Kinds with BM25 scores; the others have constant ones."""

PEER_FACTOR = 2.2
"""tantivy multiplies BM25 by k1 + 1, as Lucene did before version 8."""

Mode = Literal["top 10", "top 10 and exact total"]
MODES: tuple[Mode, ...] = ("top 10", "top 10 and exact total")


FIRST = "single segment"
METHOD = (
    f"p50 / p99 over the queries of a class, each query the median of {ROUNDS} rounds, the engines "
    "taking turns query by query; a time is taken again where the scheduler gave the core away "
    "meanwhile. Between rounds Tailrace forgets what it worked out about terms and texts; its "
    "filter cache is off. Counted: the search body, parsed JSON, becoming a request, or the Query "
    "object being built; not the fetching of sources. high: in more than 2% of the documents, mid: "
    "0.1% to 2%, low: 10 documents to 0.1%. *: not judged."
)


class Timing(NamedTuple):
    """Seconds at p50 and p99 over the queries of a class, each query the median of its rounds."""

    p50: float
    p99: float


class Outcome(NamedTuple):
    name: str
    is_extra: bool
    n_queries: int
    ours: Timing
    theirs: Timing
    agreed: float
    """Share of the queries to which both engines gave almost the same scores, or totals."""

    @property
    def p50(self) -> float:
        return self.theirs.p50 / self.ours.p50

    @property
    def p99(self) -> float:
        return self.theirs.p99 / self.ours.p99


def run_queries(space: Workspace) -> list[Table]:
    """Return the tables of all query classes, in both layouts."""
    scores = space.scores
    tables = []
    for name in ("single", "live"):
        layout = space.single if name == "single" else space.live
        classes = _classes(space.corpus, layout.theirs)
        gc.collect()
        gc.freeze()
        for mode in MODES:
            outcomes = [
                outcome
                for query_class in classes
                if (outcome := run_class(query_class, layout, mode)) is not None
            ]
            tables.append(query_table(layout, mode, outcomes, scores))
        if name == "single":
            low = next(each for each in classes if each.name == "term low")
            tables.append(_python_table(low.queries, layout.ours, scores))
        gc.unfreeze()
    return tables


def _classes(corpus: Corpus, theirs: TantivyEngine) -> list[QueryClass]:
    items = list(corpus.items(0, WORD_DOCS))
    texts = [item.fields.get("text", "") for item in items]
    numbers = [item.fields[NUMBER] for item in items if NUMBER in item.fields]
    words = choose_words(texts, numbers, corpus.n_docs, theirs.doc_freq)
    classes = make_classes(words, N_QUERIES)
    asked = [Query("text", (plain(text),)) for text in questions(corpus.folder, N_QUERIES)]
    if asked:
        classes.append(QueryClass("questions (queries-nq)", asked, is_extra=True))
    return classes


def run_class(query_class: QueryClass, layout: Layout, mode: Mode) -> Outcome | None:
    """Measure one class, the engines taking turns query by query; None: we cannot answer it."""
    is_counted = mode != "top 10"
    works = [
        (layout.ours.prepared(query, is_counted), layout.theirs.prepared(query, is_counted))
        for query in query_class.queries
    ]
    try:
        works = works[: _affordable(works)]
    except InvalidQueryError as error:
        say(f"{layout.name}, {mode}: {query_class.name}: left out, {error}")
        return None
    agreed = float(
        np.mean(
            [
                agree(query, ours(), theirs(), is_counted)
                for query, (ours, theirs) in zip(query_class.queries, works, strict=False)
            ]
        )
    )
    times = np.zeros((ROUNDS, 2, len(works)))
    chance = random.Random(7)
    for round_no in range(ROUNDS):
        layout.ours.forget()
        order = list(range(len(works)))
        chance.shuffle(order)
        for query_no in order:
            pair = works[query_no]
            first = chance.randrange(2)
            for engine_no in (first, 1 - first):
                times[round_no, engine_no, query_no] = undisturbed_s(pair[engine_no])
    ours, theirs = (
        Timing(percentile(medians, 0.5), percentile(medians, 0.99))
        for medians in np.median(times, axis=0)
    )
    outcome = Outcome(query_class.name, query_class.is_extra, len(works), ours, theirs, agreed)
    say(
        f"{layout.name}, {mode}: {outcome.name}: {in_us(ours.p50)} / {in_us(ours.p99)}, "
        f"x{outcome.p50:.2f} / x{outcome.p99:.2f}"
    )
    return outcome


Pair = tuple[Callable[[], Any], Callable[[], Any]]


def _affordable(works: list[Pair]) -> int:
    probes = works[:: max(1, len(works) // N_PROBES)]
    for pair in probes[:2]:
        for work in pair:
            work()
    cost = median([sum(undisturbed_s(work) for work in pair) for pair in probes])
    return min(len(works), max(LEAST_QUERIES, int(CLASS_S / (cost * (ROUNDS + 1)))))


def agree(query: Query, ours: Any, theirs: Any, is_counted: bool) -> bool:
    """Return whether two answers have the same total, if counted, or else the same scores."""
    if is_counted:
        return bool(abs(ours.total - theirs.count) <= 1 + TOTAL_TOLERANCE * theirs.count)
    if len(ours.hits) != len(theirs.hits):
        return False
    if query.kind not in SCORED:
        return True
    # A filter adds nothing to our score; tantivy has no filters, its range scores 1.
    extra = 1.0 if query.kind == "range" else 0.0
    pairs = zip(ours.hits, theirs.hits, strict=True)
    return all(
        abs(hit.score * PEER_FACTOR - (score - extra)) <= SCORE_TOLERANCE * score
        for hit, (score, _) in pairs
    )


def query_table(layout: Layout, mode: Mode, outcomes: list[Outcome], scores: Scores) -> Table:
    where = f"{layout.name}, {mode}"
    is_counted = mode != "top 10"
    what, tolerance = ("totals", TOTAL_TOLERANCE) if is_counted else ("scores", SCORE_TOLERANCE)
    table = Table(
        f"Queries: {where}",
        f"{layout.what} {METHOD if layout.name == FIRST and not is_counted else 'Else as above.'} "
        f"agree: queries whose {what} are within {tolerance:.0%} of each other's.",
        ["class", "queries", "Tailrace", "tantivy-py", "ratio p50", "ratio p99", "agree"],
    )
    for outcome in outcomes:
        table.add(
            outcome.name + (" *" if outcome.is_extra else ""),
            str(outcome.n_queries),
            f"{in_us(outcome.ours.p50)} / {in_us(outcome.ours.p99)}",
            f"{in_us(outcome.theirs.p50)} / {in_us(outcome.theirs.p99)}",
            _bold_if_behind(outcome.p50),
            _bold_if_behind(outcome.p99),
            f"{outcome.agreed:.0%}",
        )
    judged = [outcome for outcome in outcomes if not outcome.is_extra]
    means = [geometric_mean([getattr(each, name) for each in judged]) for name in ("p50", "p99")]
    table.add("**geometric mean**", "", "", "", *(f"**{mean:.2f}**" for mean in means), "")
    _judge(where, mode, judged, means, scores)
    return table


def _bold_if_behind(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio > 1 else f"**{ratio:.2f}**"


def _judge(
    where: str, mode: Mode, outcomes: list[Outcome], means: list[float], scores: Scores
) -> None:
    for name, mean in zip(("p50", "p99"), means, strict=True):
        worst = min(outcomes, key=lambda outcome: getattr(outcome, name))
        what = f"{where}: {worst.name}"
        if mode != "top 10":
            scores.judge(f"count {name}", getattr(worst, name), what)
            continue
        scores.judge(f"query {name}", getattr(worst, name), what)
        scores.judge(f"query mean {name}", mean, where)
    if mode != "top 10":
        return
    for goal, is_phrase in (("query ms", False), ("phrase ms", True)):
        chosen = [each for each in outcomes if each.name.startswith("phrase") == is_phrase]
        slowest = max(chosen, key=lambda outcome: outcome.ours.p99)
        scores.judge(goal, slowest.ours.p99 * 1e3, f"{where}: {slowest.name}")


def _python_table(queries: list[Query], ours: TailraceEngine, scores: Scores) -> Table:
    cost = python_cost([ours.prepared(query, False) for query in queries], ours.forget)
    table = Table(
        "Python's cost of a single rare term",
        f"{len(queries)} queries, median. The time inside compiled kernels is taken with a clock "
        "around every call of one and subtracted from what the query takes without the clocks; "
        "passing arguments to a kernel counts as the kernel's.",
        ["", "a query"],
    )
    table.add("whole query", in_us(cost.total_s))
    table.add(f"inside {cost.n_calls:g} kernel calls", in_us(cost.kernel_s))
    python_us = (cost.total_s - cost.kernel_s) * 1e6
    table.add("Python", scores.judge("python us", python_us))
    table.add("whole query, asked a second time", in_us(cost.again_s))
    table.add("whole query, the first after a batch became visible", in_us(cost.first_s))
    return table
