"""Postings of a segment: written chunk by chunk, read where they are mapped.

The layout is that of kernels/postings.py; kernels/packing.py writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from index.bm25 import length_table
from index.draft import EncodedTerms, TermChunk
from index.errors import StorageError
from index.format import NO_FIELD, Kind, Section, Sections, Spool
from index.kernels import postings as kernels
from index.kernels.packing import encode_postings
from index.kernels.rows import BLOCK, BLOCKS, LIST, ROW_WIDTH, SINGLE_POSITION
from index.kernels.union import SEGMENT
from index.reader import I64, U8, U32

_KINDS = (
    Kind.RECORDS, Kind.LAST_DOCS, Kind.DOC_METAS, Kind.POS_METAS, Kind.POSTINGS, Kind.POSITIONS
)  # fmt: skip
_NO_POSITIONS = np.empty(0, np.uint32)


class PostingsWriter:
    """Takes the chunks of a draft in order. Thread rule: one thread."""

    def __init__(
        self,
        n_docs: int,
        norms: dict[int, U8],
        averages: dict[int, float],
        scratch: Callable[[], BinaryIO],
    ) -> None:
        """`norms`: of each text field, each document's norm byte; `averages`: its mean length in
        tokens over the documents that have any."""
        self._n_docs = n_docs
        self._norms = norms
        self._tables = {field_no: length_table(averages[field_no]) for field_no in norms}
        self._addresses = np.zeros((2, max(norms, default=-1) + 1), np.int64)
        for field_no, norm in norms.items():
            self._addresses[:, field_no] = norm.ctypes.data, self._tables[field_no].ctypes.data
        self._state = np.zeros(3, np.int64)
        self._spools = {kind: Spool(scratch) for kind in _KINDS}

    def add(self, chunk: TermChunk) -> None:
        """Raises: StorageError where the chunk breaks the rules of `draft.TermChunk`."""
        n_terms = len(chunk.field_nos)
        n, n_positions = len(chunk.docs), len(chunk.positions)
        n_blocks = n // BLOCK + n_terms
        records = np.empty(n_terms, np.uint64)
        last_docs = np.empty(n_blocks, np.uint32)
        metas = np.empty((2, n_blocks), np.uint64)
        data = np.empty(8 * n + 8 * n_terms + 16, np.uint8)
        positions = np.empty(4 * n_positions + n + 16, np.uint8)
        before = self._state.copy()
        norms, tables = self._norms_of(chunk.field_nos)
        bad = encode_postings(
            chunk.posting_starts, chunk.position_starts, chunk.docs, chunk.tfs, chunk.positions,
            norms, tables, self._n_docs,
            np.empty(max(n_positions, BLOCK), np.uint32),
            self._state, records, last_docs, metas[0], metas[1], data, positions,
        )  # fmt: skip
        if bad >= 0:
            raise StorageError(f"term {bad} of a chunk about to be written has unsound postings")
        blocks, size, positions_size = (self._state - before).tolist()
        parts: tuple[npt.NDArray[Any], ...] = (
            records, last_docs[:blocks], metas[0, :blocks], metas[1, :blocks], data[:size],
            positions[:positions_size],
        )  # fmt: skip
        for kind, part in zip(_KINDS, parts, strict=True):
            self._spools[kind].write(part)

    def add_encoded(self, chunk: EncodedTerms) -> None:
        """Take a chunk that is encoded already. Requires: `impacts` was used for it."""
        parts: tuple[npt.NDArray[Any], ...] = (
            chunk.records, chunk.last_docs, chunk.doc_metas, chunk.pos_metas, chunk.data,
            chunk.positions,
        )  # fmt: skip
        for kind, part in zip(_KINDS, parts, strict=True):
            self._spools[kind].write(part)

    @property
    def impacts(self) -> I64:
        """Return i64[2, fields]: of each field number the addresses of its norms and of its table
        of lengths, or zeros. What they name lives as long as this."""
        return self._addresses

    def _norms_of(self, field_nos: U32) -> I64:
        """Return for each term the address of its field's norms and of its table, or zeros."""
        known = self._addresses.shape[1]
        if known == 0:
            return np.zeros((2, len(field_nos)), np.int64)
        addresses = self._addresses[:, np.minimum(field_nos, known - 1)]
        addresses[:, field_nos >= known] = 0
        return np.ascontiguousarray(addresses)

    def sections(self) -> Iterator[Section]:
        """Yield what was written; at most once."""
        tail = bytes(kernels.TAIL)
        self._spools[Kind.POSTINGS].write(tail)
        self._spools[Kind.POSITIONS].write(tail)
        for kind, spool in self._spools.items():
            yield Section(kind, NO_FIELD, spool.chunks())

    def close(self) -> None:
        for spool in self._spools.values():
            spool.close()


class Postings:
    """All postings of a mapped segment. Thread rule: any thread."""

    def __init__(self, sections: Sections, n_terms: int) -> None:
        """Raises: CorruptionError where the sections do not fit together."""
        self._records = sections.array(Kind.RECORDS, np.uint64, n=n_terms)
        last_docs = sections.array(Kind.LAST_DOCS, np.uint32)
        n_blocks = len(last_docs)
        doc_metas = sections.array(Kind.DOC_METAS, np.uint64, n=n_blocks)
        pos_metas = sections.array(Kind.POS_METAS, np.uint64, n=n_blocks)
        data = sections.array(Kind.POSTINGS, np.uint8)
        positions = sections.array(Kind.POSITIONS, np.uint8)
        self._owners = (last_docs, doc_metas, pos_metas, data, positions)
        self.row = np.zeros(kernels.POSTINGS_WIDTH, np.int64)
        self.row[:] = [
            self._records.ctypes.data, n_terms, last_docs.ctypes.data, doc_metas.ctypes.data,
            pos_metas.ctypes.data, n_blocks, data.ctypes.data, len(data), positions.ctypes.data,
            len(positions),
        ]  # fmt: skip
        self._source = np.concatenate([np.array([SEGMENT], np.int64), self.row])
        self._records_at = int(self.row[0])
        self._n_terms = n_terms

    def source_row(self) -> I64:
        """See `Reader.source_row`."""
        return self._source

    def leaf(self, term_id: int, row: I64) -> None:
        """Fill `row` so that kernels can walk the term's postings."""
        self._check(term_id)
        single = kernels.term_row(self.row, term_id, row)
        if single >= 0:
            row[: SINGLE_POSITION + 1] = (
                LIST, 1, self._records_at + 8 * term_id, 0, single >> 32
            )  # fmt: skip

    def doc_freq(self, term_id: int) -> int:
        self._check(term_id)
        record = int(self._records[term_id])
        return 1 if record >> 63 else record >> 32

    def positions(self, term_id: int, doc_ids: U32) -> tuple[I64, U32]:
        """See `Reader.positions`."""
        self._check(term_id)
        row = np.zeros(ROW_WIDTH, np.int64)
        starts = np.zeros(len(doc_ids) + 1, np.int64)
        single = kernels.term_row(self.row, term_id, row)
        if single >= 0:
            return _single_positions(single, doc_ids, starts)
        assert row[0] == BLOCKS
        wanted = np.ascontiguousarray(doc_ids, np.uint32)
        docs, tfs = np.empty((2, BLOCK), np.uint32)
        n = kernels.find_positions(row, wanted, starts, _NO_POSITIONS, docs, tfs)
        positions = np.empty(n, np.uint32)
        if n:
            kernels.find_positions(row, wanted, starts, positions, docs, tfs)
        return starts, positions

    def _check(self, term_id: int) -> None:
        if not 0 <= term_id < self._n_terms:
            raise IndexError(f"term {term_id} of {self._n_terms}")


def _single_positions(single: int, doc_ids: U32, starts: I64) -> tuple[I64, U32]:
    position = (single >> 32) - 1
    if position < 0:
        return starts, np.empty(0, np.uint32)
    at = int(np.searchsorted(doc_ids, single & 0xFFFFFFFF))
    if at == len(doc_ids) or doc_ids[at] != single & 0xFFFFFFFF:
        return starts, np.empty(0, np.uint32)
    starts[at + 1 :] = 1
    return starts, np.array([position], np.uint32)
