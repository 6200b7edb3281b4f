"""Merging neighbouring segments into one: what to merge, and the draft of the result.

Only neighbours merge, so that doc ids stay in log order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

import numpy as np
import numpy.typing as npt

from index.columns import DTYPES, ColumnKind, Mask, bits_of, counts_of, mask_of
from index.draft import TermChunk
from index.errors import CorruptionError
from index.format import Kind
from index.kernels.columns import renumber
from index.options import IndexOptions
from index.reader import I64, U8, U32, U64, Column
from index.segment import Segment
from index.stored import Frame
from index.term_walk import NO_ORDINAL, TermWalk

SMALLEST_TIER_BYTES = 1 << 20
"""Segments below this are of one tier."""


def plan_merge(sizes: Sequence[int], options: IndexOptions) -> slice | None:
    """Choose neighbouring segments to merge, by their sizes in bytes; None: no need.

    A run of at least `merge_factor` neighbours up to some tier, none of which is larger than
    the others together, and not more than `max_merged_bytes`. Small tiers first, then what
    rewrites least for each segment that goes away.
    """
    factor = max(options.merge_factor, 2)
    tiers = [_tier(size, factor) for size in sizes]
    for tier in sorted(set(tiers)):
        best: tuple[float, slice] | None = None
        for start, end in _runs(sizes, tiers, tier, options.max_merged_bytes):
            if end - start < factor:
                continue
            total = sum(sizes[start:end])
            if 2 * max(sizes[start:end]) > total:
                continue
            cost = total / (end - start - 1)
            if best is None or cost < best[0]:
                best = cost, slice(start, end)
        if best is not None:
            return best[1]
    return None


def _tier(size: int, factor: int) -> int:
    tier = 0
    while size >= SMALLEST_TIER_BYTES:
        size //= factor
        tier += 1
    return tier


def _runs(
    sizes: Sequence[int], tiers: Sequence[int], tier: int, limit: int
) -> Iterator[tuple[int, int]]:
    """Yield, from each start, the longest run of segments up to `tier` and up to `limit` bytes."""
    for start in range(len(sizes)):
        total, end = 0, start
        while end < len(sizes) and tiers[end] <= tier and total + sizes[end] <= limit:
            total += sizes[end]
            end += 1
        yield start, end


class MergeDraft:
    """A `segment_writer.StreamedDraft` of neighbouring segments, oldest first.

    Thread rule: one thread.

    Memory is bounded by a chunk, the keys and some ten bytes a document, and 4 a keyword term;
    postings and sources pass through. Invariant: columns are asked for after `term_chunks` is
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
    def term_chunks(self) -> Iterator[TermChunk]:
        """Raises: CorruptionError where an input cannot be read."""
        if not self._segments:
            return
        walk = TermWalk(self._segments, self.doc_maps, self._ordinals)
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

    def packed_sources(self) -> Iterator[bytes | Frame]:
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
