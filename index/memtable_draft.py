"""What of a memtable becomes a segment: its living documents, numbered anew, terms in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from index.draft import Run, TermChunk
from index.kernels.gather import gather
from index.live_bytes import BytesSnapshot
from index.live_columns import ColumnSnapshot, TextSnapshot, first_bits
from index.memtable_reader import MemtableReader, counts_of, to_ordinals
from index.reader import I64, U8, U32, U64, Column, bitset

CopyPostings = Callable[..., tuple[U32, U32, U32]]
"""(term ids, n_postings, n_positions) -> docs, tfs, positions"""

CHUNK_ENTRIES = 1 << 20
"""Postings and positions of a chunk, unless a single term has more."""

CHUNK_DOCS = 1 << 16
"""Documents whose sources are handed on together."""


class MemtableDraft:
    """A `SegmentDraft`. Thread rule: one thread, any; appends may go on."""

    def __init__(
        self, reader: MemtableReader, alive: U64 | None, tombstones: dict[bytes, int]
    ) -> None:
        self._reader = reader
        self._tombstones = dict(tombstones)
        is_alive = np.ones(reader.n_docs, np.bool_)
        if alive is not None:
            is_alive = to_mask(alive, reader.n_docs)
        self._kept = np.flatnonzero(is_alive)
        self.doc_map: I64 = np.where(is_alive, np.cumsum(is_alive) - 1, -1).astype(np.int64)
        """i64[n_docs of the reader]: a document's id in the segment, or -1."""

    @property
    def n_docs(self) -> int:
        return len(self._kept)

    # --- terms -------------------------------------------------------------------------
    def term_chunks(self) -> Iterator[TermChunk]:
        terms = self._reader.terms
        ids = terms.sorted_by_bytes(terms.with_postings())
        counts = None
        if len(self._kept) == self._reader.n_docs:
            counts = terms.counts_below(ids, self._reader.n_docs)
        if counts is not None:
            n_postings, n_positions = counts
            copy: CopyPostings = terms.copy_all
        else:
            n_postings, n_positions = terms.count_living(ids, self.doc_map)
            copy = partial(terms.copy_living, doc_map=self.doc_map)
        living = n_postings > 0
        if not living.all():
            ids, n_postings, n_positions = ids[living], n_postings[living], n_positions[living]
        ends = np.cumsum(n_postings + n_positions)
        begin = 0
        while begin < len(ids):
            done = int(ends[begin - 1]) if begin else 0
            fitting = int(np.searchsorted(ends, done + CHUNK_ENTRIES, side="right"))
            end = max(begin + 1, fitting)
            yield self._chunk(ids[begin:end], n_postings[begin:end], n_positions[begin:end], copy)
            begin = end

    def _chunk(self, ids: I64, n_postings: I64, n_positions: I64, copy: CopyPostings) -> TermChunk:
        terms = self._reader.terms
        term_starts, blob = terms.copy_terms(ids)
        posting_starts, position_starts = _starts(n_postings), _starts(n_positions)
        docs, tfs, positions = copy(
            ids, n_postings=int(posting_starts[-1]), n_positions=int(position_starts[-1])
        )
        return TermChunk(
            field_nos=(terms.records[ids, 2] & np.uint64(0xFFFF)).astype(np.uint32),
            term_starts=term_starts,
            blob=blob,
            posting_starts=posting_starts,
            docs=docs,
            tfs=tfs,
            position_starts=position_starts,
            positions=positions,
        )

    # --- fields ------------------------------------------------------------------------
    def lengths(self) -> dict[int, U32]:
        return {no: state.lengths[self._kept] for no, state in self._texts() if self._has(state)}

    def text_present(self) -> dict[int, U64]:
        return {no: self._present(state) for no, state in self._texts() if self._has(state)}

    def columns(self) -> dict[int, Column]:
        return {
            no: self._column(state)
            for no, state in sorted(self._reader.fields.items())
            if isinstance(state, ColumnSnapshot) and self._has(state)
        }

    def _texts(self) -> list[tuple[int, TextSnapshot]]:
        return [
            (no, state)
            for no, state in sorted(self._reader.fields.items())
            if isinstance(state, TextSnapshot)
        ]

    def _has(self, state: TextSnapshot | ColumnSnapshot) -> bool:
        return bool(self._present(state).any())

    def _present(self, state: TextSnapshot | ColumnSnapshot) -> U64:
        mask = to_mask(first_bits(state.bits, self._reader.n_docs), self._reader.n_docs)
        return to_bits(mask[self._kept])

    def _column(self, state: ColumnSnapshot) -> Column:
        column = state.column(self._reader.n_docs)
        present = self._present(state)
        if column.starts is None:
            kept = Column(state.kind, column.values[self._kept], present, None)
        else:
            counts = counts_of(column.starts)
            is_kept = np.repeat(self.doc_map >= 0, counts)
            starts = _starts(counts[self._kept]).astype(np.uint32)
            kept = Column(state.kind, column.values[is_kept], present, starts)
        return to_ordinals(self._reader.terms, kept)[0] if state.kind == "ord" else kept

    # --- documents ---------------------------------------------------------------------
    def keys(self) -> tuple[U8, I64]:
        if not len(self._kept):
            return np.empty(0, np.uint8), np.zeros(1, np.int64)
        return self._bytes_of(self._reader.keys, self._kept)

    def versions(self) -> I64:
        return self._reader.versions_of(self._kept)

    def offsets(self) -> I64:
        return self._reader.offsets_of(self._kept)

    def sources(self) -> Iterator[Run]:
        for first in range(0, len(self._kept), CHUNK_DOCS):
            yield Run(*self._bytes_of(self._reader.sources, self._kept[first : first + CHUNK_DOCS]))

    def _bytes_of(self, strings: BytesSnapshot, docs: I64) -> tuple[U8, I64]:
        """Return (blob, starts) of some documents' strings."""
        first, last = int(docs[0]), int(docs[-1])
        if last - first == len(docs) - 1:
            bounds = strings.starts[first : last + 2]
            return strings.blob[bounds[0] : bounds[-1]], bounds - bounds[0]
        begins = strings.starts[docs]
        starts = _starts(strings.starts[docs + 1] - begins)
        out = np.empty(int(starts[-1]), np.uint8)
        gather(strings.blob, begins, starts, out)
        return out, starts

    def tombstones(self) -> dict[bytes, int]:
        return self._tombstones


def _starts(counts: I64) -> I64:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def to_mask(bits: U64, n_docs: int) -> np.ndarray:
    """Return the first `n_docs` bits as booleans."""
    return np.unpackbits(bits.view(np.uint8), bitorder="little")[:n_docs].astype(np.bool_)


def to_bits(mask: np.ndarray) -> U64:
    """Return booleans as a bitset."""
    bits = bitset(len(mask))
    packed = np.packbits(mask, bitorder="little")
    bits.view(np.uint8)[: len(packed)] = packed
    return bits
