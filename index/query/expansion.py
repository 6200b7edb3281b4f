"""Queries that stand for many terms: their documents, all with one score."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from index.kernels import operations as op
from index.kernels.rows import BITS
from index.kernels.union import first_living, sum_doc_freqs, unite
from index.query.leaves import ViewLeaf
from index.query.program import Matches
from index.query.statistics import Statistics, address
from index.reader import I64, U32, U64, Reader, bitset

Find = Callable[[Reader], I64]
"""Gives the ids of a reader's terms."""

_NO_TERMS = np.empty(0, np.int64)
_NO_WORDS = np.empty(0, np.uint64)


class ExpansionLeaf(ViewLeaf):
    """The documents with any of the terms that `find` gives of a reader that has the field."""

    mode = op.CONSTANT
    table = 0

    def __init__(self, statistics: Statistics, field_no: int, find: Find, score: float) -> None:
        self.weight = score
        self.bound = score
        self._views = statistics.views
        self._field_no = field_no
        self._find = find
        self._found: dict[int, I64] = {}

    @cached_property
    def cost(self) -> int:
        """Return how many postings the terms have; finds them in all views."""
        return sum(
            int(sum_doc_freqs(view.reader.source_row(), terms))
            for view_no, view in enumerate(self._views)
            if len(terms := self.terms(view_no))
        )

    def terms(self, view_no: int) -> I64:
        """Return the ids of the terms in one view."""
        found = self._found.get(view_no)
        if found is None:
            reader = self._views[view_no].reader
            found = self._find(reader) if self._field_no in reader.field_nos else _NO_TERMS
            self._found[view_no] = found
        return found

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        terms = self.terms(view_no)
        reader = self._views[view_no].reader
        if len(terms):
            words = bitset(reader.n_docs)
            unite(reader.source_row(), terms, reader.n_docs, words)
            owners.append(words)
            row[:4] = (BITS, reader.n_docs, address(words), len(words))
        return 0

    def best(self, k: int, limit: int) -> Matches:
        """Return the best `k` documents, which are the first of the log, and the total; a total
        above `limit` is not exact."""
        most = max(k, limit + 1)
        parts = [np.empty(0, np.int64)]
        total = n = 0
        for view_no in range(len(self._views)):
            if total >= most:
                break
            found, docs = self._first_of(view_no, k - n, most - total)
            total += found
            n += len(docs)
            parts.append(docs.astype(np.int64) | view_no << 32)
        return Matches(total, np.full(n, self.weight, np.float32), np.concatenate(parts))

    def _first_of(self, view_no: int, k: int, limit: int) -> tuple[int, U32]:
        """Return how many live documents of a view match, counted up to `limit`, and the first
        `k` of them."""
        terms, view = self.terms(view_no), self._views[view_no]
        n_docs = view.reader.n_docs
        out = np.empty(min(k, n_docs), np.uint32)
        if not len(terms):
            return 0, out[:0]
        alive: U64 = _NO_WORDS if view.alive is None else view.alive
        n = first_living(
            view.reader.source_row(), terms, n_docs, view.alive is not None, alive, limit,
            bitset(n_docs), out,
        )  # fmt: skip
        return n, out[:n]
