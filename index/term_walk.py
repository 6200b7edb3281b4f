"""The terms of several segments as one rising stream, chunk by chunk."""

from __future__ import annotations

import numpy as np

from index.draft import TermChunk
from index.errors import CorruptionError
from index.format import Kind
from index.kernels import merge as kernels
from index.reader import I64, U32
from index.segment import Segment

CHUNK_TERMS = 1 << 15
CHUNK_POSTINGS = 1 << 18
CHUNK_POSITIONS = 1 << 19
CHUNK_BYTES = 1 << 20
"""A chunk of the merge ends at the first of these; a term that has more gets a larger one."""

NO_ORDINAL = np.uint32(0xFFFFFFFF)


class TermWalk:
    """Cursors into the inputs and room for the output. Thread rule: one thread.

    `ordinals`, field -> a table for each segment, is filled with the new ordinals on the way.
    """

    def __init__(
        self, segments: list[Segment], doc_maps: list[I64], ordinals: dict[int, list[U32]]
    ) -> None:
        self._segments = segments
        self._doc_maps = doc_maps
        k = len(segments)
        self._tables = [self._ordinal_table(number, ordinals) for number in range(k)]
        self._ordinals = ordinals
        self._terms = np.stack([segment.terms.row for segment in segments])
        self._postings = np.stack([segment.postings.row for segment in segments])
        self._rows = np.zeros((k, kernels.SEGMENT_COLUMNS), np.int64)
        self._fields = np.zeros(
            (k, max(len(s.terms.fields) for s in segments) + 1, kernels.FIELD_COLUMNS), np.int64
        )
        longest = max(segment.terms.longest for segment in segments)
        self._buffers = np.zeros((k, longest), np.uint8)
        self._cursors = np.zeros((k, kernels.CURSOR_COLUMNS), np.int64)
        self._cursors[:, [kernels.C_TERM, kernels.C_INDEX]] = -1
        self._state = np.zeros(kernels.STATE_WIDTH, np.int64)
        self._state[kernels.FIELD] = -1
        for number in range(k):
            self._describe(number)
        self._n_postings, self._n_positions = CHUNK_POSTINGS, CHUNK_POSITIONS
        self._n_bytes = CHUNK_BYTES

    def _ordinal_table(self, number: int, ordinals: dict[int, list[U32]]) -> U32:
        """Return room for the new ordinals of one segment, field after field."""
        return np.full(sum(len(of[number]) for of in ordinals.values()), NO_ORDINAL, np.uint32)

    def _describe(self, number: int) -> None:
        segment, table = self._segments[number], self._tables[number]
        base = 0
        for at, (no, place) in enumerate(segment.terms.fields.items()):
            begin = -1
            if no in self._ordinals:
                begin = base
                self._ordinals[no][number] = table[base : base + place.n_terms]
                base += place.n_terms
            self._fields[number, at] = no, place.n_terms, begin
        self._rows[number] = (
            self._doc_maps[number].ctypes.data, segment.n_docs, table.ctypes.data, len(table),
            len(segment.terms.fields),
        )  # fmt: skip
        if not kernels.advance_term(
            self._terms[number], self._cursors[number], self._fields[number],
            self._rows[number, kernels.M_N_FIELDS], self._buffers[number],
        ):  # fmt: skip
            raise self._damaged()

    def next(self) -> TermChunk | None:
        """Return the next chunk, or None at the end."""
        while self._state[kernels.STATUS] != kernels.DONE:
            chunk = self._fill()
            status = int(self._state[kernels.STATUS])
            if status == kernels.DAMAGED:
                raise self._damaged()
            if status == kernels.NEED_POSTINGS:
                self._n_postings *= 2
            elif status == kernels.NEED_POSITIONS:
                self._n_positions *= 2
            elif status == kernels.NEED_BYTES:
                self._n_bytes *= 2
            if len(chunk.field_nos):
                return chunk
        return None

    def _fill(self) -> TermChunk:
        field_nos = np.empty(CHUNK_TERMS, np.uint32)
        term_starts, posting_starts, position_starts = np.empty((3, CHUNK_TERMS + 1), np.int64)
        blob = np.empty(self._n_bytes, np.uint8)
        docs, tfs = np.empty((2, self._n_postings), np.uint32)
        positions = np.empty(self._n_positions, np.uint32)
        kernels.merge_terms(
            self._rows, self._terms, self._postings, self._fields, self._cursors, self._buffers,
            self._state, field_nos, term_starts, blob, posting_starts, docs, tfs, position_starts,
            positions,
        )  # fmt: skip
        n = int(self._state[kernels.N_TERMS])
        return TermChunk(
            field_nos=field_nos[:n],
            term_starts=term_starts[: n + 1],
            blob=blob[: self._state[kernels.N_BYTES]],
            posting_starts=posting_starts[: n + 1],
            docs=docs[: self._state[kernels.N_POSTINGS]],
            tfs=tfs[: self._state[kernels.N_POSTINGS]],
            position_starts=position_starts[: n + 1],
            positions=positions[: self._state[kernels.N_POSITIONS]],
        )

    def _damaged(self) -> CorruptionError:
        names = ", ".join(segment.meta.name for segment in self._segments)
        offset = self._segments[0].sections.offset(Kind.TERMS)
        return CorruptionError(names, offset, "terms or postings to merge cannot be read")
