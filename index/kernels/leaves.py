"""Walk any kind of leaf (`rows.py`): the switch between the kinds of postings.

BLOCKS, CHAIN and LIST are streams: `fill` and `advance` walk them block by block through a
buffer. BITS, ALL and the ranges are dense: `dense_word` reads them 64 documents at a time,
`dense_next` finds the next document.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit
from index.kernels.chains import fill_chain, seek_chain
from index.kernels.inner import inner
from index.kernels.memory import u32_at, u64_at
from index.kernels.postings import fill_blocks, seek_blocks
from index.kernels.ranges import RANGE_I64, next_range_word, range_word
from index.kernels.rows import ALL, BITS, BLOCK, BLOCKS, CHAIN

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@numba.njit("i8(i8[::1], i8[::1], u4[::1], u4[::1])", nogil=True, cache=True)
def fill_list(row, cursor, docs, tfs):
    """Write the next at most 128 postings of a LIST leaf; return how many, 0 = exhausted."""
    size = row[1]
    start = cursor[0]
    n = min(size - start, BLOCK)
    if n <= 0:
        return 0
    source = u32_at(row[2], size)
    for i in range(n):
        docs[i] = source[start + i]
    if row[3] != 0:
        frequencies = u32_at(row[3], size)
        for i in range(n):
            tfs[i] = frequencies[start + i]
    else:
        for i in range(n):
            tfs[i] = np.uint32(1)
    cursor[0] = start + n
    return n


@inner("void(i8[::1], i8[::1], i8)")
def seek_list(row, cursor, target):
    """Move a LIST leaf forward to its first doc id >= `target`."""
    size = row[1]
    source = u32_at(row[2], size)
    low, high = cursor[0], size
    while low < high:
        middle = (low + high) >> 1
        if np.int64(source[middle]) < target:
            low = middle + 1
        else:
            high = middle
    cursor[0] = low


@numba.njit("i8(i8[::1], i8[::1], u4[::1], u4[::1])", nogil=True, cache=True)
def fill(row, cursor, docs, tfs):
    """Write the next at most 128 postings of a stream; return how many, 0 = exhausted."""
    if row[1] <= 0:
        return 0
    if row[0] == BLOCKS:
        return fill_blocks(row, cursor, docs, tfs)
    if row[0] == CHAIN:
        return fill_chain(row, cursor, docs, tfs)
    return fill_list(row, cursor, docs, tfs)


@numba.njit("void(i8[::1], i8[::1], i8)", nogil=True, cache=True)
def seek(row, cursor, target):
    """Let the next fill of a stream start near the first doc id >= `target`, never past it."""
    if row[1] <= 0:
        return
    if row[0] == BLOCKS:
        seek_blocks(row, cursor, target)
    elif row[0] == CHAIN:
        seek_chain(row, cursor, target)
    else:
        seek_list(row, cursor, target)


@numba.njit("i8(u4[::1], i8, i8, i8)", nogil=True, cache=True)
def lower_bound(docs, low, high, target):
    """Return the first index from `low` on whose doc id is >= `target`, at most `high`."""
    if low < high and np.int64(docs[low]) >= target:
        return low
    while low < high:
        middle = (low + high) >> 1
        if np.int64(docs[middle]) < target:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit("b1(i8[::1], i8[::1], u4[::1], u4[::1], i8[::1], i8)", nogil=True, cache=True)
def advance(row, cursor, docs, tfs, place, target):
    """Move a stream to its first doc id >= `target`; return whether there is one.

    `place` is [position in the buffer, length of the buffer]: zeros at first; length -1 =
    exhausted. Afterwards `docs[place[0]]` is that document.
    """
    n = place[1]
    if n < 0:
        return False
    position = place[0]
    if n == 0 or np.int64(docs[n - 1]) < target:
        seek(row, cursor, target)
        while True:
            n = fill(row, cursor, docs, tfs)
            if n == 0:
                place[1] = -1
                return False
            if np.int64(docs[n - 1]) >= target:
                break
        position = 0
    place[0] = lower_bound(docs, position, n - 1, target)
    place[1] = n
    return True


@inner("u8(i8[::1], i8, i8)")
def dense_word(row, word, n_docs):
    """Return word `word` of a dense leaf; bits from `n_docs` on are 0."""
    first = word * 64
    if first >= n_docs:
        return np.uint64(0)
    bits = _ONES
    if row[0] == BITS:
        if word >= row[3]:
            return np.uint64(0)
        bits = u64_at(row[2], row[3])[word]
    elif row[0] >= RANGE_I64:
        if first >= row[1]:
            return np.uint64(0)
        bits = range_word(row, word)
    left = n_docs - first
    if left < 64:
        bits &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
    return bits


@inner("i8(i8[::1], i8, i8)")
def dense_next(row, target, n_docs):
    """Return the first document >= `target` of a dense leaf, or `n_docs`."""
    if target >= n_docs or row[1] <= 0:
        return n_docs
    if row[0] == ALL:
        return target
    word = target >> 6
    bits = dense_word(row, word, n_docs) & (_ONES << np.uint64(target & 63))
    last = (n_docs - 1) >> 6
    while bits == np.uint64(0):
        word += 1
        if row[0] >= RANGE_I64:
            word = next_range_word(row, word)
        if word > last:
            return n_docs
        bits = dense_word(row, word, n_docs)
    return word * 64 + lowest_bit(bits)
