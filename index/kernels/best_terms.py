"""One call for the commonest search: the best documents of some terms of one text.

It finds the terms in every view (`lookup.py`), weighs them (BM25's idf over all live documents),
and lets `best_term`, `best_any` or `best_all` walk view after view.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from index.kernels.best_all import APART, TOGETHER, best_of_all
from index.kernels.best_any import best_of_any
from index.kernels.best_term import best_of_term
from index.kernels.counting import count_any
from index.kernels.heap import sort_hits
from index.kernels.lookup import ALIVE, N_DOCS, NORMS, SLACK, find_leaves
from index.kernels.rows import ROW_WIDTH

ANY, ALL, PHRASE = range(3)
"""How the terms combine."""

HOW, N_TERMS, LIMIT, STOP, TOTAL, N_HITS, BOOST, FIELD_DOCS, PART, TABLE, ENDS = range(11)
"""Columns of a question: how; the number of terms; how many matches to count at most, -1 = none;
address of an i64, not 0 = stop early; the answer, TOTAL (above LIMIT: at least that many) and
N_HITS; bits of the f64 boost. FIELD_DOCS .. TABLE are the field's: its live documents; bits of the
f64 part of BM25 that stands for frequency and length where it has no norms; address of f32[256]
(`bm25.length_table`), 0 = no norms. From ENDS on: where each term ends in the text; then, of a
phrase, where in it each term stands."""


@numba.njit("f8(i8, i8)", nogil=True, cache=True)
def idf(doc_freq, n_docs):
    """Return how much a term tells (`bm25.idf`)."""
    df = float(min(doc_freq, n_docs))
    return math.log(1.0 + (n_docs - df + 0.5) / (df + 0.5))


@numba.njit(
    "void(i8[:, ::1], u1[::1], i8[::1], f4[::1], i8[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def best_of_terms(fields, text, question, heap_scores, heap_docs):
    """Answer `question` about a field, described by one row a view (`lookup.py`).

    Fills: heap_scores, heap_docs (view << 32 | doc), best first, and the answer's columns.
    """
    k = len(heap_scores)
    n_views = len(fields)
    n_terms = question[N_TERMS]
    how = question[HOW]
    floats = question.view(np.float64)
    table = question[TABLE]
    stop = question[STOP]
    rows = np.zeros((n_views, n_terms, ROW_WIDTH), np.int64)
    weights = np.zeros(n_terms, np.float32)
    no_filters = np.zeros((0, ROW_WIDTH), np.int64)
    total = np.int64(0)
    phrase_weight = 0.0
    least = np.int64(1) << 62
    begin = np.int64(0)
    for term in range(n_terms):
        end = question[ENDS + term]
        live = find_leaves(fields, text, begin, end, rows[:, term])
        begin = end
        least = min(least, live)
        total = live
        weight = floats[BOOST] * idf(live, question[FIELD_DOCS]) if live > 0 else 0.0
        phrase_weight += weight
        if table == 0:
            weight *= floats[PART]
        weights[term] = np.float32(weight)
    limit = question[LIMIT]
    n_heap = np.int64(0)
    slacks = np.empty(n_terms, np.float32)
    norms = np.empty(n_terms, np.int64)
    tables = np.full(n_terms, table)
    counted = np.zeros(2, np.int64)
    counted[1] = limit
    if how != ANY:
        if how == PHRASE:
            weights[:] = np.float32(phrase_weight)
        for view in range(n_views if least > 0 else 0):
            field = fields[view]
            slacks[:] = np.float32(field.view(np.float64)[SLACK])
            norms[:] = field[NORMS]
            n_heap = best_of_all(
                rows[view], weights, slacks, norms, tables, no_filters,
                question[ENDS + n_terms : ENDS + 2 * n_terms],
                TOGETHER if how == PHRASE else APART, field[N_DOCS], field[ALIVE], view,
                heap_scores, heap_docs, n_heap, counted, stop,
            )  # fmt: skip
        total = counted[0]
    else:
        if n_terms > 1:
            total = 0
            for view in range(n_views if limit >= 0 else 0):
                field = fields[view]
                left = limit - total
                total += count_any(rows[view], no_filters, field[N_DOCS], field[ALIVE], left, stop)
        for view in range(n_views if k > 0 else 0):
            field = fields[view]
            slack = np.float32(field.view(np.float64)[SLACK])
            if n_terms == 1:
                n_heap = best_of_term(
                    rows[view, 0], weights[0], slack, field[NORMS], table, no_filters,
                    field[N_DOCS], field[ALIVE], view, heap_scores, heap_docs, n_heap, stop,
                )  # fmt: skip
                continue
            slacks[:] = slack
            norms[:] = field[NORMS]
            n_heap = best_of_any(
                rows[view], weights, slacks, norms, tables, no_filters, field[N_DOCS],
                field[ALIVE], view, heap_scores, heap_docs, n_heap, stop,
            )  # fmt: skip
    sort_hits(heap_scores, heap_docs, n_heap)
    question[TOTAL] = total
    question[N_HITS] = n_heap
