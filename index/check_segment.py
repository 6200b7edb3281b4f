"""Is one segment sound? What its checksums cannot tell: every structure, and how they agree.

Each check yields what is wrong as (section, field, reason). Requires: right checksums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from index.bm25 import average_length, length_table
from index.columns import canonical, counts_of, mask_of, zones_of
from index.errors import CorruptionError
from index.format import NO_FIELD, Kind
from index.kernels.postings import check_postings
from index.kernels.recount import recount_ordinals, recount_text
from index.kernels.rows import BLOCK, ROW_WIDTH
from index.kernels.terms import check_terms
from index.lengths import encode_lengths
from index.reader import I64, U32, Column
from index.segment import Segment
from index.segment_writer import FieldInfo

SCRATCH_POSITIONS = 1 << 20
"""Positions of one block that are looked at; of a block with more they are only counted."""

Wrong: TypeAlias = tuple[Kind, int, str]
Pace: TypeAlias = Callable[[int], None]

OF_FIELDS = frozenset({Kind.LENGTHS, Kind.NORMS, Kind.PRESENT, Kind.VALUES, Kind.VALUE_STARTS})
OF_FIELDS |= {Kind.ZONES}


def check_segment(segment: Segment, pace: Pace) -> Iterator[CorruptionError]:
    """Yield what is wrong. `pace` is called with the bytes that were looked at since its last
    call: in all, those of the file."""
    n_sources = segment.sections.length(Kind.SOURCES)
    n_others = len(segment.sections.data) - n_sources
    checks: tuple[Callable[[Segment], Iterator[Wrong]], ...] = (
        _check_info, _check_terms, _check_fields, _check_keys, _check_log_places
    )  # fmt: skip
    for number, check in enumerate(checks, 1):
        yield from _found(segment, check(segment))
        pace(n_others * number // len(checks) - n_others * (number - 1) // len(checks))
    yield from _found(segment, _check_sources(segment, pace))


def _found(segment: Segment, wrongs: Iterator[Wrong]) -> Iterator[CorruptionError]:
    """Yield what a check finds, and what it stumbles over."""
    try:
        for kind, field, reason in wrongs:
            yield CorruptionError(segment.meta.name, segment.sections.offset(kind, field), reason)
    except CorruptionError as error:
        yield error


# --- what it says of itself ----------------------------------------------------------------
def _check_info(segment: Segment) -> Iterator[Wrong]:
    info, meta = segment.info, segment.meta
    said = (info.first_offset, info.last_offset, info.n_tombstones)
    if said != (meta.first_offset, meta.last_offset, meta.n_tombstones):
        yield Kind.META, NO_FIELD, "offsets or tombstones are not those that the manifest names"
    numbers = [field.no for field in info.fields]
    if numbers != sorted(set(numbers)):
        yield Kind.META, NO_FIELD, "fields are not in order"
    known = {kind.value for kind in Kind}
    for kind, field_no in segment.sections.names():
        if kind not in known or (field_no in numbers) != (kind in OF_FIELDS):
            yield Kind.META, NO_FIELD, f"section {kind} of field {field_no} belongs to nothing"


# --- terms and postings --------------------------------------------------------------------
def _check_terms(segment: Segment) -> Iterator[Wrong]:
    """The dictionary rises, postings rise and agree with the lengths and the columns."""
    terms, n_docs = segment.terms, segment.n_docs
    last = np.empty(terms.longest, np.uint8)
    docs, tfs = np.empty((2, BLOCK), np.uint32)
    scratch = np.empty(min(SCRATCH_POSITIONS, _most_positions(segment)), np.uint32)
    row = np.zeros(ROW_WIDTH, np.int64)
    for field in segment.info.fields:
        place = terms.fields[field.no]
        bad = check_terms(terms.row, place.first_block, place.n_terms, last)
        if bad >= 0:
            yield Kind.TERMS, NO_FIELD, f"term {bad} of field {field.no} is out of order"
        totals = np.zeros(3, np.int64)
        first, end = place.first, place.first + place.n_terms
        bad = check_postings(
            segment.postings.row, first, end, n_docs, row, docs, tfs, scratch, totals
        )
        if bad >= 0:
            yield Kind.POSTINGS, NO_FIELD, f"postings of term {bad} are not sound"
            continue
        if field.kind == "text" and totals[1] != field.total_length:
            reason = f"field {field.no} has {totals[1]} tokens, not {field.total_length}"
            yield Kind.POSTINGS, NO_FIELD, reason
        elif totals[2] not in (0, totals[1]):
            reason = f"field {field.no} has {totals[2]} positions of {totals[1]} tokens"
            yield Kind.POSITIONS, NO_FIELD, reason
        elif field.kind == "text":
            yield from _recount_text(segment, field, (row, docs, tfs))
        elif field.kind == "ord":
            yield from _recount_ordinals(segment, field, (row, docs, tfs))


def _most_positions(segment: Segment) -> int:
    return max((field.total_length for field in segment.info.fields), default=0)


Rooms: TypeAlias = tuple[I64, U32, U32]
"""What kernels that walk postings write to: a row, doc ids, frequencies."""


def _recount_text(segment: Segment, field: FieldInfo, rooms: Rooms) -> Iterator[Wrong]:
    """The lengths are those that the postings add up to, and no bound of a block is too low."""
    lengths, norms = segment.lengths(field.no), segment.norms(field.no)
    if lengths is None or norms is None:
        return
    place = segment.terms.fields[field.no]
    table = length_table(average_length(segment.field_stats(field.no)))
    counted = np.zeros(segment.n_docs, np.int64)
    first, end = place.first, place.first + place.n_terms
    bad = recount_text(segment.postings.row, first, end, norms, table, *rooms, counted)
    if bad >= 0:
        yield Kind.POS_METAS, NO_FIELD, f"a bound of the scores of term {bad} does not hold"
    elif not np.array_equal(counted, lengths):
        doc_id = int(np.flatnonzero(counted != lengths)[0])
        reason = f"document {doc_id} has {counted[doc_id]} tokens, not {lengths[doc_id]}"
        yield Kind.LENGTHS, field.no, reason


def _recount_ordinals(segment: Segment, field: FieldInfo, rooms: Rooms) -> Iterator[Wrong]:
    """Terms and documents of a keyword are those of its column."""
    column = segment.column(field.no)
    if column is None:
        return
    place = segment.terms.fields[field.no]
    starts = column.starts if column.starts is not None else np.empty(0, np.uint32)
    marks = np.zeros(len(column.values), np.uint8)
    bad = recount_ordinals(
        segment.postings.row, place.first, place.n_terms, column.values, starts, *rooms, marks
    )
    if bad >= 0:
        reason = f"a document of term {bad} of field {field.no} has not its value"
        yield Kind.POSTINGS, NO_FIELD, reason
        return
    wanted = np.ones(len(marks), np.bool_)
    if column.starts is None:
        wanted = mask_of(segment.present(field.no), segment.n_docs)
    if not np.array_equal(marks.view(np.bool_), wanted):
        yield Kind.POSTINGS, NO_FIELD, f"field {field.no} has values without postings"


# --- fields --------------------------------------------------------------------------------
def _check_fields(segment: Segment) -> Iterator[Wrong]:
    """Lengths, norms and values agree with each other and with the statistics."""
    n_docs = segment.n_docs
    for field in segment.info.fields:
        present = segment.present(field.no)
        if present is None or int(np.bitwise_count(present).sum()) != field.n_present:
            yield Kind.PRESENT, field.no, f"not {field.n_present} documents"
            continue
        lengths, norms = segment.lengths(field.no), segment.norms(field.no)
        if lengths is not None and norms is not None:
            if int(lengths.sum(dtype=np.int64)) != field.total_length:
                yield Kind.LENGTHS, field.no, f"sum is not {field.total_length}"
            if int(np.count_nonzero(lengths)) != field.n_docs:
                yield Kind.LENGTHS, field.no, f"not {field.n_docs} documents"
            if np.any((lengths > 0) & ~mask_of(present, n_docs)):
                yield Kind.PRESENT, field.no, "a document has tokens and no value"
            if not np.array_equal(norms, encode_lengths(lengths)):
                yield Kind.NORMS, field.no, "norms are not those of the lengths"
        column = segment.column(field.no)
        if column is not None:
            yield from _check_column(segment, field, column, n_docs)


def _check_column(
    segment: Segment, field: FieldInfo, column: Column, n_docs: int
) -> Iterator[Wrong]:
    counts = counts_of(column, n_docs)
    if np.any(counts < 0) or int(counts.sum()) != field.total_length:
        yield Kind.VALUE_STARTS, field.no, f"not {field.total_length} values"
        return
    if int(np.count_nonzero(counts)) != field.n_docs:
        yield Kind.VALUE_STARTS, field.no, f"not {field.n_docs} documents with values"
    has = mask_of(segment.present(field.no), n_docs)
    if not np.array_equal(counts > 0, has):
        yield Kind.PRESENT, field.no, "not the documents that have values"
    if column.zones is not None and not np.array_equal(
        column.zones, zones_of(canonical(column, n_docs), n_docs), equal_nan=column.kind == "f64"
    ):
        yield Kind.ZONES, field.no, "not the least and greatest values"


# --- documents -----------------------------------------------------------------------------
def _check_keys(segment: Segment) -> Iterator[Wrong]:
    """Every document is found by its key."""
    blob, starts = segment.keys.all()
    if np.any(segment.keys.find_all(blob, starts) < np.arange(segment.n_docs)):
        yield Kind.KEY_SLOTS, NO_FIELD, "a document is not found by its key"


def _check_log_places(segment: Segment) -> Iterator[Wrong]:
    """Offsets rise from the first to the last; versions and tombstones can be read."""
    offsets, info = segment.offsets.all(), segment.info
    if np.any(np.diff(offsets) <= 0):
        yield Kind.OFFSETS, NO_FIELD, "offsets do not rise"
    ends = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (-1, -1)
    if ends != (info.first_offset, info.last_offset):
        yield Kind.OFFSETS, NO_FIELD, f"not the offsets {info.first_offset} to {info.last_offset}"
    segment.versions.all()
    if len(segment.tombstones()) != info.n_tombstones:
        yield Kind.TOMBSTONES, NO_FIELD, f"not {info.n_tombstones} tombstones"


def _check_sources(segment: Segment, pace: Pace) -> Iterator[Wrong]:
    """Every source can be read."""
    n_docs = 0
    for n_of_block, n_bytes in segment.stored.readable():
        n_docs += n_of_block
        pace(n_bytes)
    if n_docs != segment.n_docs:
        yield Kind.SOURCES, NO_FIELD, f"not {segment.n_docs} sources"
