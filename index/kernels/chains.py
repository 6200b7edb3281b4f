"""Postings of a memtable: for each term a chain of blocks of u32 entries in one pool.

An entry is a document (doc id << 1 | 1) or, after it, a position in it ((position + 1) << 1);
0 is an entry not written yet. A keyword has documents only, and its frequency is 1. A chain's
blocks have 4, 8, 16 .. 256, 256 .. words; the last word of a block is the index of the next
block, 0 while there is none. Word 0 of the pool belongs to no block.

  chains  u64[c, 4]   of each term: first block << 32 | next entry to write;
                      word of the last block's link << 32 | its size;
                      last document << 32 | number of documents (one word: read at once);
                      number of positions

They are appended to in append.py, walked here and copied into a segment in living.py. The writer
only adds. A reader of fewer documents stops at the first one it does not know, and
may walk a chain while a batch goes in.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.inner import inner
from index.kernels.memory import u32_at

CHAIN_WIDTH = 4
FIRST_SIZE = 4
LAST_SIZE = 256

POOL = 2
"""Column of a CHAIN row: address of the pool."""
POOL_SIZE = 3
HEAD = 4
"""Column: first block; 0 = no postings."""
N_DOCS = 5
"""Column: documents that the reader knows."""

_BLOCK = 128

# A cursor is (next entry, the block's link, the block's size); next entry 0 = not begun,
# -1 = exhausted. Between calls it rests on a document's entry.


@inner("int64(int64[::1], int64[::1], uint32[::1], uint32[::1])")
def fill_chain(row, cursor, docs, tfs):
    """Write the next at most 128 postings; return how many, 0 when exhausted.

    Requires: len(docs) and len(tfs) >= 128; `row` as `chain_row` describes it.
    """
    at = cursor[0]
    if at < 0 or row[HEAD] == 0:
        return np.int64(0)
    pool = u32_at(row[POOL], row[POOL_SIZE])
    link = cursor[1]
    size = cursor[2]
    if at == 0:
        at = row[HEAD]
        size = np.int64(FIRST_SIZE)
        link = at + size - 1
    n = 0
    tf = np.uint32(0)
    while True:
        if at == link:
            at = np.int64(pool[link])
            if at == 0:
                cursor[0] = -1
                break
            size = min(size * 2, np.int64(LAST_SIZE))
            link = at + size - 1
        entry = pool[at]
        if entry & np.uint32(1):
            doc = np.int64(entry >> np.uint32(1))
            if doc >= row[N_DOCS]:
                cursor[0] = -1
                break
            if n == _BLOCK:
                cursor[0] = at
                cursor[1] = link
                cursor[2] = size
                break
            if n > 0:
                tfs[n - 1] = max(tf, np.uint32(1))
            docs[n] = np.uint32(doc)
            tf = np.uint32(0)
            n += 1
        elif entry == np.uint32(0):
            cursor[0] = -1
            break
        else:
            tf += np.uint32(1)
        at += 1
    if n > 0:
        tfs[n - 1] = max(tf, np.uint32(1))
    return np.int64(n)


@inner("void(int64[::1], int64[::1], int64)")
def seek_chain(row, cursor, target):
    """Move to the last block whose first document is <= `target`, if that is further on."""
    if cursor[0] < 0 or row[HEAD] == 0:
        return
    pool = u32_at(row[POOL], row[POOL_SIZE])
    if cursor[0] == 0:
        cursor[0] = row[HEAD]
        cursor[1] = row[HEAD] + FIRST_SIZE - 1
        cursor[2] = FIRST_SIZE
    link = cursor[1]
    size = cursor[2]
    while True:
        block = np.int64(pool[link])
        if block == 0:
            return
        size = min(size * 2, np.int64(LAST_SIZE))
        link = block + size - 1
        at = block
        while at < link and pool[at] & np.uint32(1) == np.uint32(0) and pool[at] != np.uint32(0):
            at += 1
        if at == link:
            continue  # a document with so many positions that they fill the block
        entry = pool[at]
        if entry == np.uint32(0) or np.int64(entry >> np.uint32(1)) > target:
            return
        cursor[0] = at
        cursor[1] = link
        cursor[2] = size


@numba.njit("int64(uint32[::1], int64, int64)", nogil=True, cache=True)
def count_documents(pool, head, n_docs):
    """Return how many documents below `n_docs` the chain at `head` has."""
    if head == 0:
        return np.int64(0)
    n = 0
    at = head
    size = np.int64(FIRST_SIZE)
    link = at + size - 1
    while True:
        if at == link:
            at = np.int64(pool[link])
            if at == 0:
                return np.int64(n)
            size = min(size * 2, np.int64(LAST_SIZE))
            link = at + size - 1
        entry = pool[at]
        if entry == np.uint32(0):
            return np.int64(n)
        if entry & np.uint32(1):
            if np.int64(entry >> np.uint32(1)) >= n_docs:
                return np.int64(n)
            n += 1
        at += 1


@inner("int64(int64[::1], int64[::1], int64, uint32[::1])")
def chain_positions(row, cursor, doc, out):
    """Write the positions of the term in one document; return how many there are: those beyond
    len(out) are counted only. The cursor is one of its own, for documents that rise from call to
    call."""
    if cursor[0] < 0 or row[HEAD] == 0 or doc >= row[N_DOCS]:
        return np.int64(0)
    pool = u32_at(row[POOL], row[POOL_SIZE])
    seek_chain(row, cursor, doc)
    at = cursor[0]
    link = cursor[1]
    size = cursor[2]
    if at == 0:
        at = row[HEAD]
        size = np.int64(FIRST_SIZE)
        link = at + size - 1
    is_wanted = False
    n = 0
    while True:
        if at == link:
            following = np.int64(pool[link])
            if following == 0:
                at = np.int64(-1)
                break
            at = following
            size = min(size * 2, np.int64(LAST_SIZE))
            link = at + size - 1
        entry = pool[at]
        if entry == np.uint32(0):
            at = np.int64(-1)
            break
        if entry & np.uint32(1):
            found = np.int64(entry >> np.uint32(1))
            if found > doc:
                break
            is_wanted = found == doc
        elif is_wanted:
            if n < len(out):
                out[n] = (entry >> np.uint32(1)) - np.uint32(1)
            n += 1
        at += 1
    cursor[0] = at
    cursor[1] = link
    cursor[2] = size
    return np.int64(n)


@numba.njit(
    "int64(int64[::1], uint32[::1], int64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def find_positions(row, doc_ids, starts, out):
    """Write the positions of each of `doc_ids` (rising) to `out` and where they start to
    `starts` (one longer); return how many there are. Those beyond len(out) are counted only,
    so that a call with an empty `out` tells how long it must be."""
    cursor = np.zeros(4, np.int64)
    n = np.int64(0)
    for i in range(len(doc_ids)):
        starts[i] = n
        room = out[min(n, len(out)) :]
        n += chain_positions(row, cursor, np.int64(doc_ids[i]), room)
    starts[len(doc_ids)] = n
    return np.int64(n)
