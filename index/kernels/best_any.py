"""The best documents that have any of some terms: MaxScore over windows with bounds of their own.

H. Turtle and J. Flood, "Query evaluation: strategies and optimizations", Information Processing
and Management 31(6), 1995; bounds by block as in S. Ding and T. Suel, "Faster top-k document
retrieval using block-max indexes", SIGIR 2011. For each window of documents the terms are ordered
by the most they can add there. A window whose terms cannot add up to a hit is passed over; else the
last terms, whose bounds sum up to no more than the worst hit, only add to documents that the first
ones found.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit, popcount
from index.kernels.filters import passes
from index.kernels.heap import push_hit
from index.kernels.leaves import fill, lower_bound, seek
from index.kernels.memory import f32_at, i64_at, u8_at, u32_at, u64_at
from index.kernels.postings import (
    LAST_DOCS,
    POS_METAS,
    bound_of,
    decode_docs,
    decode_tfs,
    frequencies_of,
    packed_at,
)
from index.kernels.rows import BLOCK, BLOCKS, CURSOR_WIDTH

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SIX = np.uint32(6)
_LOW = np.uint32(63)
WINDOW = 4096
"""Documents looked at together: their scores stay in the first-level cache."""
_SLACK = np.float32(1.0 + 2e-6)
"""Sums of f32 in another order may differ by this."""

# columns of the state of a leaf
_AT, _N, _BLOCK_NO, _FIRST_BOUND, _NEXT_BLOCK, _HAS_TFS = range(6)
_STATE_WIDTH = 6
"""Place in the buffer and its length (-1: exhausted); the buffer's block; where the leaf's bounds
begin; first block that may reach into the window; whether the frequencies are unpacked."""


@numba.njit(
    "b1(i8[::1], i8[::1], i8[::1], i8, i8, u4[::1], u4[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _move(row, state, cursor, target, n_docs, docs, tfs):
    """Move a leaf to its first document >= `target`; return whether there is one."""
    n = state[_N]
    if n < 0:
        return False
    if n == 0 or np.int64(docs[n - 1]) < target:
        if row[0] == BLOCKS:
            n_blocks = (row[1] + BLOCK - 1) >> 7
            last_docs = u32_at(row[LAST_DOCS], n_blocks)
            block = state[_BLOCK_NO] + np.int64(n > 0)
            step = np.int64(1)
            low = block
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
            state[_HAS_TFS] = 0
        else:
            seek(row, cursor, target)
            while True:
                n = fill(row, cursor, docs, tfs)
                if n == 0 or np.int64(docs[n - 1]) >= target:
                    break
            state[_HAS_TFS] = 1
        if n == 0:
            state[_N] = -1
            return False
        state[_N] = n
        state[_AT] = 0
    at = state[_AT]
    # Candidates are close together or far apart: a few steps, then a search.
    for _ in range(4):
        if np.int64(docs[at]) >= target:
            state[_AT] = at
            return True
        at += 1
    state[_AT] = lower_bound(docs, at, n - 1, target)
    return True


@numba.njit(
    "void(i8[::1], i8[::1], f4, i8, f4[::1], i8, i8, i8, i8, u4[::1], u4[::1], f4[::1], u8[::1],"
    " u8[::1], f4[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _unite(
    row, state, weight, norm_address, table, n_docs, base, start, stop, docs, tfs, fresh, mask,
    dirty, scores,
):  # fmt: skip
    """Add postings `start` .. `stop` of a buffer, all within the window at `base`."""
    if norm_address:
        if state[_HAS_TFS] == 0:
            decode_tfs(row, state[_BLOCK_NO], state[_N], tfs)
            state[_HAS_TFS] = 1
        norms = u8_at(norm_address, n_docs)
        for i in range(start, stop):
            tf = np.float32(tfs[i])
            fresh[i] = weight * tf / (tf + table[norms[docs[i]]])
    else:
        fresh[start:stop] = weight
    first = np.uint32(base)
    word = (docs[start] - first) >> _SIX
    bits = _ZERO
    touched = _ONE << np.uint64(word)
    for i in range(start, stop):
        doc = docs[i] - first
        if doc >> _SIX != word:
            mask[word] |= bits
            word = doc >> _SIX
            bits = _ZERO
            touched |= _ONE << np.uint64(word)
        bits |= _ONE << np.uint64(doc & _LOW)
        scores[doc] += fresh[i]
    mask[word] |= bits
    dirty[0] |= touched


@numba.njit(
    "void(i8[::1], i8[::1], i8[::1], f4, f4, f4, i8, f4[::1], i8, i8, u4[::1], u4[::1], u8[::1],"
    " u8, f4[::1])",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def _add_to_candidates(
    row, state, cursor, weight, remaining, root, norm_address, table, n_docs, base, docs, tfs,
    mask, dirty, scores,
):  # fmt: skip
    """Add one term's scores to the documents of the mask; drop those that cannot become hits.

    `remaining`: the most that this and the later terms can add.
    """
    norms = u8_at(norm_address, n_docs if norm_address else 0)
    address = np.int64(0)
    tf_bits = np.int64(0)
    block = np.int64(-1)
    while dirty != _ZERO:
        word = lowest_bit(dirty)
        dirty &= dirty - _ONE
        bits = mask[word]
        while bits != _ZERO:
            i = word * 64 + lowest_bit(bits)
            lowest = bits & (~bits + _ONE)
            bits ^= lowest
            if (scores[i] + remaining) * _SLACK <= root:
                mask[word] ^= lowest
                continue
            doc = base + i
            if not _move(row, state, cursor, doc, n_docs, docs, tfs):
                continue
            at = state[_AT]
            if np.int64(docs[at]) != doc:
                continue
            if norm_address == 0:
                scores[i] += weight
                continue
            if state[_HAS_TFS]:
                tf = np.float32(tfs[at])
            else:
                if block != state[_BLOCK_NO]:
                    block = state[_BLOCK_NO]
                    address, tf_bits = frequencies_of(row, block)
                tf = np.float32(packed_at(address, tf_bits, at) + np.uint32(1))
            scores[i] += weight * tf / (tf + table[norms[doc]])


@numba.njit(
    "i8(i8[:, ::1], f4[::1], f4[::1], i8[::1], i8[::1], i8[:, ::1], i8, i8, i8, f4[::1], i8[::1],"
    " i8, i8)",
    nogil=True,
    cache=True,
    error_model="numpy",
)
def best_of_any(
    rows, weights, slacks, norm_addresses, table_addresses, filters, n_docs, alive_address, view,
    heap_scores, heap_docs, n_heap, stop_address,
):  # fmt: skip
    """Push the best documents of one view that have any of the terms onto the heap; return its
    new length. Scores add up.

    Of each term: its row, weight, slack, norms and table as in `best_term.best_of_term`.
    filters: rows of `filters.passes`, which a hit must pass. Requires: every row is a stream;
    len(heap_scores) > 0; views come in rising order.
    """
    k = len(heap_scores)
    n_leaves = len(rows)
    alive = u64_at(alive_address, (n_docs + 63) >> 6 if alive_address else 0)
    stop = i64_at(stop_address, 1)
    states = np.zeros((n_leaves, _STATE_WIDTH), np.int64)
    cursors = np.zeros((n_leaves, CURSOR_WIDTH), np.int64)
    docs = np.empty((n_leaves, BLOCK), np.uint32)
    tfs = np.empty((n_leaves, BLOCK), np.uint32)
    order = np.arange(n_leaves)
    limits = np.empty(n_leaves, np.float32)
    remaining = np.empty(n_leaves + 1, np.float32)
    n_bounds = 0
    for leaf in range(n_leaves):
        states[leaf, _FIRST_BOUND] = n_bounds
        if rows[leaf, 0] == BLOCKS:
            n_bounds += (rows[leaf, 1] + BLOCK - 1) >> 7
    bounds = np.empty(n_bounds, np.float32)
    for leaf in range(n_leaves):
        row = rows[leaf]
        if row[1] <= 0:
            states[leaf, _N] = -1
        if row[0] != BLOCKS:
            continue
        n_blocks = (row[1] + BLOCK - 1) >> 7
        first = states[leaf, _FIRST_BOUND]
        if norm_addresses[leaf]:
            table = f32_at(table_addresses[leaf], 256)
            metas = u64_at(row[POS_METAS], n_blocks)
            for block in range(n_blocks):
                bounds[first + block] = bound_of(metas[block], weights[leaf], slacks[leaf], table)
        else:
            bounds[first : first + n_blocks] = weights[leaf]
    mask = np.zeros(WINDOW // 64, np.uint64)
    dirty = np.zeros(1, np.uint64)
    scores = np.zeros(WINDOW, np.float32)
    fresh = np.empty(BLOCK, np.float32)
    key = np.int64(view) << 32
    root = heap_scores[0] if n_heap == k else np.float32(-1.0)
    low = np.int64(0)
    while low < n_docs and stop[0] == 0:
        # --- the next window with a document, as far as can be said without unpacking
        first = n_docs
        for leaf in range(n_leaves):
            state = states[leaf]
            if state[_N] < 0:
                continue
            row = rows[leaf]
            if row[0] != BLOCKS:
                if _move(row, state, cursors[leaf], low, n_docs, docs[leaf], tfs[leaf]):
                    first = min(first, np.int64(docs[leaf, state[_AT]]))
                continue
            n_blocks = (row[1] + BLOCK - 1) >> 7
            last_docs = u32_at(row[LAST_DOCS], n_blocks)
            block = state[_NEXT_BLOCK]
            while block < n_blocks and np.int64(last_docs[block]) < low:
                block += 1
            state[_NEXT_BLOCK] = block
            if block == n_blocks:
                state[_N] = -1
                continue
            if state[_N] > 0 and state[_BLOCK_NO] == block:
                _move(row, state, cursors[leaf], low, n_docs, docs[leaf], tfs[leaf])
                first = min(first, np.int64(docs[leaf, state[_AT]]))
            elif block > 0:
                first = min(first, max(low, np.int64(last_docs[block - 1]) + 1))
            else:
                first = low
        if first >= n_docs:
            break
        base = (first >> 6) << 6
        low = first
        high = min(base + WINDOW, n_docs)
        # --- the most that each term can add in it
        total = np.float32(0.0)
        n_present = 0
        for leaf in range(n_leaves):
            state = states[leaf]
            limits[leaf] = np.float32(-1.0)
            if state[_N] < 0:
                continue
            row = rows[leaf]
            if row[0] != BLOCKS:
                if np.int64(docs[leaf, state[_AT]]) < high:
                    limits[leaf] = weights[leaf]
            elif not (
                state[_N] > 0
                and state[_BLOCK_NO] == state[_NEXT_BLOCK]
                and np.int64(docs[leaf, state[_AT]]) >= high
            ):
                n_blocks = (row[1] + BLOCK - 1) >> 7
                last_docs = u32_at(row[LAST_DOCS], n_blocks)
                block = state[_NEXT_BLOCK]
                at = state[_FIRST_BOUND] + block
                if block == 0 or np.int64(last_docs[block - 1]) + 1 < high:
                    limit = bounds[at]
                    while block + 1 < n_blocks and np.int64(last_docs[block]) + 1 < high:
                        block += 1
                        at += 1
                        limit = max(limit, bounds[at])
                    limits[leaf] = limit
            if limits[leaf] >= 0:
                total += limits[leaf]
                n_present += 1
        if n_present == 0 or (n_heap == k and total * _SLACK <= root):
            low = high
            continue
        # --- terms by what they can add, those that cannot add anything last
        for i in range(1, n_leaves):
            leaf = order[i]
            j = i
            while j > 0 and limits[order[j - 1]] < limits[leaf]:
                order[j] = order[j - 1]
                j -= 1
            order[j] = leaf
        remaining[n_present] = np.float32(0.0)
        for i in range(n_present - 1, -1, -1):
            remaining[i] = remaining[i + 1] + limits[order[i]]
        n_main = n_present
        while n_heap == k and n_main > 1 and remaining[n_main - 1] * _SLACK <= root:
            n_main -= 1
        for i in range(n_main):
            leaf = order[i]
            row = rows[leaf]
            state = states[leaf]
            table = f32_at(table_addresses[leaf], 256 if norm_addresses[leaf] else 0)
            target = low
            while target < high and _move(
                row, state, cursors[leaf], target, n_docs, docs[leaf], tfs[leaf]
            ):
                start = state[_AT]
                end = state[_N]
                if np.int64(docs[leaf, end - 1]) >= high:
                    end = lower_bound(docs[leaf], start, end - 1, high)
                if end > start:
                    _unite(
                        row, state, weights[leaf], norm_addresses[leaf], table, n_docs, base,
                        start, end, docs[leaf], tfs[leaf], fresh, mask, dirty, scores,
                    )  # fmt: skip
                if end < state[_N]:
                    state[_AT] = end
                    break
                target = np.int64(docs[leaf, end - 1]) + 1
        if alive_address:
            words = dirty[0]
            while words != _ZERO:
                word = lowest_bit(words)
                words &= words - _ONE
                mask[word] &= alive[(base >> 6) + word]
        for i in range(n_main, n_present):
            leaf = order[i]
            table = f32_at(table_addresses[leaf], 256 if norm_addresses[leaf] else 0)
            _add_to_candidates(
                rows[leaf], states[leaf], cursors[leaf], weights[leaf], remaining[i], root,
                norm_addresses[leaf], table, n_docs, base, docs[leaf], tfs[leaf], mask, dirty[0],
                scores,
            )  # fmt: skip
        # --- the window's hits
        words = dirty[0]
        dirty[0] = _ZERO
        while words != _ZERO:
            word = lowest_bit(words)
            words &= words - _ONE
            bits = mask[word]
            mask[word] = _ZERO
            if popcount(bits) > 8:
                # Most have nothing better: compare all 64 at once first.
                n_above = 0
                for i in range(word * 64, word * 64 + 64):
                    n_above += np.int64(scores[i] > root)
                if n_above == 0:
                    bits = _ZERO
            while bits != _ZERO:
                i = word * 64 + lowest_bit(bits)
                bits &= bits - _ONE
                if scores[i] > root and passes(filters, base + i):
                    push_hit(heap_scores, heap_docs, n_heap, scores[i], key | (base + i))
                    n_heap = min(n_heap + 1, k)
                    if n_heap == k:
                        root = heap_scores[0]
            scores[word * 64 : word * 64 + 64] = np.float32(0.0)
        low = high
    return n_heap
