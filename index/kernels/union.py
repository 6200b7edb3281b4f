"""The documents of many terms of one reader at once: collected, counted, or the first of them.

The postings are named by a source, i64: its kind, and then of a segment the row of
postings.py; of a memtable the address of its chains (chains.py), their number and width, the
address of the pool, its length, and how many documents the reader has.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit, popcount
from index.kernels.chains import HEAD, N_DOCS, POOL, POOL_SIZE, fill_chain
from index.kernels.memory import u64_at
from index.kernels.postings import POSTINGS_WIDTH, fill_blocks, term_row
from index.kernels.rows import BLOCK, CURSOR_WIDTH, ROW_WIDTH, SIZE

SEGMENT = 0
MEMTABLE = 1
S_CHAINS, S_N_TERMS, S_WIDTH, S_POOL, S_POOL_SIZE, S_N_DOCS = range(1, 7)
SOURCE_WIDTH = POSTINGS_WIDTH + 1

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_LOW = np.int64(0xFFFFFFFF)
_U32 = np.uint64(32)
_FEWEST = 64


@numba.njit(inline="always")
def _open(source, term, row):
    """Return the only document of a term; or -1, and fill the row to walk its postings by."""
    if source[0] == SEGMENT:
        single = term_row(source[1:], term, row)
        return single & _LOW if single >= 0 else np.int64(-1)
    chains = u64_at(source[S_CHAINS], source[S_N_TERMS] * source[S_WIDTH])
    first = term * source[S_WIDTH]
    row[SIZE] = np.int64(chains[first + 2]) & _LOW
    row[POOL] = source[S_POOL]
    row[POOL_SIZE] = source[S_POOL_SIZE]
    row[HEAD] = np.int64(chains[first] >> _U32)
    row[N_DOCS] = source[S_N_DOCS]
    return np.int64(-1)


@numba.njit(inline="always")
def _fill(source, row, cursor, docs, tfs):
    if source[0] == SEGMENT:
        return fill_blocks(row, cursor, docs, tfs)
    return fill_chain(row, cursor, docs, tfs)


@numba.njit("void(int64[::1], int64[::1], int64, uint64[::1])", nogil=True, cache=True)
def unite(source, terms, end, words):
    """Set in the bitset `words` the documents below `end` that have any of the terms.

    Requires: terms of the reader, end <= 64 * len(words).
    """
    row = np.zeros(ROW_WIDTH, np.int64)
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    docs = np.empty(BLOCK, np.uint32)
    tfs = np.empty(BLOCK, np.uint32)
    for i in range(len(terms)):
        single = _open(source, terms[i], row)
        if single >= 0:
            if single < end:
                words[single >> 6] |= _ONE << np.uint64(single & 63)
            continue
        cursor[:] = 0
        while True:
            n = _fill(source, row, cursor, docs, tfs)
            if n == 0:
                break
            for k in range(n):
                doc = np.int64(docs[k])
                if doc < end:
                    words[doc >> 6] |= _ONE << np.uint64(doc & 63)
            if np.int64(docs[n - 1]) >= end:
                break


@numba.njit("int64(int64[::1], int64[::1])", nogil=True, cache=True)
def sum_doc_freqs(source, terms):
    """Return how many postings the terms have together, those of dead documents too."""
    row = np.zeros(ROW_WIDTH, np.int64)
    total = np.int64(0)
    for i in range(len(terms)):
        total += np.int64(1) if _open(source, terms[i], row) >= 0 else row[SIZE]
    return total


@numba.njit(
    "int64(int64[::1], int64[::1], int64, boolean, uint64[::1], int64, uint64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def first_living(source, terms, n_docs, has_dead, alive, limit, words, out):
    """Write the first len(out) living documents that have any of the terms, rising; return how
    many there are, once these are `limit` not counting on. Requires: limit >= len(out).

    `words` is room for a bitset of the reader's documents, zeros. It looks at ever more documents
    from the first one on, at first at as many as should have enough matches if these are spread
    evenly.
    """
    end = n_docs
    if limit < n_docs:
        n_postings = max(sum_doc_freqs(source, terms), np.int64(1))
        end = np.int64(_FEWEST) + 2 * limit * n_docs // n_postings
    while True:
        end = min(end, n_docs)
        unite(source, terms, end, words)
        n = np.int64(0)
        for w in range((end + 63) >> 6):
            word = words[w]
            if has_dead:
                word &= alive[w]
                words[w] = word
            n += popcount(word)
        if n >= limit or end == n_docs:
            break
        end *= 8
    k = 0
    w = 0
    while k < len(out) and w < len(words):
        word = words[w]
        while word != _ZERO and k < len(out):
            out[k] = np.uint32(w * 64 + lowest_bit(word))
            word &= word - _ONE
            k += 1
        w += 1
    return n
