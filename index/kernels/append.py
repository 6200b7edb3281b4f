"""Growing the chains of a memtable (chains.py): postings are added at their ends."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import prefetch
from index.kernels.chains import FIRST_SIZE, LAST_SIZE

AHEAD = 16
"""Entries ahead of which a term's chain is fetched; the block it will write to at half of it."""

_LOW = np.uint64(0xFFFFFFFF)
_U32 = np.uint64(32)
_ONE = np.uint64(1)


@numba.njit(inline="always")
def _add_entry(pool, write, link, size, n_pool, entry):
    """Write one entry. Return the chain's (next write, link, size) and the pool's use."""
    if write == link:
        size = min(size * 2, np.int64(LAST_SIZE))
        pool[link] = np.uint32(n_pool)
        write = n_pool
        link = n_pool + size - 1
        n_pool += size
    pool[write] = entry
    return write + 1, link, size, n_pool


@numba.njit(inline="always")
def _fetch(i, n, terms, chains, pool):
    """Fetch what the next entries will touch: cache misses overlap instead of adding up."""
    if i + AHEAD < n and terms[i + AHEAD] >= 0:
        prefetch(np.int64(chains.ctypes.data) + np.int64(terms[i + AHEAD]) * 32)


@numba.njit(
    "int64(uint32[:, ::1], int64, int64, int32[::1], uint32[::1], uint64[:, ::1],"
    " uint32[::1], int64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def append_positions(tokens, first, n, terms, text_docs, chains, pool, counts, text_lengths):
    """Append tokens first .. n - 1 (text and position: columns 2 and 3) to the chains of `terms`,
    and count them in `text_lengths`; a token of term -1 is passed over.

    Returns the first token not done, because fewer than LAST_SIZE words of `pool` (used:
    counts[0]) are left; n when all are done.

    Requires: the documents of a term never fall, from call to call, nor within a document its
    positions; terms below len(chains).
    """
    n_pool = counts[0]
    for i in range(first, n):
        _fetch(i, n, terms, chains, pool)
        term = np.int64(terms[i])
        if term < 0:
            continue
        if n_pool + LAST_SIZE > len(pool):
            counts[0] = n_pool
            return np.int64(i)
        text = tokens[i, 2]
        doc = np.int64(text_docs[text])
        text_lengths[text] += np.uint32(1)
        head = np.int64(chains[term, 0] >> _U32)
        write = np.int64(chains[term, 0] & _LOW)
        link = np.int64(chains[term, 1] >> _U32)
        size = np.int64(chains[term, 1] & _LOW)
        df = np.int64(chains[term, 2] & _LOW)
        is_new = df == 0 or np.int64(chains[term, 2] >> _U32) != doc
        if head == 0:
            head = n_pool
            write = n_pool
            size = np.int64(FIRST_SIZE)
            link = n_pool + size - 1
            n_pool += size
        if is_new:
            entry = np.uint32((doc << 1) | 1)
            write, link, size, n_pool = _add_entry(pool, write, link, size, n_pool, entry)
        entry = np.uint32((np.int64(tokens[i, 3]) + 1) << 1)
        write, link, size, n_pool = _add_entry(pool, write, link, size, n_pool, entry)
        chains[term, 0] = (np.uint64(head) << _U32) | np.uint64(write)
        chains[term, 1] = (np.uint64(link) << _U32) | np.uint64(size)
        chains[term, 3] += _ONE
        if is_new:
            chains[term, 2] = (np.uint64(doc) << _U32) | np.uint64(df + 1)
    counts[0] = n_pool
    return n


@numba.njit(
    "int64(int64, int64, int32[::1], uint32[::1], uint64[:, ::1], uint32[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def append_documents(first, n, terms, docs, chains, pool, counts):
    """Append document docs[i] to the chain of terms[i], i = first .. n - 1, once each.

    Returns as `append_positions` does, and requires the same.
    """
    n_pool = counts[0]
    for i in range(first, n):
        _fetch(i, n, terms, chains, pool)
        if n_pool + LAST_SIZE > len(pool):
            counts[0] = n_pool
            return np.int64(i)
        term = np.int64(terms[i])
        doc = np.int64(docs[i])
        df = np.int64(chains[term, 2] & _LOW)
        if df > 0 and np.int64(chains[term, 2] >> _U32) == doc:
            continue
        head = np.int64(chains[term, 0] >> _U32)
        write = np.int64(chains[term, 0] & _LOW)
        link = np.int64(chains[term, 1] >> _U32)
        size = np.int64(chains[term, 1] & _LOW)
        if head == 0:
            head = n_pool
            write = n_pool
            size = np.int64(FIRST_SIZE)
            link = n_pool + size - 1
            n_pool += size
        entry = np.uint32((doc << 1) | 1)
        write, link, size, n_pool = _add_entry(pool, write, link, size, n_pool, entry)
        chains[term, 0] = (np.uint64(head) << _U32) | np.uint64(write)
        chains[term, 1] = (np.uint64(link) << _U32) | np.uint64(size)
        chains[term, 2] = (np.uint64(doc) << _U32) | np.uint64(df + 1)
    counts[0] = n_pool
    return n


@numba.njit("void(uint64[::1], uint32[::1])", nogil=True, cache=True)
def set_bits(words, docs):
    """Set the bits of `docs`. Requires: all of them below 64 * len(words)."""
    for i in range(len(docs)):
        words[docs[i] >> np.uint32(6)] |= np.uint64(1) << np.uint64(docs[i] & np.uint32(63))
