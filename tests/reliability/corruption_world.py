"""A small data directory with all that ours have, and what is asked of it.

One index, one shard with three segments, deletes, tombstones and two manifests, and an embedded
log that was closed and holds more than the shard's older checkpoint lacks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import orjson

from consumers.log_file import StoredRecord
from consumers.log_partition import PartitionFiles
from index.aggregate.run import aggregate
from index.directory import FsDirectory
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.errors import CorruptionError
from index.jobs import Job
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.reader import Reader
from index.schema import Schema, SchemaRef
from index.searcher import Hit, Searcher
from pipeline.index_store import IndexMeta, IndexStore
from tests.index.storage_world import MemoryDirectory

SHARD, LOG = "shards/0/", "log/0/"
NOW_MS = 1_600_000_000_000
OPTIONS = IndexOptions(merge_factor=16, stored_block_bytes=2048)
N_DOCS = 150
"""About 60 kB of files."""

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text"},
        "tags": {"type": "keyword"},
        "n": {"type": "long"},
        "price": {"type": "double"},
        "at": {"type": "date"},
    }
}
WORDS = [
    "river", "stone", "harbour", "lantern", "winter", "orchard", "signal", "copper", "meadow",
    "thunder", "ribbon", "gravel",
]  # fmt: skip

Files = dict[str, bytes]
"""Of every file, by its path in the folder of the index."""

BODIES: list[dict[str, Any]] = [
    {"size": 500, "sort": ["n", "_doc"]},
    {"query": {"match": {"body": "river stone"}}, "size": 20},
    {"query": {"match_phrase": {"body": "winter orchard"}}, "size": 20, "track_total_hits": True},
    {"query": {"term": {"tags": "copper"}}, "sort": [{"price": "desc"}, "_doc"], "size": 20},
    {"query": {"bool": {"filter": [{"range": {"n": {"gte": 20, "lt": 90}}}]}}, "size": 5},
    {"query": {"prefix": {"title.raw": "s"}}, "size": 20, "sort": ["title.raw", "_doc"]},
    {"query": {"range": {"at": {"gte": "2020-02-01"}}}, "sort": [{"at": "desc"}, "_doc"]},
    {"query": {"wildcard": {"body": "*er"}}, "highlight": {"fields": {"body": {}}}, "size": 3},
    {"query": {"fuzzy": {"body": "lantren"}}, "size": 5},
]
AGGREGATIONS: dict[str, Any] = {
    "tags": {"terms": {"field": "tags"}, "aggs": {"most": {"max": {"field": "price"}}}},
    "n": {"histogram": {"field": "n", "interval": 25}},
    "at": {"date_histogram": {"field": "at", "calendar_interval": "month"}},
    "titles": {"cardinality": {"field": "title.raw"}},
}


def events() -> list[DocumentEvent]:
    """Return the history: upserts, updates of some, deletes, versioned deletes."""
    chance = Random(4)
    found: list[DocumentEvent] = []

    def add(op: Op, key: str, fields: dict[str, Any] | None = None, version: int | None = None):
        source = None if fields is None else orjson.dumps(fields)
        found.append(DocumentEvent(len(found), op, key.encode(), source, fields, version))

    for number in range(N_DOCS):
        add(Op.UPSERT, f"doc-{number}", _fields(chance, number))
        if number % 7 == 3:
            add(Op.UPSERT, f"doc-{number // 2}", _fields(chance, number))
        if number % 11 == 5:
            add(Op.DELETE, f"doc-{number // 3}")
        if number % 13 == 6:
            add(Op.DELETE, f"gone-{number}", version=10_000 + number)
    return found


def _fields(chance: Random, number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "title": " ".join(chance.sample(WORDS, 3)),
        "body": " ".join(chance.choices([*WORDS, f"only{number}"], k=24)),
        "tags": chance.sample(WORDS, chance.randrange(4)),
        "n": chance.randrange(120),
    }
    if number % 3:
        fields["price"] = round(chance.uniform(1, 99), 2)
    if number % 4:
        fields["at"] = f"2020-{1 + number % 6:02d}-{1 + number % 28:02d}"
    return fields


def record_of(event: DocumentEvent) -> StoredRecord:
    headers = () if event.version is None else (("version", b"%d" % event.version),)
    return StoredRecord(event.offset, event.key, event.source, headers)


@cache
def sound_files() -> Mapping[str, bytes]:
    """Return the files of the world, as the product writes them."""
    with tempfile.TemporaryDirectory(prefix="tailrace-corruption-") as folder:
        _write(Path(folder))
        return dict(_read(Path(folder)))


def _read(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def _write(folder: Path) -> None:
    history = events()
    schema = SchemaRef(Schema.from_mapping(MAPPING))
    meta = IndexMeta("docs", "u" * 22, 1, {"number_of_shards": 1}, schema.current.to_json())
    IndexStore(folder).save(meta, schema.current)
    engine = Engine.open(FsDirectory(folder / SHARD), schema, OPTIONS)
    ends = [len(history) * part // 10 for part in (0, 4, 7, 9)]
    for first, end in pairwise(ends):
        engine.apply(history[first:end], end)
        _run(engine, engine.plan_flush())
    log = PartitionFiles(FsDirectory(folder / LOG), 1 << 30)
    for first in range(ends[2], len(history), 9):
        log.append([record_of(event) for event in history[first : first + 9]])
    log.close()


def _run(engine: Engine, job: Job | None) -> None:
    assert job is not None
    job.run()
    engine.install(job)


def shard_directory(files: Mapping[str, bytes]) -> MemoryDirectory:
    """Return the folder of the shard alone."""
    of_shard = {path.removeprefix(SHARD): files[path] for path in files if path.startswith(SHARD)}
    return MemoryDirectory(of_shard)


def open_engine(directory: MemoryDirectory, schema: Schema) -> Engine:
    """Open the shard and replay what it lacks. Raises: TailraceError."""
    engine = Engine.open(directory, SchemaRef(schema), OPTIONS)
    history = events()
    first = max(engine.next_offset, 0)
    if first > len(history):
        raise CorruptionError("checkpoint", 0, "behind the log")
    engine.apply(history[first:], len(history))
    return engine


def answers(engine: Engine) -> list[Any]:
    """Return what all searches find, and each document by its key."""
    views = engine.views()
    searcher = Searcher(views, engine.schema.current, NOW_MS)
    found: list[Any] = []
    for body in BODIES:
        result = searcher.search(parse_search(body))
        hits = [_shown(views[hit.view_no].reader, hit) for hit in result.hits]
        found.append((result.total, hits))
    keys = {event.key for event in events()}
    for key in sorted(keys):
        got = searcher.get(key)
        found.append(None if got is None else got[0].reader.version(got[1]))
    request = parse_search({"size": 0, "aggs": AGGREGATIONS})
    found.append(aggregate([searcher], request, lambda inner, results: {}))
    return found


def _shown(reader: Reader, hit: Hit) -> tuple[Any, ...]:
    """Return a hit without its place in the index, which hangs on where segments begin."""
    doc_id, sort = hit.doc_id, hit.sort
    values = sort[:1] if sort is not None else None
    return reader.key(doc_id), reader.source(doc_id), reader.version(doc_id), hit.score, values
