"""The fast way of the commonest search: the best documents that have any of some terms."""

from __future__ import annotations

import numpy as np

from index.kernels import operations as op
from index.kernels.disjunction import best_of_any
from index.kernels.rows import BLOCK, CURSOR_WIDTH, ROW_WIDTH
from index.query.leaves import TermLeaf
from index.query.plan import Plan, Some
from index.query.program import BOUND_SLACK, Matches
from index.query.statistics import Statistics

NO_LIMIT = 1 << 62
"""A limit of the count that no index reaches: all matches are counted."""


def any_of_terms(plan: Plan) -> list[TermLeaf] | None:
    """Return the terms of a plan that is a disjunction of terms and nothing else, or None."""
    parts = plan.parts if isinstance(plan, Some) and plan.at_least == 1 else (plan,)
    leaves = [part for part in parts if isinstance(part, TermLeaf)]
    return leaves if leaves and len(leaves) == len(parts) else None


def best_of_terms(
    terms: list[TermLeaf], statistics: Statistics, *, k: int, total_limit: int = NO_LIMIT
) -> Matches:
    """Return the best `k` documents. Counting stops being exact above `total_limit`.

    Requires: k > 0.
    """
    terms = sorted(terms, key=lambda term: -term.bound)
    n_views, n_terms = len(statistics.views), len(terms)
    ops = np.zeros((n_terms, op.OP_WIDTH), np.int64)
    leaves = np.zeros((n_views, n_terms, ROW_WIDTH), np.int64)
    norms = np.zeros((n_views, n_terms), np.int64)
    owners: list[np.ndarray] = []
    for i, term in enumerate(terms):
        ops[i, op.CODE], ops[i, op.MODE], ops[i, op.ARG] = op.OR, term.mode, term.table
        for view_no in range(n_views):
            norms[view_no, i] = term.fill(view_no, leaves[view_no, i], owners)
    bounds = np.array([term.bound for term in terms]) * BOUND_SLACK
    heap_scores, heap_docs = np.empty(k, np.float32), np.empty(k, np.int64)
    result = np.zeros(2, np.int64)
    best_of_any(
        ops,
        np.array([term.weight for term in terms], np.float32),
        np.cumsum(bounds[::-1])[::-1].astype(np.float32),
        leaves,
        norms,
        statistics.view_table(range(n_views)),
        total_limit,
        np.zeros(op.WINDOW_WORDS, np.uint64),
        np.zeros(1, np.uint64),
        np.zeros(op.WINDOW, np.float32),
        np.empty((n_terms, BLOCK), np.uint32),
        np.empty((n_terms, BLOCK), np.uint32),
        np.empty((n_terms, CURSOR_WIDTH), np.int64),
        np.empty((n_terms, 2), np.int64),
        np.empty(BLOCK, np.float32),
        heap_scores,
        heap_docs,
        result,
    )
    n = int(result[1])
    return Matches(int(result[0]), heap_scores[:n], heap_docs[:n])
