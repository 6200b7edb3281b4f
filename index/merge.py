"""Merging neighbouring segments into one: the draft of the result (merge_policy.py: of which)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from index.columns import DTYPES, ColumnKind, Mask, bits_of, counts_of, mask_of
from index.draft import EncodedTerms
from index.errors import CorruptionError
from index.format import Kind
from index.kernels.columns import renumber
from index.reader import I64, U8, U32, U64, Column
from index.segment import Segment
from index.stored import Frames
from index.term_walk import NO_ORDINAL, TermWalk


class MergeDraft:
    """A `segment_writer.StreamedDraft` of neighbouring segments, oldest first.

    Thread rule: one thread.

    Memory is bounded by a chunk, the keys and some ten bytes a document, and 4 a keyword term;
    postings and sources pass through. Invariant: columns are asked for after `encoded_terms` is
    exhausted, because only then the ordinals are known.
    """

    def __init__(self, segments: Sequence[Segment], keep: Sequence[U64 | None]) -> None:
        """`keep`: of each segment, the documents that go into the result; None: all."""
        self._segments = list(segments)
        self._kept: list[Mask] = [
            mask_of(words, segment.n_docs) for segment, words in zip(segments, keep, strict=True)
        ]
        self.doc_maps: list[I64] = []
        """Of each segment, i64[n_docs]: a document's id in the result, or -1."""
        n_docs = 0
        for kept in self._kept:
            self.doc_maps.append(np.where(kept, n_docs + np.cumsum(kept) - 1, -1).astype(np.int64))
            n_docs += int(np.count_nonzero(kept))
        self._n_docs = n_docs
        self._ordinals: dict[int, list[U32]] = {
            field.no: [self._unknown(segment, field.no) for segment in segments]
            for segment in segments
            for field in segment.info.fields
            if field.kind == "ord"
        }

    @staticmethod
    def _unknown(segment: Segment, field_no: int) -> U32:
        """Return room for the new ordinals of the field's terms in one segment."""
        place = segment.terms.fields.get(field_no)
        return np.full(place.n_terms if place is not None else 0, NO_ORDINAL, np.uint32)

    @property
    def n_docs(self) -> int:
        return self._n_docs

    # --- terms -------------------------------------------------------------------------
    def encoded_terms(self, impacts: I64) -> Iterator[EncodedTerms]:
        """See `segment_writer.StreamedDraft`. Raises: CorruptionError where an input cannot be
        read."""
        if not self._segments:
            return
        doc_maps = [
            None if kept.all() else doc_map
            for kept, doc_map in zip(self._kept, self.doc_maps, strict=True)
        ]
        walk = TermWalk(self._segments, doc_maps, self._n_docs, impacts, self._ordinals)
        while (chunk := walk.next()) is not None:
            yield chunk

    # --- fields ------------------------------------------------------------------------
    def lengths(self) -> dict[int, U32]:
        return {no: self.lengths_of(no) for no in self._fields("text")}

    def lengths_of(self, field_no: int) -> U32:
        parts = []
        for segment, kept in zip(self._segments, self._kept, strict=True):
            lengths = segment.lengths(field_no)
            missing = np.zeros(int(np.count_nonzero(kept)), np.uint32)
            parts.append(lengths[kept] if lengths is not None else missing)
        return np.concatenate(parts)

    def text_present(self) -> dict[int, U64]:
        return {no: bits_of(self._present(no)) for no in self._fields("text")}

    def _present(self, field_no: int) -> Mask:
        parts = []
        for segment, kept in zip(self._segments, self._kept, strict=True):
            words = segment.present(field_no)
            if words is None:
                parts.append(np.zeros(int(np.count_nonzero(kept)), np.bool_))
            else:
                parts.append(mask_of(words, segment.n_docs)[kept])
        return np.concatenate(parts)

    def _fields(self, *kinds: str) -> list[int]:
        """Return the numbers of the fields of these kinds, rising."""
        fields = (field for segment in self._segments for field in segment.info.fields)
        return sorted({field.no for field in fields if field.kind in kinds})

    def columns(self) -> dict[int, Column]:
        return dict(self.each_column())

    def each_column(self) -> Iterator[tuple[int, Column]]:
        """See `segment_writer.StreamedDraft`."""
        for no in self._fields("i64", "f64", "ord"):
            yield no, self._column(no)

    def _column(self, field_no: int) -> Column:
        kind: ColumnKind = next(
            column.kind
            for segment in self._segments
            if (column := segment.column(field_no)) is not None
        )
        counts: list[I64] = []
        values: list[npt.NDArray[np.generic]] = []
        for number, kept in enumerate(self._kept):
            n, found = self._values(number, field_no, kept)
            counts.append(n)
            values.append(found)
        starts = np.zeros(self._n_docs + 1, np.uint32)
        np.cumsum(np.concatenate(counts), out=starts[1:])
        joined = np.concatenate([np.empty(0, DTYPES[kind]), *values])
        return Column(kind, joined, None, starts)

    def _values(
        self, number: int, field_no: int, kept: Mask
    ) -> tuple[I64, npt.NDArray[np.generic]]:
        """Return (how many values each kept document of a segment has, the values)."""
        segment = self._segments[number]
        column = segment.column(field_no)
        if column is None:
            return np.zeros(int(np.count_nonzero(kept)), np.int64), np.empty(0, np.uint32)
        counts = counts_of(column, segment.n_docs)
        if column.starts is None:
            values = column.values[kept & (counts > 0)]
        else:
            values = column.values[np.repeat(kept, counts)]
        if column.kind == "ord" and renumber(values, self._ordinals[field_no][number]) >= 0:
            offset = segment.sections.offset(Kind.VALUES, field_no)
            raise CorruptionError(segment.meta.name, offset, "an ordinal without a term")
        return counts[kept], values

    # --- documents ---------------------------------------------------------------------
    def keys(self) -> tuple[U8, I64]:
        blobs, lengths = [np.empty(0, np.uint8)], [np.empty(0, np.int64)]
        for segment, kept in zip(self._segments, self._kept, strict=True):
            blob, starts = segment.keys.all()
            sizes = np.diff(starts)
            blobs.append(blob if kept.all() else blob[np.repeat(kept, sizes)])
            lengths.append(sizes[kept])
        starts = np.zeros(self._n_docs + 1, np.int64)
        np.cumsum(np.concatenate(lengths), out=starts[1:])
        return np.concatenate(blobs), starts

    def versions(self) -> I64:
        return self._joined([segment.versions.all() for segment in self._segments])

    def offsets(self) -> I64:
        return self._joined([segment.offsets.all() for segment in self._segments])

    def _joined(self, arrays: list[I64]) -> I64:
        kept = [array[mask] for array, mask in zip(arrays, self._kept, strict=True)]
        return np.concatenate([np.empty(0, np.int64), *kept])

    def sources(self) -> Iterator[bytes]:
        for segment, kept in zip(self._segments, self._kept, strict=True):
            if kept.any():
                yield from compress(segment.stored.all(), kept.tolist())

    def packed_sources(self) -> Iterator[bytes | Frames]:
        """See `stored.PackedSources`."""
        for segment, kept in zip(self._segments, self._kept, strict=True):
            yield from segment.stored.packed(kept)

    def tombstones(self) -> dict[bytes, int]:
        """Return the deletes of all segments, of each key the newest. None is forgotten, also not
        where the key came back: what an event does must not hang on when segments merged."""
        merged: dict[bytes, int] = {}
        for segment in self._segments:
            merged.update(segment.tombstones())
        return merged
