"""Views over a few memtables; and a random index with an oracle that lived through the same."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import orjson

from index.document import DocumentEvent, Op
from index.engine import Engine
from index.extract import Extractor
from index.memtable import Memtable
from index.options import IndexOptions
from index.part import Part
from index.query.parse_json import parse_search
from index.query.request import SearchRequest
from index.reader import View
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.memtable_world import append
from tests.index.random_queries import DATES, WORDS, RandomQueries
from tests.index.storage_world import MemoryDirectory
from tests.oracle import Oracle, OracleHit, OracleResult, differences

NOW_MS = 1_600_000_000_000
OPTIONS = IndexOptions()
ENGINE_OPTIONS = IndexOptions(merge_factor=2, stored_block_bytes=256)
MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text", "analyzer": "english"},
        "tag": {"type": "keyword"},
        "n": {"type": "long"},
        "f": {"type": "double"},
        "d": {"type": "date"},
        "b": {"type": "boolean"},
        "o": {"properties": {"x": {"type": "keyword"}, "y": {"type": "integer"}}},
    }
}


def views_of(*batches: list[tuple[str, dict[str, Any]]]) -> tuple[tuple[View, ...], SchemaRef]:
    """Return one view a batch of (key, document); of equal keys the last lives."""
    ref = SchemaRef(Schema.from_mapping(MAPPING))
    extractor = Extractor(ref, OPTIONS)
    parts: list[Part] = []
    located: dict[str, tuple[Part, int]] = {}
    for batch in batches:
        memtable = Memtable(ref, OPTIONS)
        numbers = list(range(len(batch)))
        append(
            memtable,
            [extractor.parse(document) for _, document in batch],
            [key.encode() for key, _ in batch],
            numbers,
            numbers,
            [orjson.dumps(document) for _, document in batch],
        )
        part = Part(memtable.reader(), name=f"s{len(parts)}", shard=0)
        parts.append(part)
        for number, (key, _) in enumerate(batch):
            if key in located:
                old_part, old_doc = located[key]
                old_part.kill([old_doc])
            located[key] = (part, number)
    return tuple(part.view for part in parts), ref


class World:
    """A random index, and an oracle that lived through the same events.

    `n_docs` documents are written at most; some replace others, some are deleted; at random
    moments the memtable is flushed and segments are merged.
    """

    def __init__(self, seed: int, n_docs: int | None = None) -> None:
        self.random = random.Random(seed)
        self.ask = RandomQueries(self.random)
        self.query, self.fuzzy, self.body = self.ask.query, self.ask.fuzzy, self.ask.body
        self._ref = SchemaRef(Schema.from_mapping(MAPPING))
        self.schema = self._ref.current
        self.oracle = Oracle(self._ref)
        self._disk = MemoryDirectory()
        self._engine = Engine.open(self._disk, self._ref, ENGINE_OPTIONS)
        self._n_events = 0
        for _ in range(self.random.randint(1, 4)):
            self.write(n_docs or self.random.choice([1, 5, 40, 150]))
            self.change_layout()

    @property
    def views(self) -> tuple[View, ...]:
        return self._engine.views()

    # --- what happens to the index ---------------------------------------------------------
    def write(self, most: int) -> None:
        """Apply one batch of upserts, partial updates and deletes."""
        changes = []
        for _ in range(most):
            op = Op.UPSERT if self.random.random() < 0.9 else self.random.choice([*Op])
            fields = None if op is Op.DELETE else self.document()
            changes.append((op, str(self.random.randint(0, most)).encode(), fields))
        self._apply(changes)

    def rewrite(self) -> None:
        """Write some of the documents again as they are."""
        chosen = self.random.sample(sorted(self.oracle.live), k=len(self.oracle) // 3)
        self._apply([(Op.UPSERT, key, self.oracle.live[key].source) for key in chosen])

    def _apply(self, changes: list[tuple[Op, bytes, dict[str, Any] | None]]) -> None:
        events = []
        for op, key, fields in changes:
            source = None if fields is None else orjson.dumps(fields)
            events.append(DocumentEvent(self._n_events + len(events), op, key, source, fields))
        self._n_events += len(events)
        applied = self._engine.apply(events, self._n_events)
        assert applied.outcomes == [self.oracle.apply(event) for event in events]

    def change_layout(self) -> None:
        """Flush, merge some, merge all, open anew, or do nothing: no answer may change."""
        choice = self.random.choice(["flush", "flush", "merge", "merge all", "reopen", "nothing"])
        if choice == "nothing":
            return
        self._run(self._engine.plan_flush())
        if choice == "merge":
            self._run(self._engine.plan_merge())
        elif choice == "merge all":
            self._run(self._engine.plan_full_merge())
        elif choice == "reopen":
            self._engine = Engine.open(self._disk, self._ref, ENGINE_OPTIONS)

    def flush(self) -> None:
        self._run(self._engine.plan_flush())

    def _run(self, job: Any) -> None:
        if job is not None:
            job.run()
            self._engine.install(job)

    # --- answers ---------------------------------------------------------------------------
    def searcher(self) -> Searcher:
        return Searcher(self.views, self.schema, NOW_MS)

    def answer(self, request: Any) -> OracleResult:
        searcher = self.searcher()
        result = searcher.search(request)
        hits = [OracleHit(searcher.key(hit), hit.score, hit.sort) for hit in result.hits]
        return OracleResult(hits, result.total)

    def difference(self, body: dict[str, Any]) -> str | None:
        """Say how the searcher's answer to a body differs from the oracle's, None: not at all."""
        request = parse_search(body)
        expected = self.oracle.search(request, NOW_MS)
        return differences(comparable(expected, request), comparable(self.answer(request), request))

    def some_docs(self) -> tuple[int, np.ndarray]:
        view_no = self.random.randrange(len(self.views))
        n_docs = self.views[view_no].reader.n_docs
        chosen = sorted(self.random.sample(range(n_docs), k=min(n_docs, 7)))
        return view_no, np.array(chosen, np.uint32)

    # --- random documents ------------------------------------------------------------------
    def document(self) -> dict[str, Any]:
        r, words = self.random, self.ask.words
        whole: dict[str, Any] = {
            "title": r.choice([words(8), "", [words(), words()]]),
            "body": words(60),
            "tag": r.choice([r.choice(WORDS), r.choices(WORDS, k=3)]),
            "n": r.choice([r.randint(-3, 9), [r.randint(-3, 9), r.randint(-3, 9)]]),
            "f": r.choice([0.5, -1.25, 2.0, 3.75]),
            "d": r.choice(DATES),
            "b": r.random() < 0.5,
            "o": {"x": r.choice(WORDS), "y": r.randint(0, 4)},
        }
        return {name: value for name, value in whole.items() if r.random() < 0.75}


def comparable(result: OracleResult, request: SearchRequest) -> OracleResult:
    """Return the result without `_doc` values: an index may number places as it likes."""
    if all(key.field != "_doc" for key in request.sort):
        return result
    hits = [
        hit._replace(
            sort=tuple(
                None if key.field == "_doc" else value
                for key, value in zip(request.sort, hit.sort or (), strict=True)
            )
        )
        for hit in result.hits
    ]
    return OracleResult(hits, result.total)
