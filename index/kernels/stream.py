"""A term's postings in one view on their way through a buffer, as best_any.py and best_all.py walk
them.

A stream is a struct of int64 at an address, because a function that takes one number costs less
than one that takes ten arrays, whose owners it would count. The columns:
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.inner import inner
from index.kernels.leaves import fill, seek
from index.kernels.memory import f32_at, i64_at, u32_at, u64_at
from index.kernels.postings import (
    LAST_DOCS,
    POS_METAS,
    bound_of,
    decode_docs,
    decode_tfs,
    first_block_at,
    frequencies_of,
    packed_at,
)
from index.kernels.rows import BLOCK, BLOCKS, CURSOR_WIDTH, ROW_WIDTH

ROW, N_DOCS, NORMS, TABLE, BOUNDS, WEIGHT, SLACK = range(7)
"""Addresses of the leaf's row, of the view's norms (u8[n_docs], 0: every document scores WEIGHT)
and of the table of lengths (f32[256]); of the bounds of its blocks (f32); bits of f64: what a
score is multiplied by, and `postings.bound_of`."""
AT, N, BLOCK_NO, HAS_TFS, NEXT_BLOCK = range(7, 12)
"""Place in the buffer and its length (0: not begun, -1: exhausted); which block it holds, and
whether its frequencies are unpacked; the first block that may reach into the window at hand."""
CURSOR = 12
"""i64[4], for leaves that are not BLOCKS."""
BEFORE = CURSOR + CURSOR_WIDTH
"""i64[4]: the cursor before the buffer was filled."""
DOCS = BEFORE + CURSOR_WIDTH
"""u32[128]: doc ids."""
TFS = DOCS + BLOCK // 2
"""u32[128]: frequencies."""
STREAM_WIDTH = TFS + BLOCK // 2


@inner("void(i8, i8, f4, f4, i8, i8, i8)")
def open_stream(stream, row, weight, slack, norms, table, n_docs):
    """Begin a stream over the leaf whose row is at address `row`."""
    s = i64_at(stream, STREAM_WIDTH)
    s[:DOCS] = 0
    s[ROW] = row
    s[N_DOCS] = n_docs
    s[NORMS] = norms
    s[TABLE] = table
    floats = s.view(np.float64)
    floats[WEIGHT] = np.float64(weight)
    floats[SLACK] = np.float64(slack)
    if i64_at(row, ROW_WIDTH)[1] <= 0:
        s[N] = -1


@inner("i8(i8)")
def count_blocks(stream):
    """Return how many blocks with bounds of their own the leaf has."""
    row = i64_at(i64_at(stream, STREAM_WIDTH)[ROW], ROW_WIDTH)
    return (row[1] + BLOCK - 1) >> 7 if row[0] == BLOCKS and row[1] > 0 else np.int64(0)


@inner("void(i8, i8)", error_model="numpy")
def bound_blocks(stream, bounds_address):
    """Write the most that a document of each block can score to f32[count_blocks]."""
    s = i64_at(stream, STREAM_WIDTH)
    row = i64_at(s[ROW], ROW_WIDTH)
    n_blocks = count_blocks(stream)
    s[BOUNDS] = bounds_address
    bounds = f32_at(bounds_address, n_blocks)
    floats = s.view(np.float64)
    weight = np.float32(floats[WEIGHT])
    if s[NORMS] == 0:
        bounds[:] = weight
        return
    metas = u64_at(row[POS_METAS], n_blocks)
    table = f32_at(s[TABLE], 256)
    slack = np.float32(floats[SLACK])
    for block in range(n_blocks):
        bounds[block] = bound_of(metas[block], weight, slack, table)


@inner("b1(i8, i8)")
def load_block(stream, target):
    """Fill the buffer with the first block that reaches `target`; return whether there is one."""
    s = i64_at(stream, STREAM_WIDTH)
    row = i64_at(s[ROW], ROW_WIDTH)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    if row[0] == BLOCKS:
        n_blocks = (row[1] + BLOCK - 1) >> 7
        last_docs = u32_at(row[LAST_DOCS], n_blocks)
        block = first_block_at(last_docs, s[BLOCK_NO], n_blocks, target)
        n = decode_docs(row, block, s[N_DOCS], docs) if block < n_blocks else np.int64(0)
        s[BLOCK_NO] = block
        s[HAS_TFS] = 0
    else:
        cursor = i64_at(stream + 8 * CURSOR, CURSOR_WIDTH)
        tfs = u32_at(stream + 8 * TFS, BLOCK)
        seek(row, cursor, target)
        while True:
            s[BEFORE : BEFORE + CURSOR_WIDTH] = cursor
            n = fill(row, cursor, docs, tfs)
            if n == 0 or np.int64(docs[n - 1]) >= target:
                break
        if n > 0 and np.int64(docs[n - 1]) >= s[N_DOCS]:
            n = np.int64(0)
        s[HAS_TFS] = 1
    s[AT] = 0
    s[N] = n if n > 0 else np.int64(-1)
    return n > 0


@numba.njit("void(i8, i8)", nogil=True, cache=True)
def remember(stream, place):
    """Keep in i64[5] at address `place` where a stream is, to go back to."""
    s = i64_at(stream, STREAM_WIDTH)
    kept = i64_at(place, 1 + CURSOR_WIDTH)
    kept[0] = s[BLOCK_NO]
    kept[1:] = s[BEFORE : BEFORE + CURSOR_WIDTH] if s[N] > 0 else s[CURSOR : CURSOR + CURSOR_WIDTH]


@inner("void(i8, i8)")
def go_back(stream, place):
    """Go back to where `remember` was called: the next `move` fills the buffer again."""
    s = i64_at(stream, STREAM_WIDTH)
    kept = i64_at(place, 1 + CURSOR_WIDTH)
    s[BLOCK_NO] = kept[0]
    s[CURSOR : CURSOR + CURSOR_WIDTH] = kept[1:]
    s[N] = 0
    s[HAS_TFS] = 0


@numba.njit("b1(i8, i8)", nogil=True, cache=True)
def move(stream, target):
    """Move to the first document >= `target`; return whether there is one."""
    s = i64_at(stream, STREAM_WIDTH)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    n = s[N]
    if n < 0:
        return False
    if n == 0 or np.int64(docs[n - 1]) < target:
        if not load_block(stream, target):
            return False
        n = s[N]
    at = s[AT]
    # The next is near or far: a step or two, then a search.
    if np.int64(docs[at]) < target:
        at += 1
        if np.int64(docs[at]) < target:
            left = n - at
            while left > 1:
                half = left >> 1
                if np.int64(docs[at + half - 1]) < target:
                    at += half
                left -= half
        s[AT] = at
    return True


@inner("i8(i8)")
def doc_at(stream):
    """Return the document that `move` came to."""
    s = i64_at(stream, STREAM_WIDTH)
    return np.int64(u32_at(stream + 8 * DOCS, BLOCK)[s[AT]])


@inner("u4(i8)")
def tf_at(stream):
    """Return the frequency in the document that `move` came to."""
    s = i64_at(stream, STREAM_WIDTH)
    if s[HAS_TFS]:
        return u32_at(stream + 8 * TFS, BLOCK)[s[AT]]
    address, bits = frequencies_of(i64_at(s[ROW], ROW_WIDTH), s[BLOCK_NO])
    return packed_at(address, bits, s[AT]) + np.uint32(1)


@inner("void(i8)")
def unpack_tfs(stream):
    """Have the frequencies of the whole buffer in TFS."""
    s = i64_at(stream, STREAM_WIDTH)
    if s[HAS_TFS] == 0:
        tfs = u32_at(stream + 8 * TFS, BLOCK)
        decode_tfs(i64_at(s[ROW], ROW_WIDTH), s[BLOCK_NO], s[N], tfs)
        s[HAS_TFS] = 1
