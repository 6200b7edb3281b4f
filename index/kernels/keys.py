"""From a document's key to its newest doc id: a hash table of open addressing.

A slot is u64: upper half of the key's hash << 32 | doc id; all ones = empty. There are a power
of two of them, at most 3/4 full; a key's first slot is given by the lower half of its hash.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.memory import i64_at, u8_at, u64_at

K_SLOTS, K_N_SLOTS, K_BLOB, K_SIZE, K_STARTS, K_N_DOCS = range(6)
KEYS_WIDTH = 6

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW = np.uint64(0xFFFFFFFF)
_U29 = np.uint64(29)
_U32 = np.uint64(32)
_U8 = np.uint64(8)
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)


@numba.njit(inline="always")
def _hash(blob, start, end):
    """Return a 64-bit hash of blob[start:end], eight little-endian bytes at a time."""
    h = np.uint64(end - start) * _C2
    at = start
    while at < end:
        word = np.uint64(0)
        stop = min(at + 8, end)
        for i in range(stop - 1, at - 1, -1):
            word = (word << _U8) | np.uint64(blob[i])
        h = (h ^ word) * _C1
        h ^= h >> _U29
        at += 8
    h *= _C2
    return h ^ (h >> _U32)


@numba.njit(inline="always")
def _same(a, start, end, b, other, other_end):
    if end - start != other_end - other:
        return False
    for i in range(end - start):  # noqa: SIM110  (numba knows no any())
        if a[start + i] != b[other + i]:
            return False
    return True


@numba.njit("void(uint8[::1], int64[::1], uint64[::1])", nogil=True, cache=True)
def build_keys(blob, starts, slots):
    """Fill `slots` with the documents blob[starts[d]:starts[d + 1]]; of equal keys the last wins.

    Requires: slots all EMPTY, a power of two of them, more than documents.
    """
    mask = np.uint64(len(slots) - 1)
    for doc in range(len(starts) - 1):
        h = _hash(blob, starts[doc], starts[doc + 1])
        upper = h & ~_LOW
        at = h & mask
        while slots[at] != EMPTY:
            if slots[at] & ~_LOW == upper:
                other = np.int64(slots[at] & _LOW)
                if _same(
                    blob, starts[doc], starts[doc + 1], blob, starts[other], starts[other + 1]
                ):
                    break
            at = (at + np.uint64(1)) & mask
        slots[at] = upper | np.uint64(doc)


@numba.njit("void(int64[::1], uint8[::1], int64[::1], int64[::1])", nogil=True, cache=True)
def find_keys(row, blob, starts, out):
    """Write the newest doc id of each key blob[starts[i]:starts[i + 1]], or -1."""
    n_slots = row[K_N_SLOTS]
    n_docs = row[K_N_DOCS]
    slots = u64_at(row[K_SLOTS], n_slots)
    keys = u8_at(row[K_BLOB], row[K_SIZE])
    key_starts = i64_at(row[K_STARTS], n_docs + 1)
    mask = np.uint64(n_slots - 1)
    for i in range(len(out)):
        out[i] = -1
        h = _hash(blob, starts[i], starts[i + 1])
        upper = h & ~_LOW
        at = h & mask
        for _ in range(n_slots):
            slot = slots[at]
            if slot == EMPTY:
                break
            if slot & ~_LOW == upper:
                doc = np.int64(slot & _LOW)
                if doc >= n_docs:
                    break
                start, end = key_starts[doc], key_starts[doc + 1]
                if start < 0 or end < start or end > row[K_SIZE]:
                    break
                if _same(blob, starts[i], starts[i + 1], keys, start, end):
                    out[i] = doc
                    break
            at = (at + np.uint64(1)) & mask
