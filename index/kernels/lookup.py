"""Find a term's postings in every view at once: the table that describes a field to kernels.

One row of int64 a view: what the view is, and where the dictionary and the postings of one field
lie in it. The owner of the memory is the view's reader.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from index.kernels.chains import HEAD, POOL, POOL_SIZE, count_documents
from index.kernels.chains import N_DOCS as CHAIN_N_DOCS
from index.kernels.counting import count_alive
from index.kernels.memory import i64_at, u8_at, u32_at, u64_at
from index.kernels.postings import P_N_TERMS, P_RECORDS, POSTINGS_WIDTH, term_row
from index.kernels.rows import CHAIN, LIST, SINGLE_POSITION, SIZE
from index.kernels.terms import TERMS_WIDTH, locate
from index.kernels.vocabulary import find_spelling

FIELD_WIDTH = 16
KIND, N_DOCS, ALIVE, NORMS, SLACK, FIELD_NO = range(6)
"""Columns. ALIVE: address of the bitset of live documents, 0 = all live. NORMS: of the field's
norm bytes, 0 = it has none. SLACK: bits of an f64, see `postings.bound_of`."""
ABSENT, SEGMENT, MEMTABLE = range(3)
"""Kinds; ABSENT: no document has the field."""

TERMS, FIRST_BLOCK, N_TERMS, FIRST_TERM, POSTINGS = range(6, 11)
"""Columns of a SEGMENT: address of the row of its dictionary; the field's place in it
(`terms.FieldTerms`); address of the row of its postings."""
SLOTS, N_SLOTS, RECORDS, N_SPELLINGS, BLOB, BLOB_SIZE, CHAINS, CHAIN_POOL, CHAIN_POOL_SIZE = range(
    6, 15
)
"""Columns of a MEMTABLE: its vocabulary (N_SPELLINGS: terms that the reader knows), its chains."""

PADDING = 16
"""Bytes of zeros after the text of the terms, so that words of it can be loaded unaligned."""

TEXT = types.Bytes(types.uint8, 1, "C")


@numba.njit(
    types.int64(types.int64[::1], TEXT, types.int64, types.int64, types.int64[::1]),
    nogil=True,
    cache=True,
)
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
        term = find_spelling(
            text, begin, end - begin, field[FIELD_NO], u64_at(field[SLOTS], field[N_SLOTS]),
            u64_at(field[RECORDS], 4 * field[N_SPELLINGS]).reshape((field[N_SPELLINGS], 4)),
            u8_at(field[BLOB], field[BLOB_SIZE]), field[N_SPELLINGS],
        )  # fmt: skip
        if term < 0:
            return np.int64(0)
        chain = u64_at(field[CHAINS], 3 * field[N_SPELLINGS])[3 * term : 3 * term + 3]
        state = chain[2]
        head = np.int64(chain[0] >> np.uint64(32))
        n = np.int64(state & np.uint64(0xFFFFFFFF))
        if head == 0 or n == 0:
            return np.int64(0)
        row[0] = CHAIN
        row[SIZE] = n
        row[POOL] = field[CHAIN_POOL]
        row[POOL_SIZE] = field[CHAIN_POOL_SIZE]
        row[HEAD] = head
        row[CHAIN_N_DOCS] = field[N_DOCS]
        if np.int64(state >> np.uint64(32)) >= field[N_DOCS]:
            # Documents came after the reader; they are at the chain's end.
            pool = u32_at(field[CHAIN_POOL], field[CHAIN_POOL_SIZE])
            n = count_documents(pool, head, field[N_DOCS])
            row[SIZE] = n
        return n
    return np.int64(0)


@numba.njit(
    types.int64(types.int64[:, ::1], TEXT, types.int64, types.int64, types.int64[:, :]),
    nogil=True,
    cache=True,
)
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
