"""Find a term's postings in every view at once: the table that describes a field to kernels.

One row of int64 a view: what the view is, and where the dictionary and the postings of one field
lie in it. The owner of the memory is the view's reader.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.chains import CHAIN_WIDTH, HEAD, POOL, POOL_SIZE, count_documents
from index.kernels.counting import count_alive
from index.kernels.front_coding import TERMS_WIDTH
from index.kernels.inner import inner
from index.kernels.memory import i64_at, u32_at, u64_at
from index.kernels.postings import P_N_TERMS, P_RECORDS, POSTINGS_WIDTH, term_row
from index.kernels.rows import LIST, SINGLE_POSITION, SIZE
from index.kernels.term_table import (
    M_CHAINS,
    M_N_TERMS,
    TABLE_WIDTH,
    fill_table_leaf,
    find_table_term,
)
from index.kernels.terms import locate

_LONGEST = 0xFFFF
"""Bytes of a term that a memtable can have."""

FIELD_WIDTH = 16
KIND, N_DOCS, ALIVE, NORMS, SLACK, FIELD_NO = range(6)
"""Columns. ALIVE: address of the bitset of live documents, 0 = all live. NORMS: of the field's
norm bytes, 0 = it has none. SLACK: bits of an f64, see `postings.bound_of`."""
ABSENT, SEGMENT, MEMTABLE = range(3)
"""Kinds; ABSENT: no document has the field."""

TERMS, FIRST_BLOCK, N_TERMS, FIRST_TERM, POSTINGS = range(6, 11)
"""Columns of a SEGMENT: address of the row of its dictionary; the field's place in it
(`terms.FieldTerms`); address of the row of its postings."""
TABLE = 6
"""Column of a MEMTABLE: address of the row of its terms (term_table.py)."""


@inner("i8(i8[::1], u1[::1], i8, i8, i8[::1])")
def find_leaf(field, text, begin, end, row):
    """Fill the row of the term text[begin:end] of one view; return how many documents have it,
    dead ones included. No document: `row` stays as it is."""
    if field[KIND] == SEGMENT:
        terms = i64_at(field[TERMS], TERMS_WIDTH)
        found = locate(terms, field[FIRST_BLOCK], field[N_TERMS], text, begin, end)
        if found & 1 == 0:
            return np.int64(0)
        term = field[FIRST_TERM] + (found >> 1)
        postings = i64_at(field[POSTINGS], POSTINGS_WIDTH)
        if term >= postings[P_N_TERMS]:
            return np.int64(0)
        single = term_row(postings, term, row)
        if single < 0:
            return row[SIZE]
        if single & np.int64(0xFFFFFFFF) >= field[N_DOCS]:
            return np.int64(0)
        row[0] = LIST
        row[SIZE] = 1
        row[2] = postings[P_RECORDS] + 8 * term
        row[3] = 0
        row[SINGLE_POSITION] = single >> 32
        return np.int64(1)
    if field[KIND] == MEMTABLE:
        table = i64_at(field[TABLE], TABLE_WIDTH)
        if end - begin > _LONGEST:
            return np.int64(0)
        term = find_table_term(table, text, begin, end - begin, field[FIELD_NO])
        if term < 0:
            return np.int64(0)
        fill_table_leaf(table, term, row)
        n = row[SIZE]
        chains = u64_at(table[M_CHAINS], CHAIN_WIDTH * table[M_N_TERMS])
        if n > 0 and np.int64(chains[CHAIN_WIDTH * term + 2] >> np.uint64(32)) >= field[N_DOCS]:
            # Documents came after the reader; they are at the chain's end.
            pool = u32_at(row[POOL], row[POOL_SIZE])
            n = count_documents(pool, row[HEAD], field[N_DOCS])
            row[SIZE] = n
        return n
    return np.int64(0)


@numba.njit("i8(i8[:, ::1], u1[::1], i8, i8, i8[:, :])", nogil=True, cache=True)
def find_leaves(fields, text, begin, end, rows):
    """Fill the rows of a term in all views; return how many live documents have it.

    Requires: rows are zeros.
    """
    live = np.int64(0)
    row = np.zeros(rows.shape[1], np.int64)
    for view in range(len(fields)):
        field = fields[view]
        row[:] = 0
        n = find_leaf(field, text, begin, end, row)
        if n == 0:
            continue
        rows[view] = row
        if field[ALIVE] != 0:
            n = count_alive(row, u64_at(field[ALIVE], (field[N_DOCS] + 63) >> 6))
        live += n
    return live


@numba.njit("void(i8[:, ::1], u1[::1], i8[::1], i8[:, :, ::1], i8[::1])", nogil=True, cache=True)
def find_many_leaves(fields, text, ends, rows, live):
    """Fill rows[i] and live[i] as `find_leaves` does for the term text[ends[i - 1]:ends[i]]."""
    begin = np.int64(0)
    for i in range(len(ends)):
        live[i] = find_leaves(fields, text, begin, ends[i], rows[i])
        begin = ends[i]
