"""Filters of a query whose documents are kept from one search to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from index.query import ast
from index.query.filter_cache import FilterCache
from index.query.leaves import ConstantLeaf, fill_bits, fill_list
from index.query.plan import NOTHING, Plan
from index.query.program import Program
from index.query.statistics import Statistics
from index.reader import I64, U64, View, bitset

if TYPE_CHECKING:
    from index.query.rewrite import Rewriter

_QUICK = (ast.MatchAll, ast.MatchNone, ast.Exists, ast.Ids, ast.Term, ast.Range)
"""What is found as fast as it could be kept."""
_OF_THE_WHOLE = (ast.Fuzzy, ast.MatchPhrasePrefix)
"""What a segment gives depends on the terms of the others: only the nearest are looked for."""
_MANY_TERMS = 8


class Filters:
    """Puts what is kept in the place of a filter's plan."""

    def __init__(self, rewriter: Rewriter, cache: FilterCache) -> None:
        self._rewriter = rewriter
        self._cache = cache

    def kept(self, query: ast.Query, plan: Plan) -> Plan:
        """Return the plan, or one of the same documents by what is kept of them."""
        if plan is NOTHING or not is_worth_keeping(query):
            return plan
        # A query may be long, and many are watched before one is kept.
        key = blake2b(repr(query).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if not self._cache.is_wanted(key):
            return plan
        rewriter = self._rewriter
        return KeptLeaf(
            rewriter.statistics,
            self._cache,
            key,
            lambda statistics: rewriter.over(statistics).plan(query),
        )


def is_worth_keeping(query: ast.Query) -> bool:
    """Return whether a filter costs more than to look it up, and means the same at any time and
    in any company."""
    if isinstance(query, _QUICK) and not getattr(query, "case_insensitive", False):
        return False
    if isinstance(query, ast.Terms) and len(query.values) < _MANY_TERMS:
        return False
    return all(_is_lasting(part) for part in _within(query))


def _within(value: Any) -> Iterator[ast.Query]:
    """Yield a query and all the queries in it."""
    if isinstance(value, ast.Query):
        yield value
        for name in value.__struct_fields__:
            yield from _within(getattr(value, name))
    elif isinstance(value, tuple):
        for part in value:
            yield from _within(part)


def _is_lasting(query: ast.Query) -> bool:
    if isinstance(query, _OF_THE_WHOLE) or getattr(query, "fuzziness", None) is not None:
        return False
    values = [getattr(query, name) for name in query.__struct_fields__]
    listed = [part for value in values if isinstance(value, tuple) for part in value]
    return not any(isinstance(v, str) and v.startswith("now") for v in (*values, *listed))


class KeptLeaf(ConstantLeaf):
    """The documents of a filter, from the cache in segments, asked again elsewhere."""

    def __init__(
        self,
        statistics: Statistics,
        cache: FilterCache,
        key: str,
        plan: Callable[[Statistics], Plan],
    ) -> None:
        """`plan`: returns the filter's plan over other views."""
        super().__init__(0.0, 0)
        self._views = statistics.views
        self._plan = plan
        self._found = [
            cache.find(view.reader, key, lambda view=view: self._make(view))  # type: ignore[misc]
            if cache.takes(view.reader, view.segment)
            else None
            for view in self._views
        ]
        self.cost = sum(
            view.reader.n_docs // 4 if found is None else found.count
            for view, found in zip(self._views, self._found, strict=True)
        )

    def _make(self, view: View) -> U64:
        """Return the bitset of the view's documents that match, whether alive or not."""
        everything = View(view.reader, None, view.reader.n_docs, shard=view.shard)
        statistics = Statistics((everything,))
        plan = self._plan(statistics)
        words = bitset(view.reader.n_docs)
        if plan is not NOTHING:
            Program(plan, scored=False).run(statistics, range(1), out_mask=words)
        return words

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        view, found = self._views[view_no], self._found[view_no]
        if found is None:
            fill_bits(row, self._make(view), view.reader.n_docs, owners)
        elif found.is_sparse:
            fill_list(row, found.docs(), owners)
        else:
            fill_bits(row, found.words(), view.reader.n_docs, owners)
        return 0
