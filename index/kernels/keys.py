"""From a document's key to its newest doc id: a hash table of open addressing.

A slot is u32: some bits of the key's hash above a doc id, which takes as many bits as the
number of documents does; all ones = empty. A key's first slot is upper half of its hash *
slots >> 32. Keys lie one after the other, their starts are packed (packed.py).

Keys are looked up in groups: what one lookup waits for in memory, the others of its group
wait for at the same time.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word, prefetch
from index.kernels.memory import u8_at, u32_at
from index.kernels.packed import N_ADDRESS, N_COUNT, N_SIZE, PACKED_WIDTH, read_number

K_SLOTS, K_N_SLOTS, K_BLOB, K_SIZE, K_STARTS, K_STARTS_SIZE, K_N_DOCS = range(7)
KEYS_WIDTH = 7

EMPTY = np.uint32(0xFFFFFFFF)
GROUP = 32
_U29 = np.uint64(29)
_U32 = np.uint64(32)
_U8 = np.uint64(8)
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)


@numba.njit(inline="always")
def _hash(blob, start, end):
    """Return a 64-bit hash of blob[start:end], eight little-endian bytes at a time."""
    h = np.uint64(end - start) * _C2
    address = blob.ctypes.data
    at = start
    while at < end:
        if at + 8 <= len(blob):
            word = load_word(np.int64(address + at))
            if at + 8 > end:
                word &= (np.uint64(1) << np.uint64(8 * (end - at))) - np.uint64(1)
        else:
            word = np.uint64(0)
            for i in range(end - 1, at - 1, -1):
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


@numba.njit(inline="always")
def _doc_bits(n_docs):
    """Return how many bits a doc id has; all ones is never one."""
    bits = np.int64(0)
    while n_docs >> bits:
        bits += 1
    return bits


@numba.njit(inline="always")
def _first_slot(h, n_slots):
    return np.int64(((h >> _U32) * np.uint64(n_slots)) >> _U32)


@numba.njit("void(uint8[::1], int64[::1], uint32[::1])", nogil=True, cache=True)
def build_keys(blob, starts, slots):
    """Fill `slots` with the documents blob[starts[d]:starts[d + 1]]; of equal keys the last wins.

    Requires: slots all EMPTY, more than documents, fewer than 2**32; documents below 2**32 - 1.
    """
    n_docs = len(starts) - 1
    n_slots = len(slots)
    doc_bits = _doc_bits(n_docs)
    of_doc = np.uint32((np.uint64(1) << np.uint64(doc_bits)) - np.uint64(1))
    firsts = np.empty(GROUP, np.int64)
    tags = np.empty(GROUP, np.uint32)
    for group in range(0, n_docs, GROUP):
        n = min(GROUP, n_docs - group)
        for k in range(n):
            h = _hash(blob, starts[group + k], starts[group + k + 1])
            firsts[k] = _first_slot(h, n_slots)
            tags[k] = np.uint32((h << np.uint64(doc_bits)) & np.uint64(0xFFFFFFFF))
            prefetch(np.int64(slots.ctypes.data + 4 * firsts[k]))
        for k in range(n):
            doc = group + k
            at = firsts[k]
            while slots[at] != EMPTY:
                if (slots[at] & ~of_doc) == tags[k]:
                    other = np.int64(slots[at] & of_doc)
                    if _same(
                        blob, starts[doc], starts[doc + 1], blob, starts[other], starts[other + 1]
                    ):
                        break
                at += 1
                if at == n_slots:
                    at = 0
            slots[at] = tags[k] | np.uint32(doc)


@numba.njit("void(int64[::1], uint8[::1], int64[::1], int64[::1])", nogil=True, cache=True)
def find_keys(row, blob, starts, out):
    """Write the newest doc id of each key blob[starts[i]:starts[i + 1]], or -1."""
    n_slots = row[K_N_SLOTS]
    n_docs = row[K_N_DOCS]
    out[:] = -1
    if n_slots <= n_docs:
        return
    slots = u32_at(row[K_SLOTS], n_slots)
    keys = u8_at(row[K_BLOB], row[K_SIZE])
    key_starts = np.zeros(PACKED_WIDTH, np.int64)
    key_starts[N_ADDRESS] = row[K_STARTS]
    key_starts[N_SIZE] = row[K_STARTS_SIZE]
    key_starts[N_COUNT] = n_docs + 1
    doc_bits = _doc_bits(n_docs)
    of_doc = np.uint32((np.uint64(1) << np.uint64(doc_bits)) - np.uint64(1))
    places = np.empty(GROUP, np.int64)
    tags = np.empty(GROUP, np.uint32)
    begins = np.empty(GROUP, np.int64)
    ends = np.empty(GROUP, np.int64)
    for group in range(0, len(out), GROUP):
        n = min(GROUP, len(out) - group)
        for k in range(n):
            h = _hash(blob, starts[group + k], starts[group + k + 1])
            places[k] = _first_slot(h, n_slots)
            tags[k] = np.uint32((h << np.uint64(doc_bits)) & np.uint64(0xFFFFFFFF))
            prefetch(np.int64(row[K_SLOTS] + 4 * places[k]))
        # the first slot that may be the key's
        for k in range(n):
            at = places[k]
            for _ in range(n_slots):
                if slots[at] == EMPTY or (slots[at] & ~of_doc) == tags[k]:
                    break
                at += 1
                if at == n_slots:
                    at = 0
            places[k] = at
        for k in range(n):
            doc = np.int64(slots[places[k]] & of_doc)
            begins[k] = 0
            ends[k] = -1
            if slots[places[k]] != EMPTY and doc < n_docs:
                begins[k] = read_number(key_starts, doc)
                ends[k] = read_number(key_starts, doc + 1)
                prefetch(np.int64(row[K_BLOB] + begins[k]))
        for k in range(n):
            start, end = starts[group + k], starts[group + k + 1]
            at = places[k]
            begin, stop = begins[k], ends[k]
            for _ in range(n_slots):
                if begin < 0 or stop < begin or stop > row[K_SIZE]:
                    break
                if _same(blob, start, end, keys, begin, stop):
                    out[group + k] = np.int64(slots[at] & of_doc)
                    break
                # another key: on to the next slot that may be this one's
                stop = np.int64(-1)
                for _ in range(n_slots):
                    at += 1
                    if at == n_slots:
                        at = 0
                    if slots[at] == EMPTY:
                        break
                    if (slots[at] & ~of_doc) == tags[k]:
                        doc = np.int64(slots[at] & of_doc)
                        if doc < n_docs:
                            begin = read_number(key_starts, doc)
                            stop = read_number(key_starts, doc + 1)
                        break
