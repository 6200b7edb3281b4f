"""How good the answers are: judged questions, against what a plain BM25 reaches."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.ranking import TASKS, Task, load, ndcg, reciprocal_rank, reference
from index.analysis.definitions import get_analyzer
from index.directory import FsDirectory
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.analysis_world import CORPORA

TOLERANCE = 0.005

PAGES = {
    "tar": "Pack files into an archive, and unpack archives, compressed or not.",
    "zip": "Package and compress files into a zip archive.",
    "find": "Find files and directories under a tree by name, age or size.",
    "grep": "Search files for lines that match a pattern.",
    "ssh": "Open an encrypted connection to another machine and run commands on it.",
    "rsync": "Copy files to or from another machine, sending only what has changed.",
    "du": "Show how much disk space directories and their files take.",
    "ps": "List the processes that are running on this machine.",
    "kill": "Send a signal to a process, to end it as a rule.",
    "cron": "Run commands at fixed times.",
}
QUESTIONS = {
    "unpacking a compressed archive": {"tar": 2, "zip": 1},
    "which directory takes the space on my disk": {"du": 1},
    "ending a running process": {"kill": 2, "ps": 1},
    "copying changed files between machines": {"rsync": 1},
    "searching for patterns in a file": {"grep": 1, "find": 1},
    "connections with encryption": {"ssh": 1},
}


def searcher_of(path: Path, documents: dict[str, bytes], analyzer: str) -> Searcher:
    mapping = {"properties": {"text": {"type": "text", "analyzer": analyzer}}}
    schema = SchemaRef(Schema.from_mapping(mapping))
    engine = Engine.open(FsDirectory(path), schema, IndexOptions())
    events = [
        DocumentEvent(at, Op.UPSERT, key.encode(), source, None)
        for at, (key, source) in enumerate(documents.items())
    ]
    engine.apply(events, len(events))
    return Searcher(engine.views(), schema.current, 0)


def top(searcher: Searcher, text: str) -> list[str]:
    request = parse_search({"query": {"match": {"text": text}}, "size": 10})
    return [searcher.key(hit).decode() for hit in searcher.search(request).hits]


def bm25(documents: dict[str, bytes], text: str, analyzer: str) -> list[str]:
    """Return the best of the documents by the formula alone, in float64."""
    tokens = {
        key: Counter(token.term for token in get_analyzer(analyzer).tokens(source.decode()))
        for key, source in documents.items()
    }
    lengths = {key: sum(counts.values()) for key, counts in tokens.items()}
    mean = sum(lengths.values()) / len(lengths)
    scores: Counter[str] = Counter()
    for token in get_analyzer(analyzer).tokens(text):
        having = [key for key, counts in tokens.items() if counts[token.term]]
        idf = math.log(1 + (len(tokens) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            tf = tokens[key][token.term]
            scores[key] += idf * tf / (tf + 1.2 * (0.25 + 0.75 * lengths[key] / mean))
    return sorted(scores, key=lambda key: -scores[key])


def test_a_small_collection_is_ranked_by_the_formula(tmp_path: Path) -> None:
    documents = {key: b'{"text":"%s"}' % text.encode() for key, text in PAGES.items()}
    texts = {key: text.encode() for key, text in PAGES.items()}
    searcher = searcher_of(tmp_path, documents, "english")
    for question in QUESTIONS:
        assert top(searcher, question) == bm25(texts, question, "english"), question
    reached = [ndcg(top(searcher, question), grades) for question, grades in QUESTIONS.items()]
    assert np.mean(reached) > 0.95


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("analyzer", ["standard", "english"])
def test_judged_questions_are_answered_as_well_as_by_a_plain_bm25(
    tmp_path: Path, task: Task, analyzer: str
) -> None:
    if not (CORPORA / f"{task.file}.ndjson.zst").exists():
        pytest.skip(f"the corpora are not beside the repository, in {CORPORA}")
    loaded = load(task, CORPORA)
    documents = {item.key.decode(): item.source for item in loaded.items}
    searcher = searcher_of(tmp_path, documents, analyzer)
    score = ndcg if task.measure == "nDCG@10" else reciprocal_rank
    reached = np.mean(
        [score(top(searcher, loaded.queries[at]), loaded.judgments[at]) for at in loaded.judgments]
    )
    wanted = reference(CORPORA, task, stemming=analyzer == "english")
    print(f"{task.name} {analyzer}: {task.measure} {reached:.4f}, reference {wanted:.4f}")
    assert reached > wanted - TOLERANCE
