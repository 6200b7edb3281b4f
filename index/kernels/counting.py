"""Count and collect the documents of leaves, without scores."""

from __future__ import annotations

import numpy as np

from index.kernels.bits import lowest_bit, popcount
from index.kernels.filters import passes
from index.kernels.inner import inner
from index.kernels.leaves import fill, lower_bound
from index.kernels.memory import i64_at, u64_at
from index.kernels.rows import BLOCK, CURSOR_WIDTH

_ONE = np.uint64(1)
_WINDOW = 1 << 16
"""Documents counted together: their bitset stays in the first-level cache."""


@inner("i8(i8[::1], u8[::1])")
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


@inner("i8(i8[:, ::1], i8[:, ::1], i8, i8, i8, i8)")
def count_any(rows, filters, n_docs, alive_address, limit, stop_address):
    """Return how many live documents of a view have any of the streams and pass the filters; more
    than `limit`: any number above it."""
    alive = u64_at(alive_address, (n_docs + 63) >> 6 if alive_address else 0)
    stop = i64_at(stop_address, 1)
    n_rows = len(rows)
    cursors = np.zeros((n_rows, CURSOR_WIDTH), np.int64)
    docs = np.empty((n_rows, BLOCK), np.uint32)
    tfs = np.empty(BLOCK, np.uint32)
    sizes = np.zeros(n_rows, np.int64)
    places = np.zeros(n_rows, np.int64)
    words = np.zeros(_WINDOW // 64, np.uint64)
    total = 0
    for base in range(0, n_docs, _WINDOW):
        if stop[0] != 0 or total > limit:
            break
        high = min(base + _WINDOW, n_docs)
        is_empty = True
        for leaf in range(n_rows):
            if rows[leaf, 1] <= 0:
                continue
            while sizes[leaf] >= 0:
                if places[leaf] == sizes[leaf]:
                    n = fill(rows[leaf], cursors[leaf], docs[leaf], tfs)
                    sizes[leaf] = n if n > 0 else -1
                    places[leaf] = 0
                    if n == 0:
                        break
                i = places[leaf]
                n = sizes[leaf]
                end = n
                if np.int64(docs[leaf, n - 1]) >= high:
                    end = lower_bound(docs[leaf], i, n - 1, high)
                for at in range(i, end):
                    doc = np.int64(docs[leaf, at]) - base
                    words[doc >> 6] |= _ONE << np.uint64(doc & 63)
                if end > i:
                    is_empty = False
                places[leaf] = end
                if end < n:
                    break
        if is_empty:
            continue
        for word in range((high - base + 63) >> 6):
            bits = words[word]
            words[word] = np.uint64(0)
            if alive_address:
                bits &= alive[(base >> 6) + word]
            if len(filters) == 0:
                total += popcount(bits)
                continue
            while bits != np.uint64(0):
                doc = base + word * 64 + lowest_bit(bits)
                bits &= bits - _ONE
                total += np.int64(passes(filters, doc))
    return total
