"""Postings on their way from the blocks of several segments into those of one (merge.py).

A term's postings queue up, one segment's after the other's, and leave in blocks of 128.
Positions stay the differences that they are packed as: nothing but their width can change.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word
from index.kernels.inner import inner
from index.kernels.memory import f32_at, i64_at, u8_at, u64_at
from index.kernels.packing import _impact, _pack, _width
from index.kernels.postings import (
    NO_POSITIONS,
    POS_METAS,
    POSITIONS,
    POSITIONS_SIZE,
    TAIL,
    fill_blocks,
)
from index.kernels.rows import BLOCK, SIZE

# the queue's state
Q_N, Q_POSITIONS, Q_PREVIOUS, Q_WITHOUT = range(4)
"""Postings and positions that wait; the last doc id that left (-1: none yet); 1 where the term
has no positions."""
QUEUE_WIDTH = 4
QUEUE_POSTINGS = 2 * BLOCK

# where the next block goes
O_BLOCKS, O_DATA, O_POSITIONS, O_FIRST_BLOCK, O_FIRST_DATA, O_FIRST_POSITION = range(6)
"""In this chunk; and what the chunks before it wrote."""
OUT_WIDTH = 6

SOUND, DAMAGED, NEED_QUEUE, NEED_ROOM, WITHOUT = range(5)
"""What came of it. WITHOUT: sound, but there are no positions. NEED_QUEUE: more positions wait
than the queue holds; NEED_ROOM: the output is full."""

_ONE = np.uint64(1)
_SINGLE = np.uint64(1 << 63)
_SIX = np.uint64(63)
_OFFSET = np.uint64((1 << 40) - 1)
_U32 = np.uint64(32)
_U40 = np.uint64(40)
_U46 = np.uint64(46)
_U54 = np.uint64(54)
_DOMINATES = np.uint64(1 << 62)


@numba.njit(inline="always")
def _read_positions(row, block, n, out, at):
    """Write a block's `n` packed positions to `out` from `at` on; return SOUND, WITHOUT where it
    has none, or what is wrong."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    meta = u64_at(row[POS_METAS], n_blocks)[block]
    bits = np.int64((meta >> _U40) & _SIX)
    if bits == NO_POSITIONS:
        return np.int64(WITHOUT)
    offset = np.int64(meta & _OFFSET)
    if bits > 32 or offset + ((n * bits + 7) >> 3) + TAIL > row[POSITIONS_SIZE]:
        return np.int64(DAMAGED)
    if n > np.int64(len(out)) - at:
        return np.int64(NEED_QUEUE)
    address = row[POSITIONS] + offset
    mask = np.uint32((_ONE << np.uint64(bits)) - _ONE)
    for i in range(n):
        bit = i * bits
        word = load_word(np.int64(address + (bit >> 3))) >> np.uint64(bit & 7)
        out[at + i] = np.uint32(word) & mask
    return np.int64(SOUND)


@inner(
    "int64(int64[::1], int64[::1], int64[::1], uint32[::1], uint32[::1], uint32[::1], int64,"
    " int64, int64)",
)
def queue_block(row, walk, queue, docs, tfs, positions, doc_map, n_docs, base):
    """Put the next block of a segment's term into the queue; return what came of it.

    `doc_map`: address of i64[n_docs], new doc ids or -1; 0: all documents stay, at `base` and
    after. Requires: at most 127 postings wait; a block is left (`walk` as in `fill_blocks`).
    """
    n = queue[Q_N]
    block = walk[0]
    n_block = fill_blocks(row, walk, docs[n:], tfs[n:])
    if n_block == 0:
        return np.int64(DAMAGED)
    total = np.int64(0)
    for i in range(n, n + n_block):
        total += np.int64(tfs[i])
    p = queue[Q_POSITIONS]
    got = _read_positions(row, block, total, positions, p)
    if got in (DAMAGED, NEED_QUEUE):
        return got
    if got == WITHOUT:
        queue[Q_WITHOUT] = 1
        total = np.int64(0)
    if doc_map == 0:
        for i in range(n, n + n_block):
            if np.int64(docs[i]) >= n_docs:
                return np.int64(DAMAGED)
            docs[i] = np.uint32(np.int64(docs[i]) + base)
        queue[Q_N] = n + n_block
        queue[Q_POSITIONS] = p + total
        return np.int64(SOUND)
    new_ids = i64_at(doc_map, n_docs)
    kept = n
    read = p
    for i in range(n, n + n_block):
        doc = np.int64(docs[i])
        if doc >= n_docs:
            return np.int64(DAMAGED)
        tf = np.int64(tfs[i]) if got == SOUND else np.int64(0)
        if new_ids[doc] >= 0:
            docs[kept] = np.uint32(new_ids[doc])
            tfs[kept] = tfs[i]
            kept += 1
            if p != read:
                for j in range(tf):
                    positions[p + j] = positions[read + j]
            p += tf
        read += tf
    queue[Q_N] = kept
    queue[Q_POSITIONS] = p
    return np.int64(SOUND)


@inner(
    "UniTuple(int64, 2)(int64, int64[::1], uint32[::1], uint32[::1], uint32[::1], int64, int64,"
    " int64)",
)
def queue_single(single, queue, docs, tfs, positions, doc_map, n_docs, base):
    """Put a single posting (`postings.term_row`) into the queue as `queue_block` does a block's;
    return what came of it, and how many postings stay."""
    doc = single & np.int64(0xFFFFFFFF)
    if doc >= n_docs:
        return np.int64(DAMAGED), np.int64(0)
    new_id = doc + base
    if doc_map != 0:
        new_id = i64_at(doc_map, n_docs)[doc]
        if new_id < 0:
            return np.int64(SOUND), np.int64(0)
    if single >> 32 == 0:
        queue[Q_WITHOUT] = 1
    else:
        if queue[Q_POSITIONS] >= len(positions):
            return np.int64(NEED_QUEUE), np.int64(0)
        positions[queue[Q_POSITIONS]] = np.uint32((single >> 32) - 1)
        queue[Q_POSITIONS] += 1
    docs[queue[Q_N]] = np.uint32(new_id)
    tfs[queue[Q_N]] = np.uint32(1)
    queue[Q_N] += 1
    return np.int64(SOUND), np.int64(1)


@numba.njit(inline="always")
def single_record(queue, docs, tfs, positions):
    """Return the record of a term whose only posting waits; 0 where it needs a block."""
    record = _SINGLE | np.uint64(docs[0])
    if tfs[0] != np.uint32(1):
        return np.uint64(0)
    if queue[Q_WITHOUT] != 0:
        return record
    if positions[0] >= np.uint32(0x7FFFFFFE):
        return np.uint64(0)
    return record | ((np.uint64(positions[0]) + _ONE) << _U32)


@inner(
    "int64(int64, int64[::1], uint32[::1], uint32[::1], uint32[::1], int64, int64, int64,"
    " uint32[::1], int64[::1], uint32[::1], uint64[::1], uint64[::1], uint8[::1], uint8[::1])",
)
def write_block(
    n, queue, docs, tfs, positions, norms, table, n_docs, gaps, out,
    last_docs, doc_metas, pos_metas, data, position_data,
):  # fmt: skip
    """Take the first `n` postings out of the queue as a block; return what came of it.

    `norms`, `table`: as in `packing.encode_postings`, of this term; `n_docs`: of the output.
    Requires: 0 < n <= min(128, those that wait); `gaps` has room for 128.
    """
    block = out[O_BLOCKS]
    at = out[O_DATA]
    position_at = out[O_POSITIONS]
    total = np.int64(0)
    previous = queue[Q_PREVIOUS]
    is_sound = True
    for i in range(n):
        doc = np.int64(docs[i])
        is_sound &= doc > previous and tfs[i] > np.uint32(0)
        gaps[i] = np.uint32(doc - previous - 1)
        previous = doc
        total += np.int64(tfs[i])
    if queue[Q_WITHOUT] != 0:
        total = np.int64(0)
        is_sound &= queue[Q_POSITIONS] == 0
    if not is_sound or previous >= n_docs or total > queue[Q_POSITIONS]:
        return np.int64(DAMAGED)
    if (
        block >= len(last_docs)
        or at + 8 * BLOCK + 16 > len(data)
        or position_at + 4 * total + 16 > len(position_data)
    ):
        return np.int64(NEED_ROOM)
    bits = _width(gaps, 0, n - 1)
    meta = np.uint64(out[O_FIRST_DATA] + at) | (np.uint64(bits) << _U40)
    at = _pack(gaps, 0, n - 1, bits, data, at)
    for i in range(n):
        gaps[i] = tfs[i] - np.uint32(1)
    bits = _width(gaps, 0, n)
    at = _pack(gaps, 0, n, bits, data, at)
    doc_metas[block] = meta | (np.uint64(bits) << _U46)
    last_docs[block] = np.uint32(previous)
    meta = _ONE << _U54 | _DOMINATES
    if norms != 0:
        meta = _impact(docs, tfs, 0, n, u8_at(norms, n_docs), f32_at(table, 256))
    if queue[Q_WITHOUT] != 0:
        meta |= np.uint64(NO_POSITIONS) << _U40
    else:
        bits = _width(positions, 0, total)
        meta |= np.uint64(out[O_FIRST_POSITION] + position_at) | (np.uint64(bits) << _U40)
        position_at = _pack(positions, 0, total, bits, position_data, position_at)
    pos_metas[block] = meta
    out[O_BLOCKS] = block + 1
    out[O_DATA] = at
    out[O_POSITIONS] = position_at
    queue[Q_PREVIOUS] = previous
    queue[Q_N] -= n
    for i in range(queue[Q_N]):
        docs[i] = docs[n + i]
        tfs[i] = tfs[n + i]
    queue[Q_POSITIONS] -= total
    for i in range(queue[Q_POSITIONS]):
        positions[i] = positions[total + i]
    return np.int64(SOUND)
