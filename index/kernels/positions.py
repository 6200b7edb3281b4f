"""Positions of a term in one document after the other, and whether terms stand in a row.

What is known of a term's positions is a struct of int64 at an address (see stream.py for why).
"""

from __future__ import annotations

import numpy as np

from index.kernels.chains import chain_positions
from index.kernels.inner import inner
from index.kernels.memory import i64_at, u32_at
from index.kernels.postings import decode_tfs, packed_at, positions_of
from index.kernels.rows import BLOCK, BLOCKS, CHAIN, CURSOR_WIDTH, ROW_WIDTH, SINGLE_POSITION

ROW, OFFSET, SUMS_OF = range(3)
"""Columns: address of the leaf's row; where in the phrase the term stands; the block of SUMS."""
CURSOR = 3
"""i64[4], for chains."""
SUMS = CURSOR + CURSOR_WIDTH
"""u32[129]: how many positions of the block come before those of each document."""
POSITIONS_WIDTH = SUMS + BLOCK // 2 + 1


@inner("void(i8, i8, i8)")
def open_positions(known, row, offset):
    """Begin with the term whose leaf's row is at address `row`."""
    p = i64_at(known, POSITIONS_WIDTH)
    p[:SUMS] = 0
    p[ROW] = row
    p[OFFSET] = offset
    p[SUMS_OF] = -1


@inner("i8(i8, i8, i8, i8, i8)")
def read_positions(known, doc, n, place, out_address):
    """Write the `n` positions of the term in a document to u32[n]; return how many there are.

    place: of a BLOCKS leaf, block << 7 | place in the block. Requires: documents rise from call
    to call; the leaf has the document `n` times.
    """
    p = i64_at(known, POSITIONS_WIDTH)
    row = i64_at(p[ROW], ROW_WIDTH)
    out = u32_at(out_address, n)
    if row[0] == CHAIN:
        cursor = i64_at(known + 8 * CURSOR, CURSOR_WIDTH)
        return min(chain_positions(row, cursor, doc, out), n)
    if row[0] != BLOCKS:
        if row[SINGLE_POSITION] <= 0 or len(out) == 0:
            return np.int64(0)
        out[0] = np.uint32(row[SINGLE_POSITION] - 1)
        return np.int64(1)
    sums = u32_at(known + 8 * SUMS, BLOCK + 1)
    block = place >> 7
    size = min(np.int64(BLOCK), row[1] - block * BLOCK)
    if p[SUMS_OF] != block:
        decode_tfs(row, block, size, sums)
        total = np.uint32(0)
        for i in range(size):
            tf = sums[i]
            sums[i] = total
            total += tf
        sums[size] = total
        p[SUMS_OF] = block
    address, bits = positions_of(row, block, np.int64(sums[size]))
    if bits < 0:
        return np.int64(0)
    before = np.int64(sums[place & 127])
    position = np.uint32(0)
    for i in range(len(out)):
        position += packed_at(address, bits, before + i)
        out[i] = position
    return np.int64(len(out))


@inner("i8(i8, i8, i8)")
def count_in_row(positions_address, spans_address, n_terms):
    """Return how many times the terms of a phrase stand at their offsets from one another.

    spans: i64[terms, 3], of each term where its positions (u32, rising) begin and end, and its
    offset in the phrase; the beginnings are used up.
    """
    spans = i64_at(spans_address, 3 * n_terms)
    positions = u32_at(positions_address, spans[3 * n_terms - 2])
    count = np.int64(0)
    for i in range(spans[0], spans[1]):
        first = np.int64(positions[np.uint64(i)]) - spans[2]
        is_there = True
        for term in range(1, n_terms):
            wanted = first + spans[3 * term + 2]
            k = spans[3 * term]
            end = spans[3 * term + 1]
            while k < end and np.int64(positions[np.uint64(k)]) < wanted:
                k += 1
            spans[3 * term] = k
            if k == end:
                return count
            if np.int64(positions[np.uint64(k)]) != wanted:
                is_there = False
                break
        count += np.int64(is_there)
    return count
