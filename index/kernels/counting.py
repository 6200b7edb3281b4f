"""Count and collect the documents of leaves, without scores."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.leaves import fill
from index.kernels.rows import BLOCK, CURSOR_WIDTH

_ONE = np.uint64(1)


@numba.njit("i8(i8[::1], u8[::1])", nogil=True, cache=True)
def count_alive(row, alive):
    """Return how many postings of a stream have their bit set in `alive`."""
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    docs = np.empty(BLOCK, np.uint32)
    tfs = np.empty(BLOCK, np.uint32)
    n_alive = len(alive) * 64
    total = 0
    while True:
        n = fill(row, cursor, docs, tfs)
        if n == 0:
            return total
        for i in range(n):
            doc = np.int64(docs[i])
            if doc < n_alive:
                total += np.int64((alive[doc >> 6] >> np.uint64(doc & 63)) & _ONE)


@numba.njit("void(i8[:,::1], u8[::1])", nogil=True, cache=True)
def unite(rows, words):
    """Set in the bitset `words` the documents of every stream; those past it are left out."""
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    docs = np.empty(BLOCK, np.uint32)
    tfs = np.empty(BLOCK, np.uint32)
    for leaf in range(len(rows)):
        cursor[:] = 0
        while True:
            n = fill(rows[leaf], cursor, docs, tfs)
            if n == 0:
                break
            for i in range(n):
                doc = np.int64(docs[i])
                if doc >> 6 < len(words):
                    words[doc >> 6] |= _ONE << np.uint64(doc & 63)
