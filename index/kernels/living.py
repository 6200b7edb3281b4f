"""From the chains of a memtable to the postings of a segment: terms in order, living documents
numbered anew."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import prefetch
from index.kernels.chains import FIRST_SIZE, LAST_SIZE
from index.kernels.inner import inner

_SHORT = 8
"""Terms that are sorted by insertion."""
_AHEAD = 8
"""Terms ahead of which a chain's first block is fetched."""
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_LENGTH = np.uint64(0xFFFF)
_LOW = np.uint64(0xFFFFFFFF)


# --- order -----------------------------------------------------------------------------------
@inner("boolean(uint64[:, ::1], uint8[::1], int64, int64)")
def _is_before(records, blob, a, b):
    """Return whether term a comes before term b, which agree in their first 8 bytes."""
    begin_a = np.int64(records[a, 2] >> _U32)
    begin_b = np.int64(records[b, 2] >> _U32)
    length_a = np.int64((records[a, 2] >> _U16) & _LENGTH)
    length_b = np.int64((records[b, 2] >> _U16) & _LENGTH)
    for k in range(8, min(length_a, length_b)):
        if blob[begin_a + k] != blob[begin_b + k]:
            return blob[begin_a + k] < blob[begin_b + k]
    return length_a < length_b


@numba.njit("void(uint64[:, ::1], uint8[::1], uint64[::1], int64[::1])", nogil=True, cache=True)
def sort_ties(records, blob, heads, ids):
    """Put terms of one field, which are in the order of their first 8 bytes (`heads`), in order."""
    other = np.empty(0, np.int64)
    begin = 0
    for end in range(1, len(ids) + 1):
        if end < len(ids) and heads[end] == heads[begin]:
            continue
        n = end - begin
        if n > _SHORT and len(other) < n:
            other = np.empty(n, np.int64)
        # runs in order by insertion, then merged two by two
        for first in range(begin, end, _SHORT):
            for i in range(first + 1, min(first + _SHORT, end)):
                term = ids[i]
                at = i
                while at > first and _is_before(records, blob, term, ids[at - 1]):
                    ids[at] = ids[at - 1]
                    at -= 1
                ids[at] = term
        width = np.int64(_SHORT)
        while width < n:
            for first in range(begin, end, 2 * width):
                middle = min(first + width, end)
                last = min(first + 2 * width, end)
                for i in range(first, middle):
                    other[i - first] = ids[i]
                left = np.int64(0)
                right = middle
                at = first
                while left < middle - first:
                    if right < last and _is_before(records, blob, ids[right], other[left]):
                        ids[at] = ids[right]
                        right += 1
                    else:
                        ids[at] = other[left]
                        left += 1
                    at += 1
            width *= 2
        begin = end


# --- postings --------------------------------------------------------------------------------
@numba.njit(
    "void(uint64[:, ::1], uint32[::1], int64[::1], int64[::1], int64[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def count_living(chains, pool, terms, doc_map, n_postings, n_positions):
    """Count, for each of `terms`, its documents that have a new id (doc_map[doc] >= 0) and their
    positions. Documents from len(doc_map) on do not count."""
    for i in range(len(terms)):
        n_docs = 0
        n_entries = 0
        at = np.int64(chains[terms[i], 0] >> _U32)
        size = np.int64(FIRST_SIZE)
        link = at + size - 1
        is_alive = False
        while at != 0:
            if at == link:
                at = np.int64(pool[link])
                if at == 0:
                    break
                size = min(size * 2, np.int64(LAST_SIZE))
                link = at + size - 1
            entry = pool[at]
            if entry == np.uint32(0):
                break
            if entry & np.uint32(1):
                doc = np.int64(entry >> np.uint32(1))
                if doc >= len(doc_map):
                    break
                is_alive = doc_map[doc] >= 0
                n_docs += is_alive
            else:
                n_entries += is_alive
            at += 1
        n_postings[i] = n_docs
        n_positions[i] = n_entries


@numba.njit(
    "void(uint64[:, ::1], uint32[::1], int64[::1], int64[::1], uint32[::1], uint32[::1],"
    " uint32[::1])",
    nogil=True,
    cache=True,
)
def copy_living(chains, pool, terms, doc_map, docs, tfs, positions):
    """Write the postings that `count_living` counted, term after term, with their new doc ids.

    Requires: the outputs as long as the counts of `terms` add up to.
    """
    n = 0
    n_positions = 0
    for i in range(len(terms)):
        if i + 2 * _AHEAD < len(terms):
            prefetch(np.int64(chains.ctypes.data) + 32 * terms[i + 2 * _AHEAD])
        if i + _AHEAD < len(terms):
            head = np.int64(chains[terms[i + _AHEAD], 0] >> _U32)
            prefetch(np.int64(pool.ctypes.data) + 4 * head)
        at = np.int64(chains[terms[i], 0] >> _U32)
        size = np.int64(FIRST_SIZE)
        link = at + size - 1
        is_alive = False
        first = n
        while at != 0:
            if at == link:
                at = np.int64(pool[link])
                if at == 0:
                    break
                size = min(size * 2, np.int64(LAST_SIZE))
                link = at + size - 1
            entry = pool[at]
            if entry == np.uint32(0):
                break
            if entry & np.uint32(1):
                doc = np.int64(entry >> np.uint32(1))
                if doc >= len(doc_map):
                    break
                is_alive = doc_map[doc] >= 0
                if is_alive:
                    docs[n] = np.uint32(doc_map[doc])
                    tfs[n] = np.uint32(0)
                    n += 1
            elif is_alive:
                tfs[n - 1] += np.uint32(1)
                positions[n_positions] = (entry >> np.uint32(1)) - np.uint32(1)
                n_positions += 1
            at += 1
        for k in range(first, n):
            if tfs[k] == np.uint32(0):
                tfs[k] = np.uint32(1)


@numba.njit(
    "void(uint64[:, ::1], uint32[::1], int64[::1], uint32[::1], uint32[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def copy_all(chains, pool, terms, docs, tfs, positions):
    """Write the postings of `terms` as `copy_living` does, of all documents, under their own ids.

    Requires: the outputs as long as the chains' own counts add up to; nothing is appended.
    """
    n = np.int64(0)
    n_positions = np.int64(0)
    for i in range(len(terms)):
        if i + 2 * _AHEAD < len(terms):
            prefetch(np.int64(chains.ctypes.data) + 32 * terms[i + 2 * _AHEAD])
        if i + _AHEAD < len(terms):
            head = np.int64(chains[terms[i + _AHEAD], 0] >> _U32)
            prefetch(np.int64(pool.ctypes.data) + 4 * head)
        at = np.int64(chains[terms[i], 0] >> _U32)
        end = np.int64(chains[terms[i], 0] & _LOW)
        size = np.int64(FIRST_SIZE)
        while at != 0:
            link = at + size - 1
            stop = end if at <= end <= link else link
            while at < stop:
                entry = pool[at]
                at += 1
                if entry & np.uint32(1):
                    if n > 0:
                        tfs[n - 1] = max(tfs[n - 1], np.uint32(1))
                    docs[n] = entry >> np.uint32(1)
                    tfs[n] = np.uint32(0)
                    n += 1
                else:
                    tfs[n - 1] += np.uint32(1)
                    positions[n_positions] = (entry >> np.uint32(1)) - np.uint32(1)
                    n_positions += 1
            if stop == end:
                break
            at = np.int64(pool[link])
            size = min(size * 2, np.int64(LAST_SIZE))
    if n > 0:
        tfs[n - 1] = max(tfs[n - 1], np.uint32(1))
