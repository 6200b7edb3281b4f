"""Phrases: documents with all the terms, then the places of the terms in those documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from index.bm25 import idf
from index.kernels import operations as op
from index.kernels.bits import list_bits
from index.kernels.phrase import count_exact, count_sloppy
from index.kernels.rows import LIST
from index.query.expansion import ExpansionLeaf
from index.query.leaves import DocsLeaf, TermLeaf, ViewLeaf
from index.query.plan import Every, Leaf, Plan
from index.query.program import Program
from index.query.statistics import Statistics, address
from index.reader import I64, U8, U32, Reader, View, bitset


@dataclass(frozen=True, slots=True)
class PhraseTerm:
    """One place of a phrase: its term, or several of which one must stand there."""

    offset: int
    """Position within the phrase."""
    terms: tuple[bytes, ...]


class PhraseLeaf(ViewLeaf):
    """The documents with a phrase, scored by BM25 with the phrase's own frequency."""

    mode = op.GIVEN
    table = 0

    def __init__(
        self,
        statistics: Statistics,
        field_no: int,
        terms: tuple[PhraseTerm, ...],
        *,
        slop: int,
        boost: float,
        within: DocsLeaf | None,
    ) -> None:
        """`within`: look at these documents only."""
        self._statistics = statistics
        self.field_no = field_no
        self.terms = terms
        self.slop = slop
        self.boost = boost
        self._within = within
        stats = statistics.field(field_no)
        freqs = [
            statistics.term(field_no, term).doc_freq for place in terms for term in place.terms
        ]
        self._weight = boost * sum(idf(freq, stats.n_docs) for freq in freqs if freq > 0)
        self.weight = 1.0
        self.bound = self._weight
        per_place = [
            sum(statistics.term(field_no, term).doc_freq for term in place.terms) for place in terms
        ]
        self.cost = min(per_place, default=0)

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        view = self._statistics.views[view_no]
        if self.field_no not in view.reader.field_nos:
            return 0
        doc_ids = self._candidates(view_no)
        if not len(doc_ids):
            return 0
        frequencies = self._frequencies(view, view_no, doc_ids)
        has_phrase = frequencies > 0
        doc_ids, frequencies = doc_ids[has_phrase], frequencies[has_phrase]
        if not len(doc_ids):
            return 0
        text = self._statistics.text(self.field_no)
        norms: U8 | None = text.norms[view_no]
        lengths = text.table[0 if norms is None else norms[doc_ids]]
        scores = (np.float32(self._weight) * frequencies / (frequencies + lengths)).astype(
            np.float32
        )
        owners += [doc_ids, scores]
        row[:4] = (LIST, len(doc_ids), address(doc_ids), address(scores))
        return 0

    def _candidates(self, view_no: int) -> U32:
        """Return the live documents of a view that have all the terms."""
        view = self._statistics.views[view_no]
        parts: list[tuple[Plan, bool]] = [(self._place_leaf(place), False) for place in self.terms]
        if self._within is not None:
            parts.append((self._within, False))
        out = bitset(view.reader.n_docs)
        program = Program(Every(tuple(parts)), scored=False)
        matches = program.run(self._statistics, range(view_no, view_no + 1), out_mask=out)
        doc_ids = np.empty(matches.total, np.uint32)
        list_bits(out, doc_ids)
        return doc_ids

    def _place_leaf(self, place: PhraseTerm) -> Leaf:
        statistics, field_no = self._statistics, self.field_no
        if len(place.terms) == 1:
            return TermLeaf(statistics, field_no, place.terms[0], 1.0, is_text=True)
        find = term_finder(field_no, place.terms)
        return ExpansionLeaf(statistics, field_no, find, 0.0)

    def _frequencies(self, view: View, view_no: int, doc_ids: U32) -> np.ndarray:
        n = len(doc_ids)
        starts = np.zeros((len(self.terms), n + 1), np.int64)
        parts: list[U32] = []
        first = 0
        for i, place in enumerate(self.terms):
            own, positions = self._positions(view, place, doc_ids)
            starts[i] = own + first
            first += len(positions)
            parts.append(positions)
        together = np.concatenate(parts)
        offsets = np.array([place.offset for place in self.terms], np.int64)
        frequencies = np.zeros(n, np.float32)
        if self.slop == 0:
            count_exact(starts, together, offsets, np.zeros(len(offsets), np.int64), frequencies)
            return frequencies
        every = [place.terms for place in self.terms]
        groups = np.array([every.index(terms) for terms in every], np.int64)
        scratch = np.zeros((3, len(offsets)), np.int64)
        count_sloppy(starts, together, offsets, groups, self.slop, scratch, frequencies)
        return frequencies

    def _positions(self, view: View, place: PhraseTerm, doc_ids: U32) -> tuple[I64, U32]:
        """Return (starts, positions) of one place of the phrase, positions rising."""
        term_ids = [view.reader.find_term(self.field_no, term) for term in place.terms]
        found = [view.reader.positions(t, doc_ids) for t in term_ids if t >= 0]
        if len(found) == 1:
            return found[0]
        return _merge_positions(found, len(doc_ids))


def _merge_positions(found: list[tuple[I64, U32]], n_docs: int) -> tuple[I64, U32]:
    """Merge the positions of several terms, document by document."""
    docs = np.concatenate([np.repeat(np.arange(n_docs), np.diff(starts)) for starts, _ in found])
    positions = np.concatenate([each for _, each in found])
    order = np.lexsort((positions, docs))
    starts = np.zeros(n_docs + 1, np.int64)
    np.cumsum(np.bincount(docs, minlength=n_docs), out=starts[1:])
    return starts, np.ascontiguousarray(positions[order], np.uint32)


def term_finder(field_no: int, terms: Iterable[bytes]) -> Callable[[Reader], I64]:
    """Return what finds the ids of some terms in a reader."""

    def find(reader: Reader) -> I64:
        ids = [reader.find_term(field_no, term) for term in terms]
        return np.array([i for i in ids if i >= 0], np.int64)

    return find
