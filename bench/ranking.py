"""BM25 beside `bm25s` and SQLite's FTS5: how good the answers are, and how fast they come."""

from __future__ import annotations

import math
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import zstandard

from bench.corpus import Item
from bench.engines import TOP, TailraceEngine, plain
from bench.progress import say
from bench.tables import Table, in_us, median, per_second, percentile, undisturbed_s
from bench.workspace import Workspace
from index.query.parse_json import parse_search

ROUNDS = 5
N_TIMED = 300
SLOW_S = 0.010
"""Who takes longer for a question is timed once."""

K1, B = 1.2, 0.75


class Task(NamedTuple):
    """A corpus with questions and judgments."""

    name: str
    file: str
    measure: str


class Loaded(NamedTuple):
    items: list[Item]
    queries: dict[str, str]
    judgments: dict[str, dict[str, int]]


TASKS = (
    Task("scifact", "scifact", "nDCG@10"),
    Task("debian-tldr", "debian-en", "MRR@10"),
)
Answer = Callable[[str], list[str]]
"""A question's best 10 ids, best first."""


def run_ranking(space: Workspace) -> list[Table]:
    """Return the tables of quality and speed; nothing without the data."""
    data = space.corpus.folder
    if data is None:
        return []
    return [_table(task, load(task, data), data, space) for task in TASKS]


def load(task: Task, data: Path) -> Loaded:
    items = []
    with zstandard.open(data / f"{task.file}.ndjson.zst", "rt", encoding="utf-8") as lines:
        for line in lines:
            document = orjson.loads(line)
            fields = {"text": f"{document.get('title', '')} {document['text']}"}
            items.append(Item(document["id"].encode(), orjson.dumps(fields), fields))
    queries = dict(_rows(data / f"{task.name}.queries.tsv"))
    judgments: dict[str, dict[str, int]] = {}
    for query, document_id, grade in _rows(data / f"{task.name}.qrels.tsv"):
        judgments.setdefault(query, {})[document_id] = int(grade)
    return Loaded(items, queries, judgments)


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def reference(data: Path, task: Task, stemming: bool) -> float:
    """Return what bm25-reference.tsv says for k1 1.2 and b 0.75."""
    for row in _rows(data / "bm25-reference.tsv"):
        values = dict(cell.split("=", 1) for cell in row[1:])
        wanted = row[0] == task.name and values["k1"] == str(K1)
        if wanted and values["stem+stop"] == str(stemming):
            return float(values[task.measure])
    raise LookupError(f"bm25-reference.tsv has no {task.name}")


# --- measures --------------------------------------------------------------------------
def ndcg(found: list[str], grades: dict[str, int]) -> float:
    gains = [grades.get(key, 0) for key in found[:TOP]]
    best = sorted(grades.values(), reverse=True)[:TOP]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: list[int]) -> float:
    return sum((2**gain - 1) / math.log2(rank + 2) for rank, gain in enumerate(gains))


def reciprocal_rank(found: list[str], grades: dict[str, int]) -> float:
    ranks = (rank + 1 for rank, key in enumerate(found[:TOP]) if grades.get(key, 0) > 0)
    return 1 / next(ranks, math.inf)


# --- the table -------------------------------------------------------------------------
def _table(task: Task, loaded: Loaded, data: Path, space: Workspace) -> Table:
    table = Table(
        f"BM25: {task.name}",
        f"{len(loaded.items):,} documents, title and text as one field; {len(loaded.queries):,} "
        f"questions, top-10 with ids, p50 / p99 over {N_TIMED} of them, each the median of "
        f"{ROUNDS} rounds in turns (FTS5: one round over all); k1 = {K1}, b = {B}, fixed in FTS5. "
        "Reference: bm25-reference.tsv, without and with English stemming and stop words.",
        ["", task.measure, "reference", "documents indexed", "query"],
    )
    score = ndcg if task.measure == "nDCG@10" else reciprocal_rank
    answers: dict[str, Answer] = {}
    times: dict[str, list[float]] = {}
    cells: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(dir=space.folder) as folder:
        for name, make in _makers(loaded, Path(folder)).items():
            began = time.perf_counter()
            answer = make()
            rate = per_second(len(loaded.items), time.perf_counter() - began)
            quality, seen = [], []
            for query, grades in loaded.judgments.items():
                began = time.perf_counter()
                found = answer(loaded.queries[query])
                seen.append(time.perf_counter() - began)
                quality.append(score(found, grades))
            mean = float(np.mean(quality))
            say(f"BM25: {task.name}: {name}: {mean:.4f}, {rate}")
            cells[name] = [f"{mean:.4f}", _compared(name, mean, task, data, space), rate]
            if median(seen) > SLOW_S:
                times[name] = seen
            else:
                answers[name] = answer
        times |= _times(answers, list(loaded.queries.values()))
    for name, row in cells.items():
        p50, p99 = (percentile(times[name], at) for at in (0.5, 0.99))
        table.add(name, *row, f"{in_us(p50)} / {in_us(p99)}")
    return table


def _compared(name: str, mean: float, task: Task, data: Path, space: Workspace) -> str:
    wanted = reference(data, task, stemming="stem" in name or "english" in name)
    if not name.startswith("Tailrace"):
        return f"{wanted:.4f}"
    return f"{wanted:.4f}, apart: {space.scores.judge(task.name, abs(mean - wanted), name)}"


def _times(answers: dict[str, Answer], texts: list[str]) -> dict[str, list[float]]:
    """Return the seconds of some questions, each the median of the rounds."""
    chance = random.Random(7)
    times: dict[str, list[float]] = {name: [] for name in answers}
    names = list(answers)
    for text in chance.sample(texts, min(N_TIMED, len(texts))):
        seen: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(ROUNDS):
            chance.shuffle(names)
            for name in names:
                seen[name].append(undisturbed_s(partial(answers[name], text)))
        for name in names:
            times[name].append(median(seen[name]))
    return times


def _makers(loaded: Loaded, folder: Path) -> dict[str, Callable[[], Answer]]:
    return {
        "Tailrace, standard": lambda: _tailrace(loaded.items, folder / "standard", "standard"),
        "bm25s": lambda: _bm25s(loaded.items, None),
        "Tailrace, english": lambda: _tailrace(loaded.items, folder / "english", "english"),
        "bm25s, stemmed": lambda: _bm25s(loaded.items, "english"),
        "SQLite FTS5, stemmed (porter)": lambda: _fts5(loaded.items, folder / "p.db", "porter"),
    }


def _tailrace(items: list[Item], path: Path, analyzer: str) -> Answer:
    mapping = {"properties": {"text": {"type": "text", "analyzer": analyzer}}}
    engine = TailraceEngine(path, mapping)
    engine.take(items)
    engine.merge_all()

    def answer(text: str) -> list[str]:
        body = {"query": {"match": {"text": text}}, "size": TOP, "track_total_hits": False}
        searcher = engine.searcher()
        hits = searcher.search(parse_search(body)).hits
        return [searcher.key(hit).decode() for hit in hits]

    return answer


def _bm25s(items: list[Item], language: str | None) -> Answer:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer(language) if language else None

    def tokens(texts: list[str]) -> Any:
        stop_words = "en" if language else []
        return bm25s.tokenize(texts, stopwords=stop_words, stemmer=stemmer, show_progress=False)

    keys = [item.key.decode() for item in items]
    index = bm25s.BM25(method="lucene", k1=K1, b=B)
    index.index(tokens([item.fields["text"] for item in items]), show_progress=False)

    def answer(text: str) -> list[str]:
        found = index.retrieve(tokens([text]), k=TOP, show_progress=False, n_threads=0)
        pairs = zip(found.documents[0].tolist(), found.scores[0].tolist(), strict=True)
        return [keys[number] for number, score in pairs if score > 0]

    return answer


def _fts5(items: list[Item], path: Path, tokenizer: str) -> Answer:
    connection = sqlite3.connect(path)
    connection.execute(
        f"CREATE VIRTUAL TABLE docs USING fts5(key UNINDEXED, text, tokenize = '{tokenizer}')"
    )
    with connection:
        rows = ((item.key.decode(), item.fields["text"]) for item in items)
        connection.executemany("INSERT INTO docs VALUES (?, ?)", rows)
        connection.execute("INSERT INTO docs(docs) VALUES ('optimize')")
    select = "SELECT key FROM docs WHERE docs MATCH ? ORDER BY bm25(docs) LIMIT ?"

    def answer(text: str) -> list[str]:
        words = " OR ".join(f'"{word}"' for word in plain(text).split())
        return [row[0] for row in connection.execute(select, (words, TOP))]

    return answer
