"""The memtable: documents in memory, searchable after every batch, flushed to a segment later.

All arrays only grow at their end, so that a reader is nothing but their present lengths: it
is made in microseconds, shares everything, and never sees a later document.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from index.analysis.analyzer import Analyzer
from index.extract import ParsedDocument
from index.live_columns import DTYPES, ColumnSnapshot, LiveColumn, LiveText, TextSnapshot, flattened
from index.memtable_draft import MemtableDraft
from index.memtable_reader import MemtableReader
from index.options import IndexOptions
from index.reader import I64, U32, U64, Reader
from index.schema import Field, SchemaRef
from index.vocabulary import Vocabulary

FIRST_CAPACITY = 64
_DOC_BYTES = 200
"""What a document costs beside its bytes: objects, dictionary entries, offset, version."""


class _Group:
    """The values of one field in a batch: document `docs[i]` has `values[i]`."""

    __slots__ = ("docs", "values")

    def __init__(self) -> None:
        self.docs: list[int] = []
        self.values: list[Any] = []


class Memtable:
    """Thread rule: the apply thread only, but for the readers and drafts it hands out."""

    def __init__(self, schema_ref: SchemaRef, options: IndexOptions) -> None:
        self._ref = schema_ref
        self._options = options
        self._vocabulary = Vocabulary()
        self._fields: dict[int, LiveText | LiveColumn] = {}
        self._snapshots: dict[int, TextSnapshot | ColumnSnapshot] = {}
        """Never changed, only replaced: readers keep it."""
        self._capacity = FIRST_CAPACITY
        self._n_docs = 0
        self._n_source_bytes = 0
        self._keys: list[bytes] = []
        self._sources: list[bytes] = []
        self._versions = np.zeros(FIRST_CAPACITY, np.int64)
        self._offsets = np.zeros(FIRST_CAPACITY, np.int64)
        self._doc_of_key: dict[bytes, int] = {}
        self._older: dict[int, int] = {}
        """Document -> the one that had its key before."""
        self.tombstones: dict[bytes, int] = {}
        """Key -> version of deletes to remember. The engine's, kept here."""

    @property
    def n_docs(self) -> int:
        """Documents, superseded ones included."""
        return self._n_docs

    @property
    def n_bytes(self) -> int:
        """Memory in use, to within some percent."""
        fields = sum(field.n_bytes for field in self._fields.values())
        own = self._n_source_bytes + self._n_docs * _DOC_BYTES
        return self._vocabulary.n_bytes + fields + own

    def find_keys(self, keys: list[bytes]) -> list[int]:
        """Return the newest document of each key, or -1."""
        get = self._doc_of_key.get
        return [get(key, -1) for key in keys]

    def reader(self) -> MemtableReader:
        """Return the documents appended so far, for any thread."""
        return MemtableReader(
            self._n_docs,
            self._vocabulary.terms(),
            self._snapshots,
            self._keys,
            self._sources,
            self._versions,
            self._offsets,
            self._doc_of_key,
            self._older,
        )

    def draft(self, reader: Reader, alive: U64 | None) -> MemtableDraft:
        """Return what of `reader`, one of ours, is to become a segment: its documents that have
        their bit in `alive` (None: all). Thread rule: any thread."""
        assert isinstance(reader, MemtableReader)
        return MemtableDraft(reader, alive, self.tombstones)

    # --- append ------------------------------------------------------------------------
    def append(
        self,
        docs: list[ParsedDocument],
        keys: list[bytes],
        versions: list[int],
        offsets: list[int],
        sources: list[bytes],
    ) -> None:
        """Add documents in log order. Only a `reader()` made afterwards sees them.

        Raises: OverflowError for a version or offset of more than 63 bits; nothing has changed.
        """
        first, n_docs = self._n_docs, self._n_docs + len(docs)
        new_versions, new_offsets = np.array(versions, np.int64), np.array(offsets, np.int64)
        self._reserve(n_docs)
        self._versions[first:n_docs] = new_versions
        self._offsets[first:n_docs] = new_offsets
        groups = _group(docs, first)
        schema = self._ref.current
        by_field = [(schema.by_no(no), group) for no, group in groups.items()]
        self._append_texts([(field, group) for field, group in by_field if field.is_text])
        self._append_keywords([(field, group) for field, group in by_field if field.is_keyword])
        for field, group in by_field:
            if field.is_numeric:
                self._append_numbers(field, group)
        self._sources += sources
        self._append_keys(keys, first)
        self._n_source_bytes += sum(map(len, sources)) + sum(map(len, keys))
        self._publish(groups, n_docs)
        self._n_docs = n_docs

    def _append_texts(self, fields: list[tuple[Field, _Group]]) -> None:
        of_analyzer: dict[str, list[tuple[Field, _Group]]] = {}
        for field, group in fields:
            of_analyzer.setdefault(field.analyzer, []).append((field, group))
        for name, members in of_analyzer.items():
            self._append_analyzed(self._ref.current.analyzer(name), members)

    def _append_analyzed(self, analyzer: Analyzer, fields: list[tuple[Field, _Group]]) -> None:
        flat = [_flatten(group) for _, group in fields]
        texts = list(chain.from_iterable(values for values, _, _ in flat))
        docs = np.concatenate([docs for _, docs, _ in flat])
        sizes = [len(values) for values, _, _ in flat]
        numbers = np.repeat(np.array([field.no for field, _ in fields], np.uint32), sizes)
        continues = np.zeros(len(docs), np.uint8)
        continues[1:] = (docs[1:] == docs[:-1]) & (numbers[1:] == numbers[:-1])
        lengths = self._vocabulary.add_texts(analyzer, texts, continues, docs, numbers)
        begin = 0
        for (field, _), size in zip(fields, sizes, strict=True):
            live = self._live(field)
            assert isinstance(live, LiveText)
            live.append(docs[begin : begin + size], lengths[begin : begin + size])
            begin += size

    def _append_keywords(self, fields: list[tuple[Field, _Group]]) -> None:
        if not fields:
            return
        flat = [_flatten(group) for _, group in fields]
        sizes = [len(values) for values, _, _ in flat]
        numbers = np.repeat(np.array([field.no for field, _ in fields], np.uint32), sizes)
        words = list(chain.from_iterable(values for values, _, _ in flat))
        docs = np.concatenate([docs for _, docs, _ in flat])
        ids = self._vocabulary.add_keywords(words, docs, numbers)
        begin = 0
        for (field, group), size, (_, _, counts) in zip(fields, sizes, flat, strict=True):
            values = ids[begin : begin + size].view(np.uint32)
            self._append_column(field, group, values, counts)
            begin += size

    def _append_numbers(self, field: Field, group: _Group) -> None:
        values, counts = flattened(group.values)
        assert field.column_kind is not None
        array = np.array(values, DTYPES[field.column_kind])
        self._append_column(field, group, array, None if counts is None else np.array(counts))

    def _append_column(
        self, field: Field, group: _Group, values: np.ndarray, counts: I64 | None
    ) -> None:
        live = self._live(field)
        assert isinstance(live, LiveColumn)
        live.append(np.array(group.docs, np.uint32), values, counts)

    def _append_keys(self, keys: list[bytes], first: int) -> None:
        doc_of_key, older = self._doc_of_key, self._older
        self._keys += keys
        for doc, key in enumerate(keys, first):
            before = doc_of_key.get(key)
            if before is not None:
                older[doc] = before
            doc_of_key[key] = doc

    def _live(self, field: Field) -> LiveText | LiveColumn:
        live = self._fields.get(field.no)
        if live is None:
            kind = field.column_kind
            live = LiveText(self._capacity) if kind is None else LiveColumn(kind, self._capacity)
            self._fields[field.no] = live
        return live

    def _reserve(self, n_docs: int) -> None:
        if n_docs <= self._capacity:
            return
        capacity = self._capacity
        while capacity < n_docs:
            capacity *= 2
        for field in self._fields.values():
            field.grow(capacity)
        self._versions = np.concatenate(
            [self._versions, np.zeros(capacity - self._capacity, np.int64)]
        )
        self._offsets = np.concatenate(
            [self._offsets, np.zeros(capacity - self._capacity, np.int64)]
        )
        self._capacity = capacity
        self._snapshots = {no: field.snapshot() for no, field in self._fields.items()}

    def _publish(self, touched: dict[int, _Group], n_docs: int) -> None:
        for field in self._fields.values():
            field.pad(n_docs)
        changed = {no: self._fields[no].snapshot() for no in touched}
        self._snapshots = {**self._snapshots, **changed}


def _group(docs: Sequence[ParsedDocument], first: int) -> dict[int, _Group]:
    """Turn documents into fields: documents `first`, `first` + 1 .. by field number."""
    groups: dict[int, _Group] = {}
    for doc, parsed in enumerate(docs, first):
        for no, value in parsed.values.items():
            group = groups.get(no)
            if group is None:
                group = groups[no] = _Group()
            group.docs.append(doc)
            group.values.append(value)
    return groups


def _flatten(group: _Group) -> tuple[list[bytes], U32, I64 | None]:
    """Return (values, the document of each, how many each document has or None: one)."""
    values, counts = flattened(group.values)
    docs = np.array(group.docs, np.uint32)
    if counts is None:
        return values, docs, None
    per_doc = np.array(counts, np.int64)
    return values, np.repeat(docs, per_doc), per_doc
