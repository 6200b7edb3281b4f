"""The best documents of a disjunction of terms, without looking at what cannot be among them.

MaxScore (H. Turtle and J. Flood, "Query evaluation: strategies and optimizations", Information
Processing and Management 31(6), 1995), window by window: terms are ordered by the most they can
add. Once the heap is full, a document that has only the last terms, whose bounds sum up to no
more than the worst hit, cannot enter; those terms then only add to documents that others found.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit, popcount
from index.kernels.evaluate import unite_postings
from index.kernels.heap import push_hit
from index.kernels.leaves import advance, lower_bound
from index.kernels.memory import f32_at, u8_at, u64_at
from index.kernels.operations import ALIVE, ARG, BM25, MODE, N_DOCS, WINDOW, WINDOW_WORDS

_ZERO = np.uint64(0)
_ONE = np.uint64(1)

_ADD = (
    "void(i8[::1], f4, f4, f4, i8[::1], i8[::1], u4[::1], u4[::1], i8[::1], i8, i8, i8, "
    "u8[::1], f4[::1])"
)


@numba.njit(_ADD, nogil=True, cache=True, error_model="numpy")
def _add_to_candidates(
    op, weight, remaining, worst, row, cursor, docs, tfs, place, base, norm_address, n_docs,
    mask, scores,
):  # fmt: skip
    """Add one term's scores to the documents of the mask; drop those that cannot enter.

    `remaining`: the most that this and the later terms can add.
    """
    norms = u8_at(norm_address, n_docs if op[MODE] == BM25 else 0)
    table = f32_at(op[ARG], 256 if op[MODE] == BM25 else 0)
    at = place[0] if place[1] > 0 else place[1]
    n = place[1]
    for word in range(WINDOW_WORDS):
        bits = mask[word]
        while bits != _ZERO:
            i = word * 64 + lowest_bit(bits)
            lowest = bits & (~bits + _ONE)
            bits ^= lowest
            if scores[i] + remaining <= worst:
                mask[word] ^= lowest
                continue
            doc = base + i
            # Candidates lie close together or are few: a step or two in the buffer, no call.
            while at < n and np.int64(docs[at]) < doc:
                at += 1
            if at == n:
                if n < 0 or not advance(row, cursor, docs, tfs, place, doc):
                    n = at = -1
                    continue
                at = place[0]
                n = place[1]
            if np.int64(docs[at]) != doc:
                continue
            if op[MODE] == BM25:
                tf = np.float32(tfs[at])
                scores[i] += weight * tf / (tf + table[norms[doc]])
            else:
                scores[i] += weight
    if n > 0:
        place[0] = min(at, n - 1)


_BEST = (
    "void(i8[:,::1], f4[::1], f4[::1], i8[:,:,::1], i8[:,::1], i8[:,::1], i8, "
    "u8[::1], u8[::1], f4[::1], u4[:,::1], u4[:,::1], i8[:,::1], i8[:,::1], f4[::1], "
    "f4[::1], i8[::1], i8[::1])"
)


@numba.njit(_BEST, nogil=True, cache=True, error_model="numpy")
def best_of_any(
    ops,
    weights,
    remaining,
    leaves,
    norms,
    views,
    total_limit,
    mask,
    dirty,
    scores,
    docs,
    tfs,
    cursors,
    places,
    fresh,
    heap_scores,
    heap_docs,
    result,
):
    """Fill the heap with the best documents that have any of the leaves; scores add up.

    ops, weights: one row a leaf, as `operations.py` has them. remaining[l]: the most that the
    leaves from l on can add together; falls. leaves, norms, views: as in `evaluate`. Matches
    are counted until there are more than `total_limit`; from then on some may be passed over.
    Scratch: mask u64[64], dirty u64[1], scores f32[4096] zeros, docs, tfs u32[leaves, 128],
    cursors i64[leaves, 4], places i64[leaves, 2], fresh f32[128]. heap_scores, heap_docs,
    result: as in `evaluate`.

    Requires: every leaf is a stream; len(heap_scores) > 0; result is zeros.
    """
    n_leaves = len(ops)
    k = len(heap_scores)
    total = 0
    n_heap = 0
    n_main = n_leaves
    no_counts = np.empty(0, np.uint16)
    for v in range(len(views)):
        n_docs = views[v, N_DOCS]
        has_dead = views[v, ALIVE] != 0
        alive = u64_at(views[v, ALIVE], (n_docs + 63) >> 6 if has_dead else 0)
        places[:] = 0
        cursors[:] = 0
        base = 0
        while True:
            if n_heap == k and total > total_limit:
                while n_main > 0 and remaining[n_main - 1] <= heap_scores[0]:
                    n_main -= 1
            first = n_docs
            for leaf in range(n_main):
                row = leaves[v, leaf]
                if advance(row, cursors[leaf], docs[leaf], tfs[leaf], places[leaf], base):
                    first = min(first, np.int64(docs[leaf, places[leaf, 0]]))
            if first >= n_docs:
                break
            base = (first >> 6) << 6
            high = min(base + WINDOW, n_docs)
            mask[:] = _ZERO
            bits = dirty[0]
            while bits != _ZERO:
                word = lowest_bit(bits)
                bits &= bits - _ONE
                scores[word * 64 : word * 64 + 64] = np.float32(0.0)
            dirty[0] = _ZERO
            for leaf in range(n_main):
                low = first
                while low < high and advance(
                    leaves[v, leaf], cursors[leaf], docs[leaf], tfs[leaf], places[leaf], low
                ):
                    start = places[leaf, 0]
                    stop = places[leaf, 1]
                    if np.int64(docs[leaf, stop - 1]) >= high:
                        stop = lower_bound(docs[leaf], start, stop - 1, high)
                    if stop == start:
                        break
                    unite_postings(
                        ops[leaf], weights[leaf], docs[leaf], tfs[leaf], start, stop, base,
                        norms[v, leaf], n_docs, mask, dirty, scores, no_counts, mask, fresh,
                    )  # fmt: skip
                    low = np.int64(docs[leaf, stop - 1]) + 1
            n_words = (high - base + 63) >> 6
            if has_dead:
                for word in range(n_words):
                    mask[word] &= alive[(base >> 6) + word]
            if n_main == n_leaves:
                for word in range(n_words):
                    total += popcount(mask[word])
            for leaf in range(n_main, n_leaves):
                _add_to_candidates(
                    ops[leaf], weights[leaf], remaining[leaf], heap_scores[0], leaves[v, leaf],
                    cursors[leaf], docs[leaf], tfs[leaf], places[leaf], base, norms[v, leaf],
                    n_docs, mask, scores,
                )  # fmt: skip
            threshold = heap_scores[0] if n_heap == k else np.float32(-np.inf)
            for word in range(n_words):
                bits = mask[word]
                if popcount(bits) > 8:
                    # Most windows have nothing better: compare all 64 at once first.
                    n_above = 0
                    for i in range(word * 64, word * 64 + 64):
                        n_above += np.int64(scores[i] > threshold)
                    if n_above == 0:
                        continue
                while bits != _ZERO:
                    i = word * 64 + lowest_bit(bits)
                    bits &= bits - _ONE
                    if scores[i] > threshold:
                        push_hit(heap_scores, heap_docs, n_heap, scores[i], v << 32 | base + i)
                        if n_heap < k:
                            n_heap += 1
                        if n_heap == k:
                            threshold = heap_scores[0]
            base += WINDOW
    result[0] = total
    result[1] = n_heap
