"""The best documents that have all of some terms, or all of them in a row (a phrase).

The rarest term leads, one block of at most 128 documents at a time. A block whose terms cannot add
up to a hit is never unpacked; of the others' blocks only those with a candidate are. Frequencies
and positions are read for candidates alone, where they lie (the packing allows it).
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.chains import chain_positions
from index.kernels.filters import passes
from index.kernels.heap import push_hit
from index.kernels.leaves import fill, seek
from index.kernels.memory import f32_at, i64_at, u8_at, u32_at, u64_at
from index.kernels.postings import (
    LAST_DOCS,
    POS_METAS,
    bound_of,
    decode_docs,
    decode_tfs,
    frequencies_of,
    packed_at,
    positions_of,
)
from index.kernels.rows import BLOCK, BLOCKS, CHAIN, CURSOR_WIDTH, SINGLE_POSITION

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SLACK = np.float32(1.0 + 2e-6)
"""Sums of f32 in another order may differ by this."""

APART, TOGETHER = 0, 1
"""Modes: all of the terms somewhere, or each at its offset in a row."""

# columns of the state of a leaf
_N, _BLOCK_NO, _AT = range(3)
"""Length of the buffer (-1: exhausted), its block, how far in it the candidates have come."""
_STATE_WIDTH = 4


@numba.njit(
    "b1(i8[::1], i8[::1], i8[::1], i8, i8, u4[::1], u4[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _load_block(row, state, cursor, target, n_docs, docs, tfs):
    """Fill the buffer with the first block that reaches `target`; return whether there is one."""
    if row[0] == BLOCKS:
        n_blocks = (row[1] + BLOCK - 1) >> 7
        last_docs = u32_at(row[LAST_DOCS], n_blocks)
        block = state[_BLOCK_NO]
        low = block
        step = np.int64(1)
        while block < n_blocks and np.int64(last_docs[block]) < target:
            low = block + 1
            block += step
            step *= 2
        high = min(block, n_blocks)
        while low < high:
            middle = (low + high) >> 1
            if np.int64(last_docs[middle]) < target:
                low = middle + 1
            else:
                high = middle
        n = decode_docs(row, low, n_docs, docs) if low < n_blocks else np.int64(0)
        state[_BLOCK_NO] = low
    else:
        seek(row, cursor, target)
        while True:
            n = fill(row, cursor, docs, tfs)
            if n == 0 or np.int64(docs[n - 1]) >= target:
                break
    state[_AT] = 0
    state[_N] = n if n > 0 else -1
    return n > 0


@numba.njit(
    "i8(i8[::1], i8[::1], i8[::1], i8, u4[::1], u4[::1], u4[::1], i8, u4[:, ::1], u4[:, ::1], i8,"
    " i8)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _intersect(row, state, cursor, n_docs, docs, tfs, found, n, found_tfs, places, leaf, n_leaves):
    """Keep of the `n` candidates those that the leaf has, with its frequencies and where in its
    blocks they are; return how many.

    found_tfs, places: u32[leaves, 128], of the leaves before this one compacted alike.
    """
    kept = 0
    address = np.int64(0)
    bits = np.int64(0)
    block = np.int64(-1)
    for i in range(n):
        doc = np.int64(found[i])
        if state[_N] < 0:
            break
        is_behind = state[_N] == 0 or np.int64(docs[state[_N] - 1]) < doc
        if is_behind and not _load_block(row, state, cursor, doc, n_docs, docs, tfs):
            break
        at = state[_AT]
        size = state[_N]
        # branch-free search: of `left` documents from `at` on the first that is >= doc
        left = size - at
        while left > 1:
            half = left >> 1
            if np.int64(docs[at + half - 1]) < doc:
                at += half
            left -= half
        state[_AT] = at
        if np.int64(docs[at]) != doc:
            continue
        if row[0] == BLOCKS:
            if block != state[_BLOCK_NO]:
                block = state[_BLOCK_NO]
                address, bits = frequencies_of(row, block)
            tf = packed_at(address, bits, at) + np.uint32(1)
            place = np.uint32((block << 7) | at)
        else:
            tf = tfs[at]
            place = np.uint32(0)
        if kept < i:
            for other in range(leaf):
                found_tfs[other, kept] = found_tfs[other, i]
                places[other, kept] = places[other, i]
            found[kept] = found[i]
        found_tfs[leaf, kept] = tf
        places[leaf, kept] = place
        kept += 1
    return kept


@numba.njit(
    "i8(i8[::1], i8, u4, u4, i8[::1], i8[::1], u4[::1], i8, u4[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _read_positions(row, doc, tf, place, cursor, sums_of, sums, first, out):
    """Write the positions of a term in a document to `out` from `first` on; return how many.

    sums: u32[129], how many positions of block sums_of[0] (-1: none) come before each of its
    documents. Requires: room for `tf`.
    """
    if row[0] == CHAIN:
        return chain_positions(row, cursor, doc, out[first : first + np.int64(tf)])
    if row[0] != BLOCKS:
        out[first] = np.uint32(row[SINGLE_POSITION] - 1)
        return np.int64(row[SINGLE_POSITION] > 0)
    block = np.int64(place) >> 7
    if sums_of[0] != block:
        n = min(np.int64(BLOCK), row[1] - block * BLOCK)
        decode_tfs(row, block, n, sums)
        total = np.uint32(0)
        for i in range(n):
            tf_i = sums[i]
            sums[i] = total
            total += tf_i
        sums[n] = total
        sums_of[0] = block
    before = np.int64(sums[np.int64(place) & 127])
    n = min(np.int64(BLOCK), row[1] - block * BLOCK)
    address, bits = positions_of(row, block, np.int64(sums[n]))
    if bits < 0:
        return np.int64(0)
    position = np.uint32(0)
    for i in range(np.int64(tf)):
        position += packed_at(address, bits, before + i)
        out[first + i] = position
    return np.int64(tf)


@numba.njit("i8(u4[::1], i8[::1], i8[::1], i8[::1], i8)", nogil=True, cache=True)
def _count_in_row(positions, starts, ends, offsets, n):
    """Return how many times positions starts[j] .. ends[j] of each term are `offsets[j]` apart.

    Positions of a term rise. `starts` is used up.
    """
    count = 0
    for i in range(starts[0], ends[0]):
        at = np.int64(positions[i]) - offsets[0]
        is_there = True
        for j in range(1, n):
            wanted = at + offsets[j]
            k = starts[j]
            while k < ends[j] and np.int64(positions[k]) < wanted:
                k += 1
            starts[j] = k
            if k == ends[j]:
                return count
            if np.int64(positions[k]) != wanted:
                is_there = False
                break
        if is_there:
            count += 1
    return count


@numba.njit(
    "i8(i8[:, ::1], f4[::1], f4[::1], i8[::1], i8[::1], i8[:, ::1], i8[::1], i8, i8, i8, i8,"
    " f4[::1], i8[::1], i8, i8[::1], i8)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def best_of_all(
    rows, weights, slacks, norm_addresses, table_addresses, filters, offsets, mode, n_docs,
    alive_address, view, heap_scores, heap_docs, n_heap, total, stop_address,
):  # fmt: skip
    """Push the best documents of one view that have all the terms onto the heap; return its new
    length.

    Of each term: its row, weight, slack, norms and table as in `best_term.best_of_term`. Scores
    add up (APART), or a document's is weights[0] times the part of the phrase's own frequency
    (TOGETHER; `offsets`: where in the phrase each term stands; norms and table of the first).
    filters: see `filters.passes`. total: [matches so far, how many to count at most]; until these
    are counted every match is looked at. The heap may have no room at all.

    Requires: every row is a stream; in a phrase, of a term with positions; views come in rising
    order.
    """
    k = len(heap_scores)
    n_leaves = len(rows)
    counts = total[0] <= total[1]
    alive = u64_at(alive_address, (n_docs + 63) >> 6 if alive_address else 0)
    stop = i64_at(stop_address, 1)
    order = np.arange(n_leaves)
    for i in range(n_leaves):
        if rows[i, 1] <= 0:
            return n_heap
        j = i
        while j > 0 and rows[order[j - 1], 1] > rows[i, 1]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    lead = order[0]
    states = np.zeros((n_leaves, _STATE_WIDTH), np.int64)
    cursors = np.zeros((n_leaves, CURSOR_WIDTH), np.int64)
    docs = np.empty((n_leaves, BLOCK), np.uint32)
    tfs = np.empty((n_leaves, BLOCK), np.uint32)
    found = np.empty(BLOCK, np.uint32)
    found_tfs = np.empty((n_leaves, BLOCK), np.uint32)
    places = np.empty((n_leaves, BLOCK), np.uint32)
    key = np.int64(view) << 32
    root = heap_scores[0] if n_heap == k and k > 0 else np.float32(-1.0)
    if mode == TOGETHER:
        most = weights[0]
        position_cursors = np.zeros((n_leaves, CURSOR_WIDTH), np.int64)
        sums_of = np.full((n_leaves, 1), np.int64(-1))
        sums = np.empty((n_leaves, BLOCK + 1), np.uint32)
        positions = np.empty(1024, np.uint32)
        starts = np.empty(n_leaves, np.int64)
        ends = np.empty(n_leaves, np.int64)
        by_place = np.empty(n_leaves, np.int64)
        for i in range(n_leaves):
            by_place[i] = offsets[order[i]]
    else:
        most = np.float32(0.0)
        position_cursors = np.zeros((0, CURSOR_WIDTH), np.int64)
        sums_of = np.zeros((0, 1), np.int64)
        sums = np.zeros((0, BLOCK + 1), np.uint32)
        positions = np.zeros(0, np.uint32)
        starts = ends = by_place = np.zeros(0, np.int64)
    others = np.float32(0.0)
    for i in range(n_leaves):
        others += weights[i] if i != lead else np.float32(0.0)
    if mode == APART:
        most = others + weights[lead]
    scored = k > 0
    first_table = f32_at(table_addresses[0], 256 if norm_addresses[0] else 0)
    first_norms = u8_at(norm_addresses[0], n_docs if norm_addresses[0] else 0)
    lead_table = f32_at(table_addresses[lead], 256 if norm_addresses[lead] else 0)
    row = rows[lead]
    block = np.int64(-1)
    n_blocks = (row[1] + BLOCK - 1) >> 7
    is_last = False
    while stop[0] == 0 and not is_last and (counts or k > 0):
        # --- the lead's next block that may have a hit
        n = np.int64(0)
        if row[0] == BLOCKS:
            block += 1
            if not counts and n_heap == k and norm_addresses[lead]:
                metas = u64_at(row[POS_METAS], n_blocks)
                while block < n_blocks:
                    if mode == TOGETHER:
                        limit = bound_of(metas[block], weights[0], slacks[lead], lead_table)
                    else:
                        limit = others + bound_of(
                            metas[block], weights[lead], slacks[lead], lead_table
                        )
                    if limit * _SLACK > root:
                        break
                    block += 1
            if block >= n_blocks:
                break
            n = decode_docs(row, block, n_docs, found)
            if n == 0:
                break
            for i in range(n):
                places[0, i] = np.uint32((block << 7) | i)
            if scored or mode == TOGETHER:
                decode_tfs(row, block, n, found_tfs[0])
        else:
            n = fill(row, cursors[lead], found, found_tfs[0])
            if n == 0 or np.int64(found[n - 1]) >= n_docs:
                break
        if not counts and n_heap == k and root >= most:
            break
        if alive_address:
            kept = 0
            for i in range(n):
                doc = found[i]
                if (alive[doc >> np.uint32(6)] >> np.uint64(doc & np.uint32(63))) & _ONE != _ZERO:
                    found[kept] = doc
                    found_tfs[0, kept] = found_tfs[0, i]
                    places[0, kept] = places[0, i]
                    kept += 1
            n = kept
        # --- candidates the other terms have
        for i in range(1, n_leaves):
            if n == 0:
                break
            leaf = order[i]
            n = _intersect(
                rows[leaf], states[leaf], cursors[leaf], n_docs, docs[leaf], tfs[leaf], found, n,
                found_tfs, places, i, n_leaves,
            )  # fmt: skip
            if states[leaf, _N] < 0:
                is_last = True
        for i in range(n):
            doc = np.int64(found[i])
            if mode == TOGETHER:
                least = found_tfs[0, i]
                room = np.int64(0)
                for j in range(n_leaves):
                    least = min(least, found_tfs[j, i])
                    room += np.int64(found_tfs[j, i])
                if not counts and n_heap == k:
                    tf = np.float32(least)
                    if weights[0] * tf / (tf + first_table[first_norms[doc]]) <= root:
                        continue
                if room > len(positions):
                    positions = np.empty(2 * room, np.uint32)
                at = np.int64(0)
                for j in range(n_leaves):
                    leaf = order[j]
                    starts[j] = at
                    at += _read_positions(
                        rows[leaf], doc, found_tfs[j, i], places[j, i], position_cursors[leaf],
                        sums_of[leaf], sums[leaf], at, positions,
                    )  # fmt: skip
                    ends[j] = at
                frequency = _count_in_row(positions, starts, ends, by_place, n_leaves)
                if frequency == 0:
                    continue
                tf = np.float32(frequency)
                score = weights[0] * tf / (tf + first_table[first_norms[doc]])
            else:
                score = np.float32(0.0)
                if scored:
                    for leaf in range(n_leaves):
                        j = 0
                        while order[j] != leaf:
                            j += 1
                        if norm_addresses[leaf]:
                            table = f32_at(table_addresses[leaf], 256)
                            norms = u8_at(norm_addresses[leaf], n_docs)
                            tf = np.float32(found_tfs[j, i])
                            score += weights[leaf] * tf / (tf + table[norms[doc]])
                        else:
                            score += weights[leaf]
            is_better = scored and score > root
            if (counts or is_better) and passes(filters, doc):
                if counts:
                    total[0] += 1
                    counts = total[0] <= total[1]
                if is_better:
                    push_hit(heap_scores, heap_docs, n_heap, score, key | doc)
                    n_heap = min(n_heap + 1, k)
                    if n_heap == k:
                        root = heap_scores[0]
    return n_heap
