"""The best documents of leaves that a plan has filled already, over all views in one call.

What best_terms.py is for the terms of one field, for any streams with any filters.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.best_all import APART, best_of_all
from index.kernels.best_any import best_of_any
from index.kernels.best_term import best_of_term
from index.kernels.counting import count_any
from index.kernels.heap import sort_hits
from index.kernels.operations import ALIVE, N_DOCS

ANY, ALL = range(2)
"""How the streams combine."""


@numba.njit(
    "void(i8, i8[:, :, ::1], i8[:, :, ::1], f4[::1], f4[:, ::1], i8[:, ::1], i8[::1], i8[:, ::1],"
    " i8, i8, f4[::1], i8[::1], i8[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def best_of_leaves(
    how, rows, filters, weights, slacks, norms, tables, views, limit, stop, heap_scores, heap_docs,
    result,
):  # fmt: skip
    """Fill the heap with the best documents, best first.

    Of view v and stream s: rows[v, s], slacks[v, s], norms[v, s]; of stream s: weights[s],
    tables[s] (`best_term.best_of_term`). filters[v]: see `filters.passes`. views: see
    `operations.py`. limit: count so many matches at most, -1: none. stop: address of an i64, not
    0 = end early. result: [matches counted, length of the heap].
    """
    k = len(heap_scores)
    n_heap = np.int64(0)
    total = np.zeros(2, np.int64)
    total[1] = limit
    no_offsets = np.zeros(rows.shape[1], np.int64)
    for view in range(len(views)):
        n_docs = views[view, N_DOCS]
        alive = views[view, ALIVE]
        if how == ALL:
            n_heap = best_of_all(
                rows[view], weights, slacks[view], norms[view], tables, filters[view], no_offsets,
                APART, n_docs, alive, view, heap_scores, heap_docs, n_heap, total, stop,
            )  # fmt: skip
            continue
        if total[0] <= limit:
            left = limit - total[0]
            total[0] += count_any(rows[view], filters[view], n_docs, alive, left, stop)
        if k == 0:
            continue
        if rows.shape[1] == 1:
            n_heap = best_of_term(
                rows[view, 0], weights[0], slacks[view, 0], norms[view, 0], tables[0],
                filters[view], n_docs, alive, view, heap_scores, heap_docs, n_heap, stop,
            )  # fmt: skip
        else:
            n_heap = best_of_any(
                rows[view], weights, slacks[view], norms[view], tables, filters[view], n_docs,
                alive, view, heap_scores, heap_docs, n_heap, stop,
            )  # fmt: skip
    sort_hits(heap_scores, heap_docs, n_heap)
    result[0] = total[0]
    result[1] = n_heap
