"""The best hits of a plan, by the shortest way that its shape allows.

Terms that are all wanted, or any of them, go to kernels that skip what cannot become a hit; ranges
and sets beside them are tested on those documents alone that could. Any other plan runs as a
program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from index.kernels import best_leaves as kernels
from index.kernels.filters import WANTED
from index.kernels.rows import ROW_WIDTH
from index.query.expansion import ExpansionLeaf
from index.query.leaves import AllLeaf, BitsLeaf, KeywordRangeLeaf, RangeLeaf, TermLeaf
from index.query.plan import Constant, Every, Leaf, Plan, Some
from index.query.program import NO_LIMIT as NO_LIMIT
from index.query.program import Matches, Program
from index.query.statistics import Statistics, address
from index.query.stop import NEVER, Stop, check_stop

_DENSE = (AllLeaf, BitsLeaf, ExpansionLeaf, KeywordRangeLeaf, RangeLeaf)
"""Leaves whose rows are dense: a kernel can ask them about one document."""
_SELECTIVE = 64
"""A filter so many times rarer than the terms had better lead."""


@dataclass(slots=True)
class _Shape:
    """Streams that all or any of which a hit has, and the filters that it passes."""

    how: int
    streams: list[tuple[TermLeaf, float]]
    """Each with its weight; 0: it does not score."""
    filters: list[tuple[Leaf, bool]]
    """Each with whether its documents pass, or the others."""


def best_hits(
    plan: Plan, statistics: Statistics, *, k: int, limit: int, stop: Stop = NEVER
) -> Matches:
    """Return the best `k` documents, best first, and the total; a total above `limit` is not
    exact, and with `limit` -1 there is none."""
    if isinstance(plan, ExpansionLeaf):
        return plan.best(k, limit)
    shape = _shape_of(plan)
    if shape is None or not _is_worth_it(shape):
        program = Program(plan, scored=k > 0)
        return program.run(statistics, range(len(statistics.views)), k=k, limit=limit, stop=stop)
    return _run(shape, statistics, k, limit, stop)


def _shape_of(plan: Plan) -> _Shape | None:
    """Return the shape of a plan, None: it has none of those that there are kernels for."""
    terms = _any_terms(plan)
    if terms is not None:
        return _Shape(kernels.ANY, terms, [])
    if not isinstance(plan, Every) or plan.optional:
        return None
    shape = _Shape(kernels.ALL, [], [])
    for part, scores in plan.required:
        if isinstance(part, Constant) and not scores:
            part = part.part
        if isinstance(part, TermLeaf):
            shape.streams.append((part, part.weight if scores else 0.0))
        elif isinstance(part, _DENSE) and not scores:
            shape.filters.append((part, True))
        elif scores and shape.how == kernels.ALL and (terms := _any_terms(part)) is not None:
            if shape.streams:
                return None
            shape = _Shape(kernels.ANY, terms, shape.filters)
        else:
            return None
    if shape.how == kernels.ANY and len(plan.required) - len(shape.filters) != 1:
        return None
    for part in plan.excluded:
        if not isinstance(part, _DENSE):
            return None
        shape.filters.append((part, False))
    return shape if shape.streams else None


def _any_terms(plan: Plan) -> list[tuple[TermLeaf, float]] | None:
    """Return the terms of a plan that is a disjunction of terms and nothing else, or None."""
    parts = plan.parts if isinstance(plan, Some) and plan.at_least == 1 else (plan,)
    terms = [(part, part.weight) for part in parts if isinstance(part, TermLeaf)]
    return terms if terms and len(terms) == len(parts) else None


def _is_worth_it(shape: _Shape) -> bool:
    costs = [leaf.cost for leaf, _ in shape.streams]
    cost = min(costs) if shape.how == kernels.ALL else sum(costs)
    return all(not wanted or leaf.cost * _SELECTIVE >= cost for leaf, wanted in shape.filters)


def _run(shape: _Shape, statistics: Statistics, k: int, limit: int, stop: Stop) -> Matches:
    n_views, n_streams = len(statistics.views), len(shape.streams)
    rows = np.zeros((n_views, n_streams, ROW_WIDTH), np.int64)
    filters = np.zeros((n_views, len(shape.filters), ROW_WIDTH), np.int64)
    norms = np.zeros((n_views, n_streams), np.int64)
    slacks = np.ones((n_views, n_streams), np.float32)
    owners: list[np.ndarray] = []
    for i, (term, weight) in enumerate(shape.streams):
        check_stop(stop)
        term.fill_views(range(n_views), rows[:, i], norms[:, i], owners)
        if weight == 0.0:
            norms[:, i] = 0
        else:
            slacks[:, i] = term.slacks
    for i, (leaf, wanted) in enumerate(shape.filters):
        check_stop(stop)
        leaf.fill_views(range(n_views), filters[:, i], None, owners)
        filters[:, i, WANTED] = wanted
    scores, docs = np.empty(k, np.float32), np.empty(k, np.int64)
    result = np.zeros(2, np.int64)
    kernels.best_of_leaves(
        shape.how,
        rows,
        filters,
        np.array([weight for _, weight in shape.streams], np.float32),
        slacks,
        norms,
        np.array([term.table for term, _ in shape.streams], np.int64),
        statistics.view_table(range(n_views)),
        limit,
        address(stop),
        scores,
        docs,
        result,
    )
    total, n = result.tolist()
    return Matches(total, scores[:n], docs[:n])
