"""The best documents of one term, without looking at blocks that cannot have any.

Every block of postings knows its best document (postings.py), so most blocks of a frequent term
are never unpacked. Block-max skipping as in S. Ding and T. Suel, "Faster top-k document retrieval
using block-max indexes", SIGIR 2011; a few of the most promising blocks are scored first to learn
what a hit must beat.
"""

from __future__ import annotations

import numpy as np

from index.kernels.filters import passes
from index.kernels.heap import push_hit
from index.kernels.inner import inner
from index.kernels.leaves import fill
from index.kernels.memory import f32_at, i64_at, u8_at, u64_at
from index.kernels.postings import POS_METAS, bound_of, decode_docs, decode_tfs
from index.kernels.rows import BLOCK, BLOCKS, CURSOR_WIDTH

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SEEDS = 3
"""Blocks scored first."""
_LONGEST_SEED = 100
"""A block has 128 documents, so it says little about more hits than this."""


@inner(
    "i8(i8[::1], i8, i8, f4, u1[::1], f4[::1], u8[::1], u4[::1], u4[::1], f4[::1])",
    error_model="numpy",
)
def _score_block(row, block, n_docs, weight, norms, table, alive, docs, tfs, scores):
    """Write the doc ids and scores of a block; return how many, those of dead ones are -1."""
    n = decode_docs(row, block, n_docs, docs)
    if len(norms) == 0:
        scores[:n] = weight
    else:
        decode_tfs(row, block, n, tfs)
        for i in range(n):
            tf = np.float32(tfs[i])
            scores[i] = weight * tf / (tf + table[norms[docs[i]]])
    if len(alive):
        for i in range(n):
            if (
                alive[docs[i] >> np.uint32(6)] >> np.uint64(docs[i] & np.uint32(63))
            ) & _ONE == _ZERO:
                scores[i] = np.float32(-1.0)
    return n


@inner(
    "f4(i8[::1], f4[::1], i8[:, ::1], i8, i8, f4, u1[::1], f4[::1], u8[::1], u4[::1], u4[::1],"
    " f4[::1])",
    error_model="numpy",
)
def _seed(row, bounds, filters, k, n_docs, weight, norms, table, alive, docs, tfs, scores):
    """Return a score that at least `k` documents reach: from the blocks with the best bounds."""
    best_scores = np.empty(k, np.float32)
    best_docs = np.zeros(k, np.int64)
    n_best = 0
    done = np.full(_SEEDS, np.int64(-1))
    for turn in range(_SEEDS):
        block = np.int64(-1)
        greatest = np.float32(-1.0)
        for b in range(len(bounds)):
            if bounds[b] > greatest and b != done[0] and b != done[1]:
                greatest = bounds[b]
                block = b
        if block < 0 or (n_best == k and greatest <= best_scores[0]):
            break
        done[turn] = block
        n = _score_block(row, block, n_docs, weight, norms, table, alive, docs, tfs, scores)
        for i in range(n):
            if (
                scores[i] >= 0
                and (n_best < k or scores[i] > best_scores[0])
                and passes(filters, np.int64(docs[i]))
            ):
                push_hit(best_scores, best_docs, n_best, scores[i], np.int64(docs[i]))
                n_best = min(n_best + 1, k)
    return best_scores[0] if n_best == k else np.float32(-1.0)


@inner(
    "i8(i8[::1], f4, f4, i8, i8, i8[:, ::1], i8, i8, i8, f4[::1], i8[::1], i8, i8)",
    error_model="numpy",
)
def best_of_term(
    row, weight, slack, norm_address, table_address, filters, n_docs, alive_address, view,
    heap_scores, heap_docs, n_heap, stop_address,
):  # fmt: skip
    """Push the best documents of a term in one view onto the heap; return its new length.

    weight, slack: see `postings.bound_of`; norm_address: u8[n_docs], 0: every document scores
    `weight`; table_address: f32[256]; filters: see `filters.passes`;
    alive_address: 0: all live; stop_address: an i64, not 0 = stop early.

    Requires: len(heap_scores) > 0; views come in rising order.
    """
    k = len(heap_scores)
    norms = u8_at(norm_address, n_docs if norm_address else 0)
    table = f32_at(table_address, 256 if norm_address else 0)
    alive = u64_at(alive_address, (n_docs + 63) >> 6 if alive_address else 0)
    stop = i64_at(stop_address, 1)
    docs = np.empty(BLOCK, np.uint32)
    tfs = np.empty(BLOCK, np.uint32)
    scores = np.empty(BLOCK, np.float32)
    root = heap_scores[0] if n_heap == k else np.float32(-1.0)
    if root >= weight or row[1] <= 0:
        return n_heap
    key = np.int64(view) << 32
    if row[0] != BLOCKS:
        cursor = np.zeros(CURSOR_WIDTH, np.int64)
        while True:
            n = fill(row, cursor, docs, tfs)
            if n == 0 or np.int64(docs[n - 1]) >= n_docs:
                return n_heap
            for i in range(n):
                doc = np.int64(docs[i])
                score = weight
                if norm_address:
                    tf = np.float32(tfs[i])
                    score = weight * tf / (tf + table[norms[doc]])
                if (
                    score > root
                    and (
                        alive_address == 0
                        or (alive[doc >> 6] >> np.uint64(doc & 63)) & _ONE != _ZERO
                    )
                    and passes(filters, doc)
                ):
                    push_hit(heap_scores, heap_docs, n_heap, score, key | doc)
                    n_heap = min(n_heap + 1, k)
                    if n_heap == k:
                        root = heap_scores[0]
            if (n_heap == k and root >= weight) or stop[0] != 0:
                return n_heap
    n_blocks = (row[1] + BLOCK - 1) >> 7
    bounds = np.empty(n_blocks, np.float32)
    if norm_address:
        metas = u64_at(row[POS_METAS], n_blocks)
        for block in range(n_blocks):
            bounds[block] = bound_of(metas[block], weight, slack, table)
    else:
        bounds[:] = weight
    least = np.float32(-1.0)
    if norm_address and n_heap < k <= _LONGEST_SEED and n_blocks > 2 * _SEEDS:
        least = _seed(
            row, bounds, filters, k, n_docs, weight, norms, table, alive, docs, tfs, scores
        )
    for block in range(n_blocks):
        if bounds[block] <= root or bounds[block] < least:
            continue
        if stop[0] != 0:
            break
        n = _score_block(row, block, n_docs, weight, norms, table, alive, docs, tfs, scores)
        floor = max(root, np.float32(0.0))
        n_above = 0
        for i in range(n):
            n_above += np.int64(scores[i] >= floor)
        if n_above == 0:
            continue
        for i in range(n):
            if (
                scores[i] > root
                and scores[i] >= least
                and scores[i] >= 0
                and passes(filters, np.int64(docs[i]))
            ):
                push_hit(heap_scores, heap_docs, n_heap, scores[i], key | np.int64(docs[i]))
                n_heap = min(n_heap + 1, k)
                if n_heap == k:
                    root = heap_scores[0]
    return n_heap
