"""From the chains of a memtable to the postings of a segment: living documents, numbered anew."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.chains import FIRST_SIZE, LAST_SIZE

_U32 = np.uint64(32)


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
