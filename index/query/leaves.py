"""The leaves of a plan: each fills the row that lets kernels walk its documents in one view."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from index.bm25 import idf, keyword_part
from index.kernels import lookup, ranges
from index.kernels import operations as op
from index.kernels.rows import ALL, BITS, LIST, ROW_WIDTH
from index.query.statistics import Statistics, TermStats, address
from index.reader import I64, U32, U64, Column, ColumnRow, Reader, View

UNLIMITED = 1 << 40
"""As many terms as there are."""


class ViewLeaf:
    """Base of leaves that fill one view after the other."""

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        raise NotImplementedError

    def fill_views(
        self, view_nos: range, rows: I64, norms: I64 | None, owners: list[np.ndarray]
    ) -> None:
        for row, view_no in zip(rows, view_nos, strict=True):
            self.fill(view_no, row, owners)


class ConstantLeaf(ViewLeaf):
    """Base of leaves whose documents all have one score."""

    mode = op.CONSTANT
    table = 0

    def __init__(self, score: float, cost: int) -> None:
        self.weight = score
        self.cost = cost

    @property
    def bound(self) -> float:
        return self.weight


class AllLeaf(ConstantLeaf):
    """Every document."""

    def __init__(self, statistics: Statistics, score: float) -> None:
        super().__init__(score, statistics.n_docs)
        self._views = statistics.views

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        n_docs = self._views[view_no].reader.n_docs
        row[:3] = (ALL, n_docs, n_docs)
        return 0


class TermLeaf(ConstantLeaf):
    """The documents with one term. A text is scored by BM25; of a keyword, whose frequency and
    length are always 1, that comes to one score for all."""

    def __init__(
        self,
        statistics: Statistics,
        field_no: int,
        term: bytes,
        boost: float,
        *,
        is_text: bool,
        scored_doc_freq: int | None = None,
    ) -> None:
        """`scored_doc_freq`: the document frequency that it is scored by, None: its own."""
        self._term: TermStats = statistics.term(field_no, term)
        self.field_no, self.term, self.boost = field_no, term, boost
        stats = statistics.field(field_no)
        doc_freq = self._term.doc_freq if scored_doc_freq is None else scored_doc_freq
        self.scored_doc_freq = doc_freq
        weight = boost * idf(doc_freq, stats.n_docs)
        described = statistics.text(field_no)
        self._norms = described.rows[:, lookup.NORMS]
        self.slacks = described.slacks
        """f32[views], see `kernels/postings.bound_of`."""
        if is_text:
            self.mode, self.table = op.BM25, described.table_address
        else:
            weight *= keyword_part(stats)
        super().__init__(weight, self._term.doc_freq)

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        row[:] = self._term.rows[view_no]
        return int(self._norms[view_no])

    def fill_views(
        self, view_nos: range, rows: I64, norms: I64 | None, owners: list[np.ndarray]
    ) -> None:
        rows[:] = self._term.rows[view_nos.start : view_nos.stop]
        if norms is not None:
            norms[:] = self._norms[view_nos.start : view_nos.stop]


class BitsLeaf(ConstantLeaf):
    """Documents of a bitset that is made for each view when it is needed; None: no document."""

    def __init__(
        self,
        statistics: Statistics,
        make: Callable[[Reader], U64 | None],
        score: float,
        cost: int | None = None,
    ) -> None:
        super().__init__(score, statistics.n_docs // 4 if cost is None else cost)
        self._views = statistics.views
        self._make = make

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        reader = self._views[view_no].reader
        words = self._make(reader)
        if words is not None:
            fill_bits(row, words, reader.n_docs, owners)
        return 0


class KeysLeaf(ConstantLeaf):
    """The documents with one of some keys."""

    def __init__(self, statistics: Statistics, keys: Sequence[bytes], score: float) -> None:
        super().__init__(score, len(keys))
        self._views = statistics.views
        self._keys = keys

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        reader = self._views[view_no].reader
        found = sorted({doc for key in self._keys if (doc := reader.find_key(key)) >= 0})
        fill_list(row, np.array(found, np.uint32), owners)
        return 0


class DocsLeaf(ConstantLeaf):
    """Given documents of one view, and none of the others."""

    def __init__(self, view_no: int, doc_ids: U32) -> None:
        super().__init__(0.0, 0)
        self._view_no = view_no
        self._doc_ids = np.ascontiguousarray(doc_ids, np.uint32)

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        if view_no == self._view_no:
            fill_list(row, self._doc_ids, owners)
        return 0


def fill_bits(row: I64, words: U64, n_docs: int, owners: list[np.ndarray]) -> None:
    """Make a row the documents of a bitset."""
    if len(words):
        owners.append(words)
        row[:4] = (BITS, n_docs, address(words), len(words))


def fill_list(row: I64, doc_ids: U32, owners: list[np.ndarray]) -> None:
    """Make a row some documents, rising."""
    if len(doc_ids):
        owners.append(doc_ids)
        row[:4] = (LIST, len(doc_ids), address(doc_ids), 0)


class RangeLeaf(ConstantLeaf):
    """Documents with a number between two bounds, both included."""

    def __init__(
        self,
        statistics: Statistics,
        field_no: int,
        low: int | float,
        high: int | float,
        score: float,
    ) -> None:
        super().__init__(score, statistics.n_docs)
        self._views = statistics.views
        self._field_no = field_no
        self._bounds = (low, high)

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        view = self._views[view_no]
        known = column_row(view, self._field_no)
        relation = relation_of(known, *self._bounds)
        if relation == "misses":
            return 0
        if relation == "covers":
            n_docs = view.reader.n_docs
            row[:3] = (ALL, n_docs, n_docs)
            return 0
        row[: ranges.ZONES + 1] = known.row
        if known.kind == "f64":
            row.view(np.float64)[ranges.LOW : ranges.HIGH + 1] = self._bounds
        else:
            low, high = self._bounds
            row[ranges.LOW : ranges.HIGH + 1] = int(low), int(high)
        return 0


class KeywordRangeLeaf(ConstantLeaf):
    """Documents with a keyword between two bounds in byte order; None: no bound."""

    def __init__(
        self,
        statistics: Statistics,
        field_no: int,
        low: bytes | None,
        high: bytes | None,
        score: float,
    ) -> None:
        """The lower bound is included, the upper one is not."""
        super().__init__(score, statistics.n_docs)
        self._views = statistics.views
        self._field_no = field_no
        self._low, self._high = low, high

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        reader = self._views[view_no].reader
        column = reader.column(self._field_no)
        if column is None or not len(column.values):
            return 0
        no, low, high = self._field_no, 0, ord_count(column)
        if self._low is not None:
            low = first_ordinal(reader, no, self._low, high)
        if self._high is not None:
            high = first_ordinal(reader, no, self._high, high)
        if low < high:
            _fill_range(row, ranges.RANGE_ORD, column, reader.n_docs, low, high - 1, owners=owners)
        return 0


def _describe_column(reader: Reader, field_no: int) -> ColumnRow:
    """Return a column as kernels read it, but for the bounds of a range."""
    column = reader.column(field_no)
    row = np.zeros(ROW_WIDTH, np.int64)
    if column is None:
        return ColumnRow(None, row, [])
    owners: list[np.ndarray] = []
    kind = ranges.RANGE_F64 if column.kind == "f64" else ranges.RANGE_I64
    _fill_range(row, kind, column, reader.n_docs, 0, 0, owners=owners)
    is_full = column.present is None and column.starts is None
    return ColumnRow(column.kind, row[: ranges.ZONES + 1], owners, _span_of(column), is_full)


def _span_of(column: Column) -> tuple[int | float, int | float] | None:
    """Return the least and the greatest value, by the zone map."""
    zones = column.zones
    if zones is None or not len(zones):
        return None
    least, most = zones[: len(zones) // 2].min(), zones[len(zones) // 2 :].max()
    return None if least != least or most != most else (least.item(), most.item())


def column_row(view: View, field_no: int) -> ColumnRow:
    """Return a column as kernels read it, looked up once for a view."""
    known = view.columns.get(field_no)
    if known is None:
        known = view.columns[field_no] = _describe_column(view.reader, field_no)
    return known


def relation_of(
    column: ColumnRow, low: int | float, high: int | float
) -> Literal["misses", "covers", "meets"]:
    """Return whether a range has none of the view's documents, all of them, or perhaps some."""
    if column.kind is None:
        return "misses"
    if column.span is None:
        return "meets"
    least, most = column.span
    if most < low or high < least:
        return "misses"
    return "covers" if column.is_full and low <= least and most <= high else "meets"


def first_ordinal(reader: Reader, field_no: int, term: bytes, n_terms: int) -> int:
    """Return the first ordinal whose term is >= `term`."""
    return bisect_left(range(n_terms), term, key=lambda ordinal: reader.ord_term(field_no, ordinal))


def ord_count(column: Column) -> int:
    """Return one more than the highest ordinal in use, where documents have a value."""
    values = column.values
    if column.present is not None and column.starts is None:
        has_value = np.unpackbits(
            column.present.view(np.uint8), bitorder="little", count=len(values)
        ).view(bool)
        values = values[has_value]
    return int(values.max()) + 1 if len(values) else 0


def _fill_range(
    row: I64,
    kind: int,
    column: Column,
    n_docs: int,
    low: int,
    high: int,
    *,
    owners: list[np.ndarray],
) -> None:
    owners.append(column.values)
    present = starts = 0
    if column.present is not None:
        owners.append(column.present)
        present = address(column.present)
    if column.starts is not None:
        owners.append(column.starts)
        starts = address(column.starts)
    values = address(column.values)
    zones = 0
    if column.zones is not None:
        owners.append(column.zones)
        zones = address(column.zones)
    row[:9] = (kind, n_docs, values, len(column.values), low, high, present, starts, zones)
