"""An index on a CrashDisk: `index.json` beside a shard whose documents bring new fields.

Letters: `n` upserts a document with a field of its own, `p` adds a field to the mapping and waits
until it is durable, `f` flushes, `m` merges all, `r` opens the index again. A history has an `n`
for each event of the log.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import msgspec

from index.check import verify
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.jobs import Job, at_full_speed
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from pipeline.index_store import FILE_NAME, IndexMeta, IndexStore
from pipeline.maintenance import Maintenance
from tests.reliability.crash_disk import CrashDisk
from tests.reliability.life import Life, demand
from tests.reliability.shard_life import OPTIONS

LETTERS = "npfmr"
MOST_FIELDS = 100
NEW = IndexMeta("index", "uuid", 0, {"number_of_shards": 1}, msgspec.Raw(b"{}"))
SEARCH_WORD = "word"


def event_at(offset: int) -> DocumentEvent:
    fields = {f"f{offset}": SEARCH_WORD}
    return DocumentEvent(offset, Op.UPSERT, b"k%d" % offset, msgspec.json.encode(fields), fields)


class IndexLife(Life):
    def __init__(self, disk: CrashDisk, history: str = "") -> None:
        super().__init__(disk, history)
        self._maintenance = Maintenance(
            threads=cast(Any, None),
            options=cast(Any, None),
            telemetry=cast(Any, None),
            disk=cast(Any, None),
            persist_schema=lambda: self.store.save_schema(self.meta, self.schema),
            on_durable=lambda shard, offset: None,
        )

    def open(self) -> None:
        path = Path("index")
        self.store = IndexStore(path, self.disk.folder)
        found = self.store.load()
        if found is None:
            left = [name for name in self.disk.files if Path(name).name != f"{FILE_NAME}.tmp"]
            demand(not left, "no index.json beside", left)
            found = NEW, Schema.from_mapping({})
            self.store.save(*found)
        self.meta, schema = found
        self.schema = SchemaRef(schema)
        self.directory = self.disk.folder(self.store.shard_path(0))
        self.engine = Engine.open(self.directory, self.schema, OPTIONS)
        self._note()

    def _note(self, job: Job | None = None) -> None:
        """Promise what is durable now."""
        manifest = self.engine.manifest if job is None else cast(Any, job).manifest
        n_fields = sum(1 for each in self.schema.current.fields if each.name.startswith("p"))
        self.promise(manifest.next_offset, manifest.epoch, n_fields=1 + n_fields)

    def replay(self) -> None:
        events = [event_at(offset) for offset in range(len(self.history))]
        if events:
            self.engine.apply(events, len(events))

    def do(self, letter: str) -> None:
        if letter == "n":
            self.grow(letter)
            self.engine.apply([event_at(len(self.history) - 1)], len(self.history))
        elif letter == "p":
            name = f"p{len(self.schema.current.fields)}"
            mapping = {"properties": {name: {"type": "long"}}}
            self.schema.current = self.schema.current.merged(mapping, MOST_FIELDS)
            self.store.save_schema(self.meta, self.schema)
            self._note()
        elif letter == "f":
            self._run(self.engine.plan_flush())
        elif letter == "m":
            self._run(self.engine.plan_full_merge())
        else:
            self.open()
            self.replay()

    def _run(self, job: Job | None) -> None:
        if job is not None:
            self._maintenance._write(job, at_full_speed)
            self.engine.settle(job)
            job.commit()
            self._note(job)
            self.engine.install(job)

    def check(self) -> None:
        report = verify(self.directory, self.schema.current.fields)
        demand(report.is_sound, *report.findings)
        searcher = Searcher(self.engine.views(), self.schema.current, 0)
        n_docs = max(self.engine.next_offset, 0)
        demand(sum(view.n_alive for view in searcher.views) == n_docs, "not", n_docs, "documents")
        for offset in range(n_docs):
            asked = parse_search({"query": {"match": {f"f{offset}": SEARCH_WORD}}})
            hits = [searcher.key(hit) for hit in searcher.search(asked).hits]
            demand(hits == [b"k%d" % offset], f"field f{offset} finds", hits)

    def identity(self) -> Hashable:
        return frozenset(self.disk.files.items()), self.engine.manifest.generation

    def go_on(self) -> None:
        self.check()
        self.replay()
        self.check()
        for letter in "pnfr":
            self.do(letter)
        self.check()
