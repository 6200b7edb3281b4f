from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.automaton.automaton import wildcard
from index.extract import Extractor
from index.lengths import encode_length
from index.live_bytes import KeyBatch
from index.memtable import Memtable
from index.memtable_reader import MemtableReader
from index.options import IndexOptions
from index.reader import Reader
from index.schema import Schema, SchemaRef
from tests.index.memtable_world import (
    Document,
    World,
    append,
    batches,
    bits_of,
    column_values,
    key_of,
    postings_of,
    read_postings,
    source_of,
    tokens_of,
    values_of,
)

TEXTS = ["title", "body"]
KEYWORDS = ["title.raw", "tags"]
NUMBERS = ["size", "price", "active"]


def check_terms(world: World, reader: MemtableReader, documents: list[Document]) -> None:
    for name in TEXTS + KEYWORDS:
        field = world.field(name)
        expected = postings_of(field, documents)
        for term, postings in expected.items():
            assert read_postings(reader, field, term) == postings
        ids = reader.prefix_terms(field.no, b"", 10_000).tolist()
        seen = [reader.term_bytes(i) for i in ids if reader.doc_freq(i)]
        assert sorted(seen) == sorted(expected)


def check_fields(world: World, reader: MemtableReader, documents: list[Document]) -> None:
    for name in TEXTS:
        no = world.field(name).no
        lengths = [len(tokens_of(world.field(name), document)) for document in documents]
        present = [bool(values_of(document, name)) for document in documents]
        assert bits_of(reader.present(no), len(documents)) == present
        assert (no in reader.field_nos) == any(present)
        if any(present):
            assert reader.lengths(no).tolist() == lengths
            assert reader.norms(no).tolist() == [encode_length(length) for length in lengths]
        assert reader.field_stats(no) == (sum(map(bool, lengths)), sum(lengths))


def check_columns(world: World, reader: MemtableReader, documents: list[Document]) -> None:
    for name in KEYWORDS + NUMBERS:
        field = world.field(name)
        column = reader.column(field.no)
        expected: list[list[Any]] = [values_of(document, name) for document in documents]
        if field.is_keyword:
            expected = [sorted({value.encode() for value in values}) for values in expected]
        found = (
            column_values(column, len(documents)) if column is not None else [[] for _ in documents]
        )
        if column is not None and column.kind == "ord":
            found = [[reader.ord_term(field.no, o) for o in values] for values in found]
        assert found == expected
        assert bits_of(reader.present(field.no), len(documents)) == list(map(bool, expected))
        stats = (sum(map(bool, expected)), sum(map(len, expected)))
        assert reader.field_stats(field.no) == stats


def check_documents(reader: MemtableReader, n_docs: int) -> None:
    assert reader.n_docs == n_docs
    newest = {key_of(doc): doc for doc in range(n_docs)}
    for residue in range(8):
        key = b"key-%d" % residue
        assert reader.find_key(key) == newest.get(key, -1)
    for doc in range(n_docs):
        assert reader.key(doc) == key_of(doc)
        assert reader.source(doc) == source_of(doc)
        assert (reader.version(doc), reader.offset(doc)) == (2 * doc, 10 + doc)


@given(batches)
@settings(deadline=None, max_examples=60)
def test_every_reader_sees_the_documents_of_its_moment_for_ever(
    batches: list[list[Document]],
) -> None:
    world = World()
    readers = [world.append(batch) for batch in batches]
    for reader in readers:
        documents = world.documents[: reader.n_docs]
        check_terms(world, reader, documents)
        check_fields(world, reader, documents)
        check_columns(world, reader, documents)
        check_documents(reader, len(documents))


def many(n: int) -> list[Document]:
    return [
        {"title": f"common w{i % 50} " + "again " * (i % 9), "tags": ["t", f"u{i}"], "size": i}
        for i in range(n)
    ]


def test_readers_stay_right_while_all_arrays_grow() -> None:
    world = World()
    documents = many(3_000)
    readers = [world.append(documents[i : i + 250]) for i in range(0, 3_000, 250)]
    for reader in readers[::4]:
        seen = documents[: reader.n_docs]
        for name, term in (("title", b"common"), ("title", b"again"), ("tags", b"t")):
            field = world.field(name)
            assert read_postings(reader, field, term) == postings_of(field, seen)[term]
        check_columns(world, reader, seen)


def test_the_batches_do_not_matter() -> None:
    documents = many(700)
    one, other = World(), World()
    whole = one.append(documents)
    for i in range(0, 700, 33):
        split = other.append(documents[i : i + 33])
    for name in TEXTS + KEYWORDS:
        field = one.field(name)
        for term in postings_of(field, documents):
            assert read_postings(whole, field, term) == read_postings(split, field, term)


@given(batches)
@settings(deadline=None, max_examples=30)
def test_prefix_and_wildcard_find_the_terms_of_the_field(batches: list[list[Document]]) -> None:
    world = World()
    reader = world.memtable.reader()
    for batch in batches:
        reader = world.append(batch)
    field = world.field("tags")
    terms = sorted(postings_of(field, world.documents))

    def bytes_of(ids: np.ndarray) -> list[bytes]:
        return sorted(reader.term_bytes(i) for i in ids.tolist())

    assert bytes_of(reader.prefix_terms(field.no, b"a", 100)) == [
        term for term in terms if term.startswith(b"a")
    ]
    assert bytes_of(reader.matching_terms(field.no, wildcard("*b"), 100)) == [
        term for term in terms if term.endswith(b"b")
    ]
    assert len(reader.prefix_terms(field.no, b"", 1)) == min(1, len(terms))


def test_a_reader_is_a_reader() -> None:
    assert isinstance(World().memtable.reader(), Reader)


def test_find_keys_gives_the_newest() -> None:
    world = World()
    world.append([{}] * 9)
    wanted = KeyBatch.of([b"key-0", b"key-1", b"key-2", b"other"])
    assert world.memtable.reader().find_batch(wanted).tolist() == [7, 8, 2, -1]


def test_a_document_beyond_the_reader_is_an_error() -> None:
    world = World()
    reader = world.append([{}])
    world.append([{}])
    for ask in (reader.key, reader.source, reader.version, reader.offset):
        with pytest.raises(IndexError):
            ask(1)


def test_an_idle_memtable_holds_kilobytes() -> None:
    memtable = World().memtable
    arrays = [value for value in vars(memtable._vocabulary).values() if hasattr(value, "nbytes")]
    assert sum(array.nbytes for array in arrays) < 20_000
    assert sys.getsizeof(memtable._versions) + sys.getsizeof(memtable._offsets) < 2_000


def test_bytes_grow_with_what_is_kept() -> None:
    world = World()
    empty = world.memtable.n_bytes
    world.append(many(1_000))
    assert world.memtable.n_bytes > empty + 1_000 * (len(source_of(0)) + 100)


@given(st.integers(1, 200), st.integers(1, 200))
@settings(deadline=None, max_examples=20)
def test_a_field_that_turns_up_late_is_absent_before(before: int, after: int) -> None:
    ref, options = SchemaRef(Schema()), IndexOptions()
    memtable, extractor = Memtable(ref, options), Extractor(ref, options)
    documents: list[Document] = [{}] * before + [{"n": [1, 2], "t": "x"}] * after
    parsed = [extractor.parse(document) for document in documents]
    numbers = list(range(len(documents)))
    for part in (slice(0, before), slice(before, None)):
        append(
            memtable,
            parsed[part],
            [b"%d" % i for i in numbers[part]],
            numbers[part],
            numbers[part],
            [b"{}"] * len(numbers[part]),
        )
    reader = memtable.reader()
    n, t = ref.current.field("n"), ref.current.field("t")
    assert n is not None
    assert t is not None
    column = reader.column(n.no)
    assert column is not None
    assert column_values(column, len(documents)) == [[]] * before + [[1, 2]] * after
    assert reader.lengths(t.no).tolist() == [0] * before + [1] * after


def test_readers_stay_right_while_another_thread_appends() -> None:
    world = World()
    documents = many(4_000)
    reader = world.append(documents[:500])
    field = world.field("title")
    expected = postings_of(field, documents[:500])[b"again"]

    def append_the_rest() -> None:
        for i in range(500, 4_000, 50):
            world.append(documents[i : i + 50])

    with ThreadPoolExecutor(1) as pool:
        rest = pool.submit(append_the_rest)
        n_checks = 0
        while not rest.done() or n_checks == 0:
            assert read_postings(reader, field, b"again") == expected
            n_checks += 1
        rest.result()
    check_columns(world, reader, documents[:500])
