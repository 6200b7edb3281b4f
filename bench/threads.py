"""Queries in one and two threads beside indexing at full speed, and the event loop's lag."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvloop

from bench.corpus import mapping_of
from bench.engines import NUMBER, TailraceEngine
from bench.progress import say
from bench.queries import choose_words, make_classes
from bench.tables import Table, in_ms, median, per_second, percentile
from bench.workspace import Workspace

ROUNDS = 5
ROUND_S = 1.0
BASE_DOCS = 100_000
"""Indexed before; the stream of new documents begins after them."""

WORD_DOCS = 5_000
N_QUERIES = 100
CLASSES = ("term high", "term mid", "or h+m+l", "or m+m+m", "and h+m", "phrase 2")
TICK_S = 0.001
INGEST_BATCH = 500


class Round(NamedTuple):
    queries_per_s: float
    docs_per_s: float
    lags_s: list[float]


def run_threads(space: Workspace) -> list[Table]:
    """Return the table of queries per second by threads, with and without indexing."""
    n_base = min(BASE_DOCS, space.corpus.n_docs // 2)
    say(f"threads: indexing {n_base:,} documents")
    engine = TailraceEngine(space.subfolder("threads"), mapping_of(space.corpus.names))
    engine.take(list(space.corpus.items(0, n_base)))
    engine.settle()
    stream = _Stream(space, engine, n_base)
    works = _works(space, engine, n_base)
    shapes = [(n, busy) for busy in (False, True) for n in (1, 2)]
    rounds: dict[tuple[int, bool], list[Round]] = {shape: [] for shape in shapes}
    for round_no in range(ROUNDS):
        for n_threads, busy in shapes if round_no % 2 else reversed(shapes):
            rounds[n_threads, busy].append(_round(works, n_threads, stream if busy else None))
        say(f"threads, round {round_no + 1} of {ROUNDS}")
    engine.close()
    return [_table(rounds, space, n_base)]


def _table(rounds: dict[tuple[int, bool], list[Round]], space: Workspace, n_base: int) -> Table:
    table = Table(
        "Threads",
        f"A mix of {', '.join(CLASSES)} in 1 and 2 threads over {n_base:,} documents and more, "
        f"while another indexes new documents in batches of {INGEST_BATCH} as fast as it can, a "
        "third flushes and merges, and uvloop runs in the main thread with a tick every "
        f"millisecond. {ROUNDS} rounds of {ROUND_S} s, medians; the lag is how late a tick came. "
        "With two cores, fair turns of three busy threads give two of them 1.33 times what one "
        "gets beside one.",
        ["", "queries", "documents indexed", "lag p50", "lag p99"],
    )
    rate: dict[tuple[int, bool], float] = {}
    for (n_threads, busy), seen in rounds.items():
        rate[n_threads, busy] = median([each.queries_per_s for each in seen])
        lags = [median([percentile(each.lags_s, at) for each in seen]) for at in (0.5, 0.99)]
        p99 = in_ms(lags[1])
        if busy:
            p99 = space.scores.judge("lag", lags[1] * 1e3, f"{n_threads} query threads")
        table.add(
            f"{n_threads} query thread{'s' * (n_threads > 1)}, {'indexing' if busy else 'at rest'}",
            per_second(rate[n_threads, busy], 1.0),
            per_second(median([each.docs_per_s for each in seen]), 1.0) if busy else "",
            in_ms(lags[0]),
            p99,
        )
    table.add(
        "**2 threads over 1, at rest**", f"{rate[2, False] / rate[1, False]:.2f}x", "", "", ""
    )
    ratio = space.scores.judge("threads", rate[2, True] / rate[1, True])
    table.add("**2 threads over 1, indexing**", ratio, "", "", "")
    return table


def _works(space: Workspace, engine: TailraceEngine, n_docs: int) -> list[Callable[[], Any]]:
    items = list(space.corpus.items(0, WORD_DOCS))
    texts = [item.fields.get("text", "") for item in items]
    numbers = [item.fields[NUMBER] for item in items if NUMBER in item.fields]
    words = choose_words(texts, numbers, n_docs, engine.doc_freq)
    classes = [each for each in make_classes(words, N_QUERIES) if each.name in CLASSES]
    queries = itertools.chain.from_iterable(zip(*(each.queries for each in classes), strict=False))
    return [engine.prepared(query, counted=False) for query in queries]


class _Stream:
    """Documents that were never indexed before; one thread at a time takes them."""

    def __init__(self, space: Workspace, engine: TailraceEngine, first: int) -> None:
        self._engine = engine
        self._items = list(space.corpus.items(first, 2 * first))
        self._at = 0
        self._pass = 0

    def take(self) -> int:
        """Index one batch; return how many documents."""
        if self._at >= len(self._items):
            self._at, self._pass = 0, self._pass + 1
        batch = self._items[self._at : self._at + INGEST_BATCH]
        self._at += len(batch)
        if self._pass:
            suffix = f"~{self._pass}".encode()
            batch = [item._replace(key=item.key + suffix) for item in batch]
        self._engine.apply(batch)
        self._engine.maintain()
        return len(batch)


def _round(works: list[Callable[[], Any]], n_threads: int, stream: _Stream | None) -> Round:
    stop = threading.Event()
    queries = [0] * n_threads
    docs = [0]

    def ask(thread_no: int) -> None:
        for work in itertools.islice(itertools.cycle(works), thread_no * 37, None):
            if stop.is_set():
                return
            work()
            queries[thread_no] += 1

    def index() -> None:
        while not stop.is_set():
            docs[0] += stream.take() if stream is not None else 0

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(n_threads)]
    if stream is not None:
        threads.append(threading.Thread(target=index))
    began = time.perf_counter()
    with _started(threads, stop):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            lags = runner.run(_watch_lag())
        seconds = time.perf_counter() - began
        n_queries, n_docs = sum(queries), docs[0]
    return Round(n_queries / seconds, n_docs / seconds, lags)


@contextmanager
def _started(threads: list[threading.Thread], stop: threading.Event) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


async def _watch_lag() -> list[float]:
    """Return how late each tick was."""
    loop = asyncio.get_running_loop()
    end = loop.time() + ROUND_S
    lags = []
    while (now := time.perf_counter()) and loop.time() < end:
        await asyncio.sleep(TICK_S)
        lags.append(max(0.0, time.perf_counter() - now - TICK_S))
    return lags
