"""The memtable: documents in memory, searchable after every batch, flushed to a segment later.

All arrays only grow at their end, so that a reader is nothing but their present lengths: it
is made in microseconds, shares everything, and never sees a later document.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from index.live_bytes import KeyBatch, LiveBytes, LiveKeys
from index.live_columns import DTYPES, ColumnSnapshot, LiveColumn, LiveText, TextSnapshot
from index.memtable_draft import MemtableDraft
from index.memtable_reader import MemtableReader
from index.options import IndexOptions
from index.reader import I64, U8, U32, U64, Reader
from index.schema import Field, SchemaRef
from index.values import DOC, FIELD, FIRST, SECOND, Values
from index.vocabulary import Spans, Vocabulary

FIRST_CAPACITY = 64
_DOC_BYTES = 100
"""What a document costs beside its bytes: offset, version, share of doubled arrays."""


class _Group(NamedTuple):
    """The rows of one field in a batch, documents rising."""

    field: Field
    docs: U32
    rows: I64


class Memtable:
    """Thread rule: the apply thread only, but for the readers and drafts it hands out."""

    def __init__(self, schema_ref: SchemaRef, options: IndexOptions) -> None:
        self._ref = schema_ref
        self._options = options
        self._vocabulary = Vocabulary(options.memtable_bytes)
        self._fields: dict[int, LiveText | LiveColumn] = {}
        self._snapshots: dict[int, TextSnapshot | ColumnSnapshot] = {}
        """Never changed, only replaced: readers keep it."""
        self._capacity = FIRST_CAPACITY
        self._n_docs = 0
        self._keys = LiveKeys()
        self._sources = LiveBytes(options.memtable_bytes // 2)
        self._versions = np.zeros(FIRST_CAPACITY, np.int64)
        self._offsets = np.zeros(FIRST_CAPACITY, np.int64)
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
        own = self._keys.n_bytes + self._sources.n_bytes + self._n_docs * _DOC_BYTES
        return self._vocabulary.n_bytes + fields + own

    def reader(self) -> MemtableReader:
        """Return the documents appended so far, for any thread."""
        return MemtableReader(
            self._n_docs,
            self._vocabulary.terms(),
            self._snapshots,
            self._keys.snapshot(),
            self._sources.snapshot(),
            self._versions,
            self._offsets,
        )

    def draft(self, reader: Reader, alive: U64 | None) -> MemtableDraft:
        """Return what of `reader`, one of ours, is to become a segment: its documents that have
        their bit in `alive` (None: all). Thread rule: any thread."""
        assert isinstance(reader, MemtableReader)
        return MemtableDraft(reader, alive, self.tombstones)

    # --- append ------------------------------------------------------------------------
    def append(
        self,
        values: Values,
        keys: KeyBatch,
        versions: I64,
        offsets: I64,
        sources: U8,
        source_starts: I64,
    ) -> None:
        """Add documents in log order; source i is sources[source_starts[i]:source_starts[i + 1]].
        Only a `reader()` made afterwards sees them.

        Requires: `values` has no document but these, numbered from 0.
        """
        first, n_docs = self._n_docs, self._n_docs + len(versions)
        self._reserve(n_docs)
        self._versions[first:n_docs] = versions
        self._offsets[first:n_docs] = offsets
        groups = self._groups(values.rows, first)
        of_analyzer: dict[str, list[_Group]] = {}
        keywords: list[_Group] = []
        for group in groups:
            if group.field.is_text:
                of_analyzer.setdefault(group.field.analyzer, []).append(group)
            elif group.field.is_keyword:
                keywords.append(group)
            else:
                self._append_numbers(group)
        for name, members in of_analyzer.items():
            self._append_texts(name, members, values.text)
        if keywords:
            self._append_keywords(keywords, values.text)
        self._sources.append(sources, source_starts)
        self._keys.append(keys)
        self._publish([group.field.no for group in groups], n_docs)
        self._n_docs = n_docs

    def _groups(self, rows: I64, first: int) -> list[_Group]:
        """Return the rows field by field."""
        # Numbers of 16 bits are sorted by counting.
        order = np.argsort(rows[:, FIELD].astype(np.uint16), kind="stable")
        rows = rows[order]
        numbers = rows[:, FIELD]
        docs = (rows[:, DOC] + first).astype(np.uint32)
        bounds = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(rows)]
        by_no = self._ref.current.by_no
        return [
            _Group(by_no(int(numbers[begin])), docs[begin:end], rows[begin:end])
            for begin, end in itertools.pairwise(bounds)
            if begin < end
        ]

    def _append_texts(self, analyzer: str, groups: list[_Group], text: U8) -> None:
        spans = _spans(groups, text)
        lengths = self._vocabulary.add_texts(self._ref.current.analyzer(analyzer), spans)
        for group, part in _parts(groups):
            live = self._live(group.field)
            assert isinstance(live, LiveText)
            live.append(group.docs, lengths[part])

    def _append_keywords(self, groups: list[_Group], text: U8) -> None:
        ids = self._vocabulary.add_keywords(_spans(groups, text)).view(np.uint32)
        for group, part in _parts(groups):
            docs, own = group.docs, ids[part]
            starts = _starts_of(docs)
            if len(starts) < len(docs):
                docs, own = _each_once(docs, own)
                starts = _starts_of(docs)
            self._append_column(group.field, docs, own, starts)

    def _append_numbers(self, group: _Group) -> None:
        assert group.field.column_kind is not None
        values = np.ascontiguousarray(group.rows[:, FIRST]).view(DTYPES[group.field.column_kind])
        self._append_column(group.field, group.docs, values, _starts_of(group.docs))

    def _append_column(self, field: Field, docs: U32, values: np.ndarray, starts: I64) -> None:
        """Add values, those of a document one after the other; `starts`: where each one's begin."""
        live = self._live(field)
        assert isinstance(live, LiveColumn)
        counts = None
        if len(starts) < len(docs):
            counts = np.diff(starts, append=len(docs))
            docs = docs[starts]
        live.append(docs, values, counts)

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

    def _publish(self, touched: Sequence[int], n_docs: int) -> None:
        for field in self._fields.values():
            field.pad(n_docs)
        changed = {no: self._fields[no].snapshot() for no in touched}
        self._snapshots = {**self._snapshots, **changed}


def _spans(groups: list[_Group], text: U8) -> Spans:
    """Return the strings of several fields, one field after the other."""
    rows = np.concatenate([group.rows for group in groups]) if len(groups) > 1 else groups[0].rows
    docs = np.concatenate([group.docs for group in groups])
    return Spans(
        text,
        np.ascontiguousarray(rows[:, FIRST]),
        np.ascontiguousarray(rows[:, SECOND]),
        docs,
        rows[:, FIELD].astype(np.uint32),
    )


def _parts(groups: list[_Group]) -> Iterator[tuple[_Group, slice]]:
    begin = 0
    for group in groups:
        yield group, slice(begin, begin + len(group.docs))
        begin += len(group.docs)


def _starts_of(docs: U32) -> I64:
    """Return where each document's first row is."""
    is_first = np.ones(len(docs), np.bool_)
    is_first[1:] = docs[1:] != docs[:-1]
    return np.flatnonzero(is_first)


def _each_once(docs: U32, ids: U32) -> tuple[U32, U32]:
    """Return the keywords of documents, those that a document has twice once, where first."""
    keys = docs.astype(np.uint64) << np.uint64(32) | ids
    _, firsts = np.unique(keys, return_index=True)
    firsts.sort()
    return docs[firsts], ids[firsts]
