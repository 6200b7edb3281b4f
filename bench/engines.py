"""The two engines behind one shape: take documents, become searchable, answer queries."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from operator import is_not
from pathlib import Path
from typing import Any, Literal

import orjson

from bench.corpus import MAPPING, Item
from bench.queries import Query
from index.directory import FsDirectory
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.jobs import Job
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.reader import Views
from index.schema import Schema, SchemaRef
from index.searcher import Searcher, SearchResult

BATCH_DOCS = 2_000
TOP = 10
FIELD = "text"
NUMBER = "size"

UNBOUNDED = IndexOptions(memtable_bytes=16 << 30, memtable_docs=1 << 30)
"""Flush only when told."""


class TailraceEngine:
    """Tailrace's core, driven as a shard drives it: batches in one thread, flushes and merges in
    another."""

    def __init__(
        self,
        path: Path,
        mapping: dict[str, Any] = MAPPING,
        options: IndexOptions | None = None,
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.engine = Engine.open(
            FsDirectory(path), SchemaRef(Schema.from_mapping(mapping)), options or IndexOptions()
        )
        self._pool = ThreadPoolExecutor(1)
        self._job: tuple[Job, Future[None]] | None = None
        self._offset = max(self.engine.next_offset, 0)
        self._known = Views(())

    def take(
        self,
        items: list[Item],
        batch_docs: int = BATCH_DOCS,
        merges: Literal["due", "never"] = "due",
    ) -> None:
        for first in range(0, len(items), batch_docs):
            self.apply(items[first : first + batch_docs])
            self.maintain(merges)

    def apply(self, items: list[Item]) -> None:
        """Make some documents searchable."""
        events = [
            DocumentEvent(self._offset + n, Op.UPSERT, item.key, item.source, None)
            for n, item in enumerate(items)
        ]
        self._offset += len(items)
        applied = self.engine.apply(events, self._offset)
        assert not applied.rejected, applied.rejected[0]

    def maintain(self, merges: Literal["due", "never"] = "due") -> None:
        """Begin a flush or a merge that is due, unless one is running."""
        if self._job is not None and not self._job[1].done():
            return
        self._install()
        job = self.engine.plan_flush() if self.engine.is_memtable_full() else None
        self._start(job or (self.engine.plan_merge() if merges == "due" else None))

    def _start(self, job: Job | None) -> None:
        if job is not None:
            self._job = (job, self._pool.submit(job.run))

    def _install(self) -> None:
        if self._job is not None:
            job, done = self._job
            done.result()
            self.engine.install(job)
            self._job = None

    def wait(self) -> None:
        """Wait for what runs."""
        self._install()

    def flush(self) -> None:
        self._install()
        self._start(self.engine.plan_flush())
        self._install()

    def settle(self) -> None:
        """Flush what is in memory and merge what is due."""
        self.flush()
        while (job := self.engine.plan_merge()) is not None:
            self._start(job)
            self._install()

    def merge_all(self) -> None:
        """Flush, and merge all into one segment."""
        self.flush()
        self._start(self.engine.plan_full_merge())
        self._install()

    # --- search ------------------------------------------------------------------------
    def prepared(self, query: Query, counted: bool) -> Callable[[], SearchResult]:
        """Return what answers a query: from the parsed body, as the server does it."""
        body = body_of(query)
        body["track_total_hits"] = counted
        return lambda: self.searcher().search(parse_search(body))

    def forget(self) -> None:
        """Forget what searches worked out about this moment, as when a batch becomes visible, and
        the texts that they analysed."""
        self._known = Views(self.engine.views())
        for name, module in list(sys.modules.items()):
            if name.startswith("index.query."):
                for value in vars(module).values():
                    if hasattr(value, "cache_clear"):
                        value.cache_clear()

    def doc_freq(self, word: str) -> int:
        """Return how many documents have a word."""
        body = {"query": {"term": {FIELD: word}}}
        return self.searcher().count(parse_search(body).query)

    def searcher(self) -> Searcher:
        """Return a snapshot of what is searchable, as the node does it."""
        views = self.engine.views()
        if len(self._known) != len(views) or any(map(is_not, self._known, views)):
            self._known = Views(views)
        return Searcher(self._known, self.engine.schema.current, 0)

    @property
    def n_segments(self) -> int:
        return len(self.engine.stats().segments)

    @property
    def n_unflushed(self) -> int:
        """Return how many documents are in the memtable."""
        return self.engine.stats().memtable_docs

    def close(self) -> None:
        self._install()
        self._pool.shutdown()


def body_of(query: Query) -> dict[str, Any]:
    """Return the JSON body of a search for it."""
    return {"query": _clause(query), "size": TOP}


def _clause(query: Query) -> dict[str, Any]:
    first = query.words[0]
    if query.kind == "match_all":
        return {"match_all": {}}
    if query.kind == "term":
        return {"term": {FIELD: first}}
    if query.kind in ("or", "text"):
        return {"match": {FIELD: " ".join(query.words)}}
    if query.kind == "and":
        return {"match": {FIELD: {"query": " ".join(query.words), "operator": "and"}}}
    if query.kind == "phrase":
        return {"match_phrase": {FIELD: " ".join(query.words)}}
    if query.kind == "fuzzy":
        return {"fuzzy": {FIELD: {"value": first, "fuzziness": query.edits}}}
    if query.kind == "range":
        low, high = query.bounds
        within = {"range": {NUMBER: {"gte": low, "lte": high}}}
        return {"bool": {"must": [{"term": {FIELD: first}}], "filter": [within]}}
    return {query.kind: {FIELD: first}}


class TantivyEngine:
    """tantivy-py with the same fields, the source stored as Tailrace does.

    `ids` "indexed": the id can be looked up, as in Tailrace; "stored": it is only kept.
    """

    def __init__(
        self,
        path: Path,
        mapping: dict[str, Any] = MAPPING,
        *,
        heap_bytes: int = 64 << 20,
        n_threads: int = 1,
        ids: str = "indexed",
    ) -> None:
        import tantivy

        path.mkdir(parents=True, exist_ok=True)
        self._tantivy = tantivy
        schema = _tantivy_schema(mapping, ids)
        self._is_text_id = ids == "indexed"
        self.index = tantivy.Index(schema, path=str(path))
        self.schema = self.index.schema
        self._heap_bytes, self._n_threads = heap_bytes, n_threads
        self.writer = self.index.writer(heap_bytes, n_threads)
        self.searcher: Any = None

    def take(self, items: list[Item]) -> None:
        """Add documents; their JSON is parsed here, as Tailrace parses it too."""
        document = self._tantivy.Document
        add = self.writer.add_document
        for item in items:
            id_ = item.key.decode() if self._is_text_id else item.key
            add(document(id=id_, source=item.source, **_lists(orjson.loads(item.source))))

    def commit(self) -> None:
        """Make durable and searchable what was taken."""
        self.writer.commit()
        self.index.reload()

    def settle(self) -> None:
        """Commit, and wait for merges. Nothing can be taken afterwards."""
        self.writer.commit()
        self.wait()

    def wait(self) -> None:
        """Wait for merges. Nothing can be taken afterwards."""
        self.writer.wait_merging_threads()
        self.index.reload()

    def prepare(self) -> None:
        """Open what searches use; part of neither side's times."""
        self.searcher = self.index.searcher()

    @property
    def n_segments(self) -> int:
        return int(self.index.searcher().num_segments)

    def doc_freq(self, word: str) -> int:
        return int(self.searcher.doc_freq(FIELD, word))

    # --- search ------------------------------------------------------------------------
    def prepared(self, query: Query, counted: bool) -> Callable[[], Any]:
        """Return what answers a query, building its Query object included."""
        build = self._builder(query)
        search = self.searcher.search
        return lambda: search(build(), TOP, counted)

    def _builder(self, query: Query) -> Callable[[], Any]:
        make = self._tantivy.Query
        occur = self._tantivy.Occur
        schema, words = self.schema, query.words
        first = words[0]
        if query.kind == "match_all":
            return make.all_query
        if query.kind == "term":
            return lambda: make.term_query(schema, FIELD, first)
        if query.kind in ("or", "and"):
            each = occur.Should if query.kind == "or" else occur.Must
            return lambda: make.boolean_query(
                [(each, make.term_query(schema, FIELD, word)) for word in words]
            )
        if query.kind == "text":
            return lambda: make.boolean_query(
                [
                    (occur.Should, make.term_query(schema, FIELD, word))
                    for word in first.lower().split()
                ]
            )
        if query.kind == "phrase":
            return lambda: make.phrase_query(schema, FIELD, list(words))
        if query.kind == "prefix":
            # Of its two ways to all terms with a prefix this one is faster than a regexp.
            return lambda: make.fuzzy_term_query(schema, FIELD, first, 0, True, True)
        if query.kind == "fuzzy":
            return lambda: make.fuzzy_term_query(schema, FIELD, first, query.edits, True, False)
        if query.kind == "range":
            low, high = query.bounds
            integer = self._tantivy.FieldType.Integer
            return lambda: make.boolean_query(
                [
                    (occur.Must, make.term_query(schema, FIELD, first)),
                    (occur.Must, make.range_query(schema, NUMBER, integer, low, high)),
                ]
            )
        pattern = first if query.kind == "regexp" else first.replace("*", ".*")
        return lambda: make.regex_query(schema, FIELD, pattern)


def _tantivy_schema(mapping: dict[str, Any], ids: str) -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    if ids == "indexed":
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    else:
        builder.add_bytes_field("id", stored=True)
    for name, field in mapping["properties"].items():
        if field["type"] == "text":
            builder.add_text_field(name, tokenizer_name="default")
        elif field["type"] == "keyword":
            builder.add_text_field(name, tokenizer_name="raw", fast=True, index_option="basic")
        else:
            builder.add_integer_field(name, fast=True)
    builder.add_bytes_field("source", stored=True)
    return builder.build()


def _lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, list) else [value] for name, value in fields.items()}


def plain(text: str) -> str:
    """Return a text without punctuation, which the engines' analysers cut in different ways."""
    return re.sub(r"\W+", " ", text).strip()
