from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.directory import FsDirectory
from index.errors import CorruptionError, StorageError
from index.format import Kind
from index.lengths import encode_lengths
from index.reader import FieldStats, Reader
from index.segment import Segment
from tests.index import storage_world as world
from tests.index.storage_world import Document, ListDraft, MemoryDirectory

docs_lists = st.lists(world.documents, max_size=12)


@settings(deadline=None, max_examples=100)
@given(docs_lists, st.integers(1, 4))
def test_a_draft_comes_back_through_the_readers_protocol(
    docs: list[Document], chunk_terms: int
) -> None:
    segment = world.write_and_open(ListDraft(docs, first_offset=7, chunk_terms=chunk_terms))
    assert isinstance(segment, Reader)
    assert segment.n_docs == len(docs)
    assert world.read_postings(segment) == world.postings_of(docs)
    for no in world.TEXTS:
        lengths = [len(doc.texts.get(no, [])) for doc in docs]
        if not any(no in doc.texts for doc in docs):
            assert segment.lengths(no) is segment.norms(no) is segment.present(no) is None
            continue
        assert segment.lengths(no).tolist() == lengths
        some = np.arange(0, len(docs), 2, dtype=np.uint32)
        assert segment.lengths_of(no, some).tolist() == lengths[::2]
        assert segment.norms(no).tolist() == encode_lengths(np.array(lengths)).tolist()
        flags = [no in doc.texts for doc in docs]
        assert world.bits_set(segment.present(no), len(docs)) == flags
        assert segment.field_stats(no) == FieldStats(sum(n > 0 for n in lengths), sum(lengths))
    for no in world.KINDS:
        expected = [doc.values.get(no, []) for doc in docs]
        assert [world.values_of(segment, no, i) for i in range(len(docs))] == expected
        total = FieldStats(sum(map(bool, expected)), sum(map(len, expected)))
        assert segment.field_stats(no) == total
        if total.n_docs:
            assert world.bits_set(segment.present(no), len(docs)) == [bool(v) for v in expected]
    used = [no for doc in docs for no in [*doc.texts, *doc.values]]
    assert segment.field_nos == frozenset(used)


@settings(deadline=None, max_examples=50)
@given(docs_lists, st.dictionaries(st.binary(max_size=5), st.integers(-1, 2**62), max_size=4))
def test_documents_and_tombstones_come_back(
    docs: list[Document], tombstones: dict[bytes, int]
) -> None:
    segment = world.write_and_open(ListDraft(docs, first_offset=7, tombstones=tombstones))
    for i, doc in enumerate(docs):
        found = segment.key(i), segment.version(i), segment.offset(i), segment.source(i)
        assert found == (doc.key, doc.version, 7 + 10 * i, doc.source)
    newest = {doc.key: i for i, doc in enumerate(docs)}
    keys = [b"k%d" % i for i in range(12)]
    assert segment.find_keys(keys).tolist() == [newest.get(key, -1) for key in keys]
    assert [segment.find_key(key) for key in keys] == segment.find_keys(keys).tolist()
    assert segment.tombstones() == tombstones
    meta = segment.meta
    assert meta.n_tombstones == len(tombstones)
    ends = (7, 7 + 10 * (len(docs) - 1)) if docs else (-1, -1)
    assert (meta.first_offset, meta.last_offset) == ends


@settings(deadline=None, max_examples=30)
@given(docs_lists)
def test_equal_drafts_give_equal_bytes(docs: list[Document]) -> None:
    directory = MemoryDirectory()
    world.write(directory, "1.seg", ListDraft(docs, chunk_terms=1))
    world.write(directory, "2.seg", ListDraft(docs, chunk_terms=50))
    assert directory.files["1.seg"] == directory.files["2.seg"]


SAMPLE = [
    Document(b"a", 1, b'{"a":1}', {world.TITLE: [b"one", b"two", b"one"]}, {world.SIZE: [4, 5]}),
    Document(b"b", 10, b'{"b":2}', {world.TITLE: [b"two"]}, {world.TAG: [b"x"]}),
]


def test_each_flipped_byte_refuses_to_open() -> None:
    directory = MemoryDirectory()
    meta = world.write(directory, "1.seg", ListDraft(SAMPLE, tombstones={b"t": 3}))
    for at in range(meta.n_bytes):
        directory.flip("1.seg", at, 1 << at % 8)
        with pytest.raises(CorruptionError, match=r"^1\.seg at byte \d+: "):
            Segment.open(directory, meta)
        directory.flip("1.seg", at, 1 << at % 8)
    Segment.open(directory, meta)


def test_a_segment_of_another_size_refuses_to_open() -> None:
    directory = MemoryDirectory()
    meta = world.write(directory, "1.seg", ListDraft(SAMPLE))
    directory.files["1.seg"] += bytes(64)
    with pytest.raises(CorruptionError):
        Segment.open(directory, meta)


def test_a_file_that_does_not_read_back_is_not_kept() -> None:
    class Lying(MemoryDirectory):
        def map(self, name: str) -> np.ndarray:
            data = super().map(name)
            data[len(data) // 2] ^= 1
            return data

    directory = Lying()
    with pytest.raises(CorruptionError):
        world.write(directory, "1.seg", ListDraft(SAMPLE))
    assert directory.files == {}


def test_an_unsound_draft_leaves_nothing_behind(tmp_path: Path) -> None:
    class Unsound(ListDraft):
        def term_chunks(self) -> Any:
            yield world.chunk_of([((0, b"b"), {0: [0]})])
            yield world.chunk_of([((0, b"a"), {0: [0]})])

    directory = FsDirectory(tmp_path)
    with pytest.raises(StorageError, match="out of order"):
        world.write(directory, "1.seg", Unsound(SAMPLE))
    assert directory.list() == []


def test_everything_that_grows_with_documents_is_mapped(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    meta = world.write(directory, "1.seg", ListDraft(SAMPLE * 50))
    segment = Segment.open(directory, meta)
    column = segment.column(world.SIZE)
    assert column is not None
    arrays = [
        column.values, column.starts, segment.norms(0), segment.present(0), segment.offsets._data,
        segment.versions._data, segment._lengths[0]._data, segment.keys.all()[0],
    ]  # fmt: skip
    assert all(np.shares_memory(array, segment.sections.data) for array in arrays)
    assert not segment.sections.has(Kind.TOMBSTONES)


def test_versions_are_left_out_where_they_are_the_offsets() -> None:
    docs = [Document(b"a", 7, b""), Document(b"b", 17, b"")]
    segment = world.write_and_open(ListDraft(docs, first_offset=7))
    assert not segment.sections.has(Kind.VERSIONS)
    assert [segment.version(0), segment.version(1)] == [7, 17]


def test_the_last_reference_closes_the_segment(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    segment = Segment.open(directory, world.write(directory, "1.seg", ListDraft(SAMPLE)))
    segment.source(0)
    gone = weakref.ref(segment)
    gc.disable()
    try:
        del segment
        assert gone() is None
    finally:
        gc.enable()


def test_the_memtables_of_a_shard_become_segments() -> None:
    from index.extract import Extractor
    from index.memtable import Memtable
    from index.options import IndexOptions
    from index.schema import Schema, SchemaRef
    from index.segment import write_segment
    from tests.index.memtable_world import append

    ref, options = SchemaRef(Schema()), IndexOptions()
    extractor, memtable = Extractor(ref, options), Memtable(ref, options)
    docs = [{"text": "one two"}, {"text": "two", "n": 3}, {"n": [4, 5], "flag": True}]
    append(memtable, [extractor.parse(doc) for doc in docs], [b"a", b"b", b"c"], [1, 2, 3],
           [1, 2, 3], [b"1", b"2", b"3"])  # fmt: skip
    reader = memtable.reader()
    directory = MemoryDirectory()
    meta = write_segment(
        directory, "1.seg", memtable.draft(reader, None), ref.current.fields, options
    )
    segment = Segment.open(directory, meta)
    for no in reader.field_nos:
        assert segment.field_stats(no) == reader.field_stats(no)
    text = ref.current.field("text")
    assert text is not None
    found = [segment.find_term(text.no, word) for word in (b"one", b"two", b"three")]
    assert [segment.doc_freq(term) for term in found if term >= 0] == [1, 2]
