"""The terms of several segments as one rising stream, encoded, chunk by chunk."""

from __future__ import annotations

import numpy as np

from index.draft import EncodedTerms
from index.errors import CorruptionError
from index.format import Kind
from index.kernels import merge as kernels
from index.kernels import repacking
from index.reader import I64, U32
from index.segment import Segment

CHUNK_TERMS = 1 << 15
CHUNK_BYTES = 1 << 20
CHUNK_BLOCKS = 1 << 15
CHUNK_DATA = 2 << 20
"""A chunk of the merge ends at the first of these: terms, their bytes, blocks of postings, bytes
of postings and as many of positions. A term that has more gets a larger one."""

WAITING_POSITIONS = 1 << 16
MOST_WAITING = 1 << 28
"""Positions of the one or two blocks of postings that are on their way; more than that would
come from damaged frequencies only."""

NO_ORDINAL = np.uint32(0xFFFFFFFF)


class TermWalk:
    """Cursors into the inputs and room for the output. Thread rule: one thread.

    `ordinals`, field -> a table for each segment, is filled with the new ordinals on the way.
    """

    def __init__(
        self,
        segments: list[Segment],
        doc_maps: list[I64 | None],
        n_docs: int,
        impacts: I64,
        ordinals: dict[int, list[U32]],
    ) -> None:
        """`doc_maps`: of each segment, new doc ids or -1; None: all stay. `n_docs`: of the output.
        `impacts`: see `draft.StreamedDraft.encoded_terms`."""
        self._segments = segments
        self._doc_maps = doc_maps
        self._n_docs = n_docs
        self._impacts = impacts
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
        base = 0
        for number, segment in enumerate(segments):
            self._describe(number, base)
            base += segment.n_docs if (doc_map := doc_maps[number]) is None else _n_kept(doc_map)
        self._out = np.zeros(repacking.OUT_WIDTH, np.int64)
        self._scratch = np.zeros(kernels.SCRATCH + k, np.int64)
        self._pairs = np.zeros(kernels.PAIRS, np.uint32)
        self._waiting = np.empty(WAITING_POSITIONS, np.uint32)
        self._room = 1
        self._make_room()

    def _ordinal_table(self, number: int, ordinals: dict[int, list[U32]]) -> U32:
        """Return room for the new ordinals of one segment, field after field."""
        return np.full(sum(len(of[number]) for of in ordinals.values()), NO_ORDINAL, np.uint32)

    def _make_room(self) -> None:
        """Allocate what a chunk is written to; the chunks share it."""
        times = self._room
        self._field_nos = np.empty(CHUNK_TERMS, np.uint32)
        self._term_starts = np.empty(CHUNK_TERMS + 1, np.int64)
        self._blob = np.empty(CHUNK_BYTES * times, np.uint8)
        self._records = np.empty(CHUNK_TERMS, np.uint64)
        self._last_docs = np.empty(CHUNK_BLOCKS * times, np.uint32)
        self._metas = np.empty((2, CHUNK_BLOCKS * times), np.uint64)
        self._data = np.empty((2, CHUNK_DATA * times), np.uint8)

    def _describe(self, number: int, first_doc: int) -> None:
        segment, table = self._segments[number], self._tables[number]
        base = 0
        for at, (no, place) in enumerate(segment.terms.fields.items()):
            begin = -1
            if no in self._ordinals:
                begin = base
                self._ordinals[no][number] = table[base : base + place.n_terms]
                base += place.n_terms
            self._fields[number, at] = no, place.n_terms, begin
        doc_map = self._doc_maps[number]
        self._rows[number] = (
            doc_map.ctypes.data if doc_map is not None else 0, first_doc, segment.n_docs,
            table.ctypes.data, len(table), len(segment.terms.fields),
        )  # fmt: skip
        if not kernels.advance_term(
            self._terms[number], self._cursors[number], self._fields[number],
            self._rows[number, kernels.M_N_FIELDS], self._buffers[number],
        ):  # fmt: skip
            raise self._damaged()

    def next(self) -> EncodedTerms | None:
        """Return the next chunk, or None at the end. The next call writes over it.

        Raises: CorruptionError where an input cannot be read.
        """
        while self._state[kernels.STATUS] != kernels.DONE:
            chunk = self._fill()
            status = int(self._state[kernels.STATUS])
            if status == kernels.UNSOUND:
                raise self._damaged()
            if status == kernels.FULL:
                self._room *= 2
                self._make_room()
            elif status == kernels.NARROW:
                if len(self._waiting) >= MOST_WAITING:
                    raise self._damaged()
                self._waiting = np.empty(4 * len(self._waiting), np.uint32)
            if len(chunk.field_nos):
                return chunk
        return None

    def _fill(self) -> EncodedTerms:
        out = self._out
        out[3:] += out[:3]
        out[:3] = 0
        doc_metas, pos_metas = self._metas
        data, positions = self._data
        kernels.merge_terms(
            self._rows, self._terms, self._postings, self._fields, self._cursors, self._buffers,
            self._impacts, self._n_docs, self._state, out, self._waiting, self._field_nos,
            self._term_starts, self._blob, self._records, self._last_docs, doc_metas, pos_metas,
            data, positions, self._scratch, self._pairs,
        )  # fmt: skip
        n = int(self._state[kernels.N_TERMS])
        n_blocks, n_bytes, n_positions = out[:3].tolist()
        return EncodedTerms(
            field_nos=self._field_nos[:n],
            term_starts=self._term_starts[: n + 1],
            blob=self._blob[: self._state[kernels.N_BYTES]],
            records=self._records[:n],
            last_docs=self._last_docs[:n_blocks],
            doc_metas=doc_metas[:n_blocks],
            pos_metas=pos_metas[:n_blocks],
            data=data[:n_bytes],
            positions=positions[:n_positions],
        )

    def _damaged(self) -> CorruptionError:
        names = ", ".join(segment.meta.name for segment in self._segments)
        offset = self._segments[0].sections.offset(Kind.TERMS)
        return CorruptionError(names, offset, "terms or postings to merge cannot be read")


def _n_kept(doc_map: I64) -> int:
    return int(np.count_nonzero(doc_map >= 0))
