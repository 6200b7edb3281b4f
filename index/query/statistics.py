"""What scores need to know of all views together: over live documents, however they are stored.

Thread rule: one searcher's; any thread (two threads may at worst count the same thing twice).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.bm25 import average_length, keyword_part, length_table
from index.kernels import lookup
from index.kernels.lookup import find_leaves, find_many_leaves
from index.kernels.operations import VIEW_WIDTH
from index.kernels.rows import ROW_WIDTH
from index.reader import I64, FieldStats, View, Views

_SLACK = 1.0 + 1e-5
"""Rounding of the ratio to f32, and of what it multiplies."""


_MOST_TERMS = 4096
"""Terms whose statistics are kept."""


def address(array: np.ndarray) -> int:
    """Return where an array's memory begins. The caller keeps the array alive."""
    start: int = array.__array_interface__["data"][0]
    return start


@dataclass(frozen=True, slots=True)
class TermStats:
    doc_freq: int
    """Live documents with the term, over all views."""
    rows: I64
    """i64[views, ROW_WIDTH]: its leaf in each view, zeros where it is not."""


@dataclass(frozen=True, slots=True)
class TextField:
    """A field, ready to be searched and scored by kernels."""

    stats: FieldStats
    table: npt.NDArray[np.float32]
    table_address: int
    parameters: I64
    """[documents, bits of the part of BM25 that stands for frequency and length where both are
    always 1, address of the table], as `kernels/best_terms.py` takes them."""
    rows: I64
    """i64[views, FIELD_WIDTH], see kernels/lookup.py."""
    slacks: npt.NDArray[np.float32]
    """f32[views], see `kernels/postings.bound_of`."""
    norms: tuple[np.ndarray | None, ...]
    """Of each view; None where no document has the field."""


class Statistics:
    def __init__(self, views: tuple[View, ...]) -> None:
        self.views = tuple(views)
        self.n_docs = sum(view.reader.n_docs for view in views)
        self._tables: dict[range, I64] = {}
        self._fields: dict[int, FieldStats] = {}
        self._texts: dict[int, TextField] = {}
        self._terms: dict[tuple[int, bytes], TermStats] = {}

    @classmethod
    def of(cls, views: tuple[View, ...]) -> Statistics:
        """Return the statistics of some views; of published ones (`Views`) made once."""
        if not isinstance(views, Views):
            return cls(views)
        known: Statistics | None = views.memo.get("statistics")
        if known is None:
            known = views.memo["statistics"] = cls(views)
        return known

    def view_table(self, view_nos: range) -> I64:
        """Return some of the views as the kernel reads them."""
        table = self._tables.get(view_nos)
        if table is None:
            rows = []
            out_word = 0
            for view in self.views[view_nos.start : view_nos.stop]:
                n_docs = view.reader.n_docs
                rows.append((n_docs, 0 if view.alive is None else address(view.alive), out_word))
                out_word += (n_docs + 63) >> 6
            table = np.array(rows, np.int64).reshape(-1, VIEW_WIDTH)
            self._tables[view_nos] = table
        return table

    def field(self, field_no: int) -> FieldStats:
        stats = self._fields.get(field_no)
        if stats is None:
            each = [_field_stats(view, field_no) for view in self.views]
            stats = FieldStats(sum(s.n_docs for s in each), sum(s.total_length for s in each))
            self._fields[field_no] = stats
        return stats

    def text(self, field_no: int) -> TextField:
        field = self._texts.get(field_no)
        if field is None:
            stats = self.field(field_no)
            average = average_length(stats)
            table = length_table(average)
            norms = tuple(view.reader.norms(field_no) for view in self.views)
            rows = self._describe(field_no, average)
            slacks = rows.view(np.float64)[:, lookup.SLACK].astype(np.float32)
            part = np.float64(keyword_part(stats)).view(np.int64)
            is_text = rows[:, lookup.NORMS].any()
            parameters = np.array([stats.n_docs, part, address(table) if is_text else 0])
            field = TextField(stats, table, address(table), parameters, rows, slacks, norms)
            self._texts[field_no] = field
        return field

    def _describe(self, field_no: int, average: float) -> I64:
        rows = np.array([view.describe(field_no) for view in self.views], np.int64)
        rows = rows.reshape(-1, lookup.FIELD_WIDTH)
        slacks = rows.view(np.float64)[:, lookup.SLACK]
        for view_no, view in enumerate(self.views):
            own = average_length(view.reader.field_stats(field_no))
            slacks[view_no] = max(own / average, average / own) * _SLACK
        return rows

    def term(self, field_no: int, term: bytes) -> TermStats:
        stats = self._terms.get((field_no, term))
        if stats is None:
            text = np.frombuffer(bytearray(term), np.uint8)
            rows = np.zeros((len(self.views), ROW_WIDTH), np.int64)
            doc_freq = find_leaves(self.text(field_no).rows, text, 0, len(term), rows)
            if len(self._terms) >= _MOST_TERMS:
                self._terms.clear()
            stats = self._terms[field_no, term] = TermStats(int(doc_freq), rows)
        return stats

    def terms(self, field_no: int, terms: list[bytes]) -> list[TermStats]:
        """Return the statistics of several terms, looked for together."""
        text = np.frombuffer(bytearray(b"".join(terms)), np.uint8)
        ends = np.cumsum([len(term) for term in terms], dtype=np.int64)
        rows = np.zeros((len(terms), len(self.views), ROW_WIDTH), np.int64)
        live = np.zeros(len(terms), np.int64)
        find_many_leaves(self.text(field_no).rows, text, ends, rows, live)
        found = [TermStats(n, row) for n, row in zip(live.tolist(), rows, strict=True)]
        if len(self._terms) + len(found) > _MOST_TERMS:
            self._terms.clear()
        self._terms.update(zip(((field_no, term) for term in terms), found, strict=True))
        return found


def _field_stats(view: View, field_no: int) -> FieldStats:
    if field_no not in view.reader.field_nos:
        return FieldStats(0, 0)
    try:
        return view.stats[field_no]
    except KeyError:
        return view.reader.field_stats(field_no)
