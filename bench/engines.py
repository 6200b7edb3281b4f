"""The two engines behind one shape: take documents, become searchable, answer queries."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.corpus import MAPPING, Item
from index.directory import FsDirectory
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.jobs import Job
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher

BATCH_DOCS = 2_000
TOP = 10


class TailraceEngine:
    """Tailrace's core, driven as a shard drives it: batches in one thread, flushes and merges in
    another."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True)
        self._engine = Engine.open(
            FsDirectory(path), SchemaRef(Schema.from_mapping(MAPPING)), IndexOptions()
        )
        self._pool = ThreadPoolExecutor(1)
        self._job: tuple[Job, Future[None]] | None = None
        self._offset = 0

    def take(self, items: list[Item]) -> None:
        for first in range(0, len(items), BATCH_DOCS):
            self._apply(items[first : first + BATCH_DOCS])
            self._maintain()

    def _apply(self, items: list[Item]) -> None:
        events = [
            DocumentEvent(self._offset + n, Op.UPSERT, item.key, item.source, item.fields)
            for n, item in enumerate(items)
        ]
        self._offset += len(items)
        applied = self._engine.apply(events, self._offset)
        assert not applied.rejected, applied.rejected[0]

    def _maintain(self) -> None:
        if self._job is not None and not self._job[1].done():
            return
        self._install()
        job = self._engine.plan_flush() if self._engine.is_memtable_full() else None
        self._start(job or self._engine.plan_merge())

    def _start(self, job: Job | None) -> None:
        if job is not None:
            self._job = (job, self._pool.submit(job.run))

    def _install(self) -> None:
        if self._job is not None:
            job, done = self._job
            done.result()
            self._engine.install(job)
            self._job = None

    def settle(self) -> None:
        """Flush what is in memory and merge what is due."""
        self._install()
        self._start(self._engine.plan_flush())
        self._install()
        while (job := self._engine.plan_merge()) is not None:
            self._start(job)
            self._install()

    def search(self, text: str) -> tuple[int, int]:
        """Return the number of hits on the page and in total."""
        return self._search({"query": {"match": {"text": text}}, "size": TOP})

    def search_uncounted(self, text: str) -> int:
        body = {"query": {"match": {"text": text}}, "size": TOP, "track_total_hits": False}
        return self._search(body)[0]

    def _search(self, body: dict[str, Any]) -> tuple[int, int]:
        searcher = Searcher(self._engine.views(), self._engine.schema.current, 0)
        result = searcher.search(parse_search(body))
        return len(result.hits), result.total

    @property
    def n_segments(self) -> int:
        return len(self._engine.stats().segments)

    def close(self) -> None:
        self._pool.shutdown()


class TantivyEngine:
    """tantivy-py with the same fields, one indexing thread, the source stored as Tailrace does."""

    def __init__(self, path: Path, heap_bytes: int = 64 << 20) -> None:
        import tantivy

        path.mkdir(parents=True)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw")
        builder.add_text_field("title", tokenizer_name="default")
        builder.add_text_field("text", tokenizer_name="default")
        builder.add_text_field("section", tokenizer_name="raw", fast=True)
        builder.add_text_field("tags", tokenizer_name="raw", fast=True)
        builder.add_integer_field("size", indexed=True, fast=True)
        builder.add_bytes_field("source", stored=True)
        self._tantivy = tantivy
        self._index = tantivy.Index(builder.build(), path=str(path))
        self._writer = self._index.writer(heap_bytes, 1)

    def take(self, items: list[Item]) -> None:
        document = self._tantivy.Document
        add = self._writer.add_document
        for item in items:
            add(document(id=item.key.decode(), source=item.source, **_lists(item.fields)))

    def settle(self) -> None:
        self._writer.commit()
        self._writer.wait_merging_threads()
        self._index.reload()

    def prepare(self) -> None:
        """Open what `search_*` use; part of neither side's times."""
        self._searcher = self._index.searcher()

    def search(self, text: str) -> tuple[int, int | None]:
        """Search with an exact total, as Tailrace always gives one."""
        result = self._searcher.search(self._index.parse_query(text, ["text"]), TOP)
        return len(result.hits), result.count

    def search_uncounted(self, text: str) -> int:
        query = self._index.parse_query(text, ["text"])
        return len(self._searcher.search(query, TOP, count=False).hits)


def _lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, list) else [value] for name, value in fields.items()}


def timed(work: Any, argument: str) -> float:
    began = time.perf_counter()
    work(argument)
    return time.perf_counter() - began
