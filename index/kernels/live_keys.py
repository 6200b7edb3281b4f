"""From a key to its newest document in a memtable, while documents are being added.

A slot is u64: upper half of the key's hash << 32 | doc id; all ones = empty. There are a power
of two of them, at most half full; a key's first slot is given by the lower half of its hash.
`older` has, for each document, the one that had its key before (-1: none), so that a reader of
fewer documents finds its own.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import fence, load_word, prefetch

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
PADDING = 8
"""Bytes that follow keys which are hashed."""

_AHEAD = 32
"""Keys ahead of which a slot is fetched."""
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_U29 = np.uint64(29)
_U32 = np.uint64(32)
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)


@numba.njit("void(uint8[::1], int64[::1], uint64[::1])", nogil=True, cache=True)
def hash_live_keys(blob, starts, out):
    """Write a 64-bit hash of each key blob[starts[i]:starts[i + 1]].

    Requires: PADDING bytes of `blob` after the last.
    """
    for i in range(len(starts) - 1):
        start = starts[i]
        end = starts[i + 1]
        h = np.uint64(end - start) * _C2
        at = start
        while at < end:
            left = min(end - at, 8)
            word = load_word(np.int64(blob.ctypes.data + at))
            word &= EMPTY >> np.uint64(64 - 8 * left)
            h = (h ^ word) * _C1
            h ^= h >> _U29
            at += 8
        h *= _C2
        out[i] = h ^ (h >> _U32)


@numba.njit(inline="always")
def _same(a, start, end, b, other, other_end):
    if end - start != other_end - other:
        return False
    for i in range(end - start):  # noqa: SIM110  (numba knows no any())
        if a[start + i] != b[other + i]:
            return False
    return True


@numba.njit(
    "void(uint8[::1], int64[::1], uint64[::1], int64, int64, uint64[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def add_live_keys(blob, starts, hashes, first, n_docs, slots, older):
    """Enter documents first .. n_docs - 1. Requires: more slots than documents, a power of two;
    `hashes` and `older` at least as long as there are documents."""
    mask = np.uint64(len(slots) - 1)
    for doc in range(first, n_docs):
        if doc + _AHEAD < n_docs:
            prefetch(np.int64(slots.ctypes.data) + 8 * np.int64(hashes[doc + _AHEAD] & mask))
        upper = hashes[doc] & ~_LOW
        at = hashes[doc] & mask
        before = np.int64(-1)
        while slots[at] != EMPTY:
            if slots[at] & ~_LOW == upper:
                other = np.int64(slots[at] & _LOW)
                if _same(
                    blob, starts[doc], starts[doc + 1], blob, starts[other], starts[other + 1]
                ):
                    before = other
                    break
            at = (at + _ONE) & mask
        older[doc] = before
        # A reader that finds the document must find the one before it.
        fence()
        slots[at] = upper | np.uint64(doc)


@numba.njit("void(uint64[::1], uint64[::1], uint64[::1])", nogil=True, cache=True)
def move_slots(slots, hashes, out):
    """Enter the documents of `slots` into `out`, which is EMPTY and larger."""
    mask = np.uint64(len(out) - 1)
    for place in range(len(slots)):
        if slots[place] != EMPTY:
            at = hashes[np.int64(slots[place] & _LOW)] & mask
            while out[at] != EMPTY:
                at = (at + _ONE) & mask
            out[at] = slots[place]


@numba.njit(
    "void(uint64[::1], uint8[::1], int64[::1], int64[::1], int64, uint8[::1], int64[::1],"
    " uint64[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def find_live_keys(slots, keys, key_starts, older, n_docs, blob, starts, hashes, out):
    """Write the newest document below `n_docs` of each key blob[starts[i]:starts[i + 1]], or -1.

    The slots may hold documents from n_docs on, whose keys may lie beyond `keys`; all of them
    are below len(older).
    """
    mask = np.uint64(len(slots) - 1)
    for i in range(len(out)):
        out[i] = -1
        if i + _AHEAD < len(out):
            prefetch(np.int64(slots.ctypes.data) + 8 * np.int64(hashes[i + _AHEAD] & mask))
        upper = hashes[i] & ~_LOW
        at = hashes[i] & mask
        while slots[at] != EMPTY:
            slot = slots[at]
            if slot & ~_LOW == upper:
                doc = np.int64(slot & _LOW)
                while doc >= n_docs:
                    doc = older[doc]
                if doc >= 0 and _same(
                    blob, starts[i], starts[i + 1], keys, key_starts[doc], key_starts[doc + 1]
                ):
                    out[i] = doc
                    break
            at = (at + _ONE) & mask
