"""A naive memtable: the documents themselves, and what each protocol call must answer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from index.analysis.definitions import get_analyzer
from index.extract import Extractor, ParsedDocument
from index.kernels.tokenize import POSITION_GAP
from index.keys import join_bytes
from index.live_bytes import KeyBatch
from index.memtable import Memtable
from index.memtable_reader import MemtableReader
from index.options import IndexOptions
from index.reader import Column
from index.schema import Field, Schema, SchemaRef
from index.values import PADDING
from index.values import values_of as rows_of
from index.vocabulary import Spans
from tests.index.chain_world import drain

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text", "analyzer": "english"},
        "tags": {"type": "keyword"},
        "size": {"type": "long"},
        "price": {"type": "double"},
        "active": {"type": "boolean"},
    }
}
Document = dict[str, Any]

_words = st.sampled_from(
    ["the", "dog", "dogs", "Running", "run", "runs", "É", "é", "漢字", "a.b", "is"]
)
_text = st.one_of(
    st.lists(_words, max_size=12).map(" ".join),
    st.text(max_size=20).filter(lambda text: text.isprintable()),
)
_tag = st.one_of(st.sampled_from(["a", "b", "b\0", "B", "é"]), st.text("ab", max_size=30))


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values, st.lists(values, max_size=4))


documents = st.fixed_dictionaries(
    {},
    optional={
        "title": _some(_text),
        "body": _some(_text),
        "tags": _some(_tag),
        "size": _some(st.integers(-5, 5)),
        "price": _some(st.floats(-4, 4)),
        "active": _some(st.booleans()),
    },
)
batches = st.lists(st.lists(documents, max_size=12), max_size=6)


class World:
    """A memtable fed batch by batch. Keys repeat every 7 documents."""

    def __init__(self) -> None:
        self.ref = SchemaRef(Schema.from_mapping(MAPPING))
        options = IndexOptions()
        self.memtable = Memtable(self.ref, options)
        self._extractor = Extractor(self.ref, options)
        self.documents: list[Document] = []

    def append(self, batch: list[Document]) -> MemtableReader:
        first = len(self.documents)
        numbers = range(first, first + len(batch))
        self.documents += batch
        append(
            self.memtable,
            [self._extractor.parse(document) for document in batch],
            [key_of(number) for number in numbers],
            [2 * number for number in numbers],
            [10 + number for number in numbers],
            [source_of(number) for number in numbers],
        )
        return self.memtable.reader()

    def field(self, name: str) -> Field:
        field = self.ref.current.field(name)
        assert field is not None
        return field


def append(
    memtable: Memtable,
    docs: list[ParsedDocument],
    keys: list[bytes],
    versions: list[int],
    offsets: list[int],
    sources: list[bytes],
) -> None:
    """Append parsed documents."""
    memtable.append(
        rows_of(enumerate(doc.values for doc in docs)),
        KeyBatch.of(keys),
        np.array(versions, np.int64),
        np.array(offsets, np.int64),
        *join_bytes(sources),
    )


def spans_of(strings: list[bytes], docs: list[int], fields: list[int]) -> Spans:
    """Return the strings as the vocabulary takes them."""
    text, starts = join_bytes([*strings, bytes(PADDING)])
    return Spans(
        text,
        starts[: len(strings)].copy(),
        np.diff(starts)[: len(strings)].copy(),
        np.array(docs, np.uint32),
        np.array(fields, np.uint32),
    )


def key_of(number: int) -> bytes:
    return b"key-%d" % (number % 7)


def source_of(number: int) -> bytes:
    return b'{"n":%d}' % number


def values_of(document: Document, name: str) -> list[Any]:
    value = document.get(name.partition(".")[0])
    values = value if isinstance(value, list) else [value]
    return [value for value in values if value is not None]


def tokens_of(field: Field, document: Document) -> list[tuple[bytes, int]]:
    """Return (term, position) of a text field."""
    out: list[tuple[bytes, int]] = []
    start = 0
    everything = get_analyzer("standard")
    for text in values_of(document, field.name):
        out += [
            (token.term, start + token.position)
            for token in get_analyzer(field.analyzer).tokens(text)
        ]
        # positions of removed words count, and standard removes none
        start += len(everything.tokens(text)) + POSITION_GAP
    return out


Expected = dict[bytes, dict[int, list[int]]]


def postings_of(field: Field, documents: list[Document]) -> Expected:
    """Return term -> document -> positions (a keyword: none)."""
    found: Expected = {}
    for doc, document in enumerate(documents):
        if field.is_text:
            for term, position in tokens_of(field, document):
                found.setdefault(term, {}).setdefault(doc, []).append(position)
        else:
            for value in values_of(document, field.name):
                found.setdefault(value.encode(), {})[doc] = []
    return found


def column_values(column: Column, n_docs: int) -> list[list[Any]]:
    """Return the values of each document."""
    if column.starts is not None:
        starts = column.starts.tolist()
        assert len(starts) == n_docs + 1
        return [column.values[a:b].tolist() for a, b in itertools.pairwise(starts)]
    present = bits_of(column.present, n_docs)
    values = column.values.tolist()
    assert len(values) == n_docs
    return [[values[doc]] if present[doc] else [] for doc in range(n_docs)]


def bits_of(bits: np.ndarray | None, n_docs: int) -> list[bool]:
    if bits is None:
        return [False] * n_docs
    assert len(bits) == (n_docs + 63) // 64
    flags = np.unpackbits(bits.view(np.uint8), bitorder="little").astype(bool).tolist()
    assert not any(flags[n_docs:])
    return flags[:n_docs]


def read_postings(reader: MemtableReader, field: Field, term: bytes) -> dict[int, list[int]]:
    term_id = reader.find_term(field.no, term)
    if term_id < 0:
        return {}
    assert reader.term_bytes(term_id) == term
    row = np.zeros(16, np.int64)
    reader.leaf(term_id, row)
    postings = drain(row)
    doc_ids = np.array([doc for doc, _ in postings], np.uint32)
    starts, positions = reader.positions(term_id, doc_ids)
    found = {
        doc: positions[starts[i] : starts[i + 1]].tolist() for i, (doc, _) in enumerate(postings)
    }
    assert all(tf == max(1, len(found[doc])) for doc, tf in postings)
    assert reader.doc_freq(term_id) == len(postings) <= int(row[1])
    return found
