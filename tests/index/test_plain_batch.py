"""Batches decided at once and documents read by the kernel, against one by one and parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import index.engine
from index.document import DocumentEvent, Op
from index.engine import Applied, Engine
from index.options import IndexOptions
from index.reading import DocumentReader
from index.schema import Schema, SchemaRef
from tests.index.storage_world import MemoryDirectory

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text", "analyzer": "english"},
        "tag": {"type": "keyword"},
        "n": {"type": "long"},
        "f": {"type": "double"},
    }
}
words = st.lists(st.sampled_from(["The", "dogs", "run", "Éa", "漢字", "a.b"]), max_size=4).map(
    " ".join
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "title": words | st.lists(words, max_size=3),
        "body": words,
        "tag": st.sampled_from("abc") | st.lists(st.sampled_from("abc"), max_size=4),
        "n": st.integers(-3, 3) | st.lists(st.integers(-3, 3), max_size=3) | st.just("7"),
        "f": st.floats(-4, 4),
    },
)
unusual = st.sampled_from(
    [b"{", b"[]", b'{"n":"x"}', b'{"new":1}', b'{"tag":"a","tag":"b"}', b'{"other":"word"}']
)
sources = documents.map(lambda document: json.dumps(document).encode())
keys = st.integers(0, 9).map(lambda number: b"%d" % number)


@st.composite
def events(draw: st.DrawFn, offset: int) -> DocumentEvent:
    if draw(st.integers(0, 9)):
        return DocumentEvent(offset, Op.UPSERT, draw(keys), draw(sources), None)
    op = draw(st.sampled_from(Op))
    version = draw(st.none() | st.integers(0, 60))
    if op is Op.DELETE:
        return DocumentEvent(offset, op, draw(keys), None, None, version)
    if op is Op.UPDATE:
        fields = draw(documents)
        return DocumentEvent(offset, op, draw(keys), b"{}", fields, version, fields)
    return DocumentEvent(offset, op, draw(keys), draw(sources | unusual), None, version)


@st.composite
def logs(draw: st.DrawFn) -> list[list[DocumentEvent]]:
    batches, offset = [], 0
    for size in draw(st.lists(st.integers(0, 8), min_size=1, max_size=6)):
        batches.append([draw(events(offset + i)) for i in range(size)])
        offset += size
    return batches


def engine_of() -> tuple[Engine, MemoryDirectory]:
    directory = MemoryDirectory()
    ref = SchemaRef(Schema.from_mapping(MAPPING))
    return Engine.open(directory, ref, IndexOptions()), directory


def told(applied: Applied) -> tuple[Any, ...]:
    changes = [
        (change.offset, change.key, change.new_doc, change.old and change.old[1])
        for change in applied.changes
    ]
    return applied.outcomes, applied.versions, applied.rejected, changes


def flush(engine: Engine) -> None:
    job = engine.plan_flush()
    if job is not None:
        job.run()
        engine.install(job)


def run(batches: list[list[DocumentEvent]], flush_after: int) -> tuple[Any, ...]:
    """Return all that one can see of an engine that took the batches."""
    engine, directory = engine_of()
    seen: list[Any] = []
    for number, batch in enumerate(batches):
        next_offset = batch[-1].offset + 1 if batch else engine.next_offset
        seen.append(told(engine.apply(batch, next_offset)))
        if number == flush_after:
            flush(engine)
    seen.append([(view.n_alive, None if view.alive is None else view.alive.tolist())
                 for view in engine.views()])  # fmt: skip
    flush(engine)
    files = {name: bytes(directory.read(name)) for name in directory.list() if ".seg" in name}
    return seen, files, engine.schema.current


@given(logs(), st.integers(0, 5))
@settings(deadline=None, max_examples=150)
def test_a_batch_at_once_does_what_one_by_one_does(
    batches: list[list[DocumentEvent]], flush_after: int
) -> None:
    at_once = run(batches, flush_after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index.engine, "plan_plain", lambda *_: None)
        one_by_one = run(batches, flush_after)
        patch.setattr(DocumentReader, "scan", lambda self, text, *_: _nothing())
        parsed = run(batches, flush_after)
    assert at_once == one_by_one == parsed


def _nothing() -> Any:
    import numpy as np

    return np.empty((0, 4), np.int64)


def test_upserts_of_new_keys_are_decided_at_once() -> None:
    engine, _ = engine_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index.engine, "Batch", None)
        batch = [DocumentEvent(i, Op.UPSERT, b"%d" % i, b'{"n":1}', None) for i in range(5)]
        assert engine.apply(batch, 5).changes[3].new_doc == 3
        again = [DocumentEvent(5 + i, Op.UPSERT, b"%d" % i, b'{"n":1}', None) for i in range(3)]
        change = engine.apply(again, 8).changes[2]
    assert change.old is not None
    assert (change.old[1], change.new_doc) == (2, 7)
    assert engine.stats().n_docs == 5
