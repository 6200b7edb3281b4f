"""Run a query's program over views, window by window.

One call answers a query on all views: see `operations.py` for the program and `rows.py` for
its leaves. The window of documents moves to the next candidate of the drivers, so that what
no driver has costs nothing; everything about a window stays in the cache.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import highest_bit, lowest_bit, popcount
from index.kernels.heap import push_hit, sort_hits
from index.kernels.inner import inner
from index.kernels.leaves import advance, dense_next, dense_word, lower_bound
from index.kernels.memory import f32_at, i64_at, u8_at, u64_at
from index.kernels.operations import (
    ALIVE,
    AND,
    ARG,
    BM25,
    CLEAR,
    CODE,
    CONST,
    CONSTANT,
    COUNT,
    DEPTH,
    DST,
    GIVEN,
    JUMP,
    LEAF,
    LEAST,
    LIMIT,
    MAX,
    MAYBE,
    MODE,
    N_DOCS,
    NOT,
    OUT_WORD,
    REGISTER,
    TIE,
    UNSCORED,
    WINDOW,
)
from index.kernels.rows import BITS

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_WORTH_A_LOOK = 8
"""With more matches among 64 documents than this, all 64 scores are compared at once first."""

_TAKE = (
    "void(i8[::1], f4, u4[::1], u4[::1], i8, i8, i8, i8, i8, "
    "u8[::1], u8[::1], f4[::1], u2[::1], u8[::1], f4[::1])"
)


@inner(
    "void(i8[::1], f4, u4[::1], u4[::1], i8, i8, i8, i8, f4[::1])",
    error_model="numpy",
)
def _score_postings(op, weight, docs, tfs, start, stop, norm_address, n_docs, out):
    """Write the scores of postings `start` .. `stop` of a buffer to `out` from 0 on."""
    mode = op[MODE]
    if mode == BM25:
        norms = u8_at(norm_address, n_docs)
        table = f32_at(op[ARG], 256)
        for i in range(start, stop):
            tf = np.float32(tfs[i])
            out[np.uint64(i - start)] = weight * tf / (tf + table[norms[docs[i]]])
    elif mode == GIVEN:
        given = tfs.view(np.float32)
        for i in range(start, stop):
            out[i - start] = given[i] * weight
    else:
        for i in range(start, stop):
            out[i - start] = weight


@inner(_TAKE, error_model="numpy")
def unite_postings(
    op, weight, docs, tfs, start, stop, base, norm_address, n_docs,
    mask, dirty, scores, counts, _, given,
):  # fmt: skip
    """OR, MAX or COUNT postings `start` .. `stop` of a buffer, all within the window at `base`.

    Requires: scores are 0 where the mask has no document.
    """
    code = op[CODE]
    base = np.uint32(base)
    if code == COUNT:
        for i in range(start, stop):
            doc = docs[i] - base
            is_in = (mask[doc >> np.uint32(6)] >> np.uint64(doc & np.uint32(63))) & _ONE
            counts[doc] = np.uint16(counts[doc] + 1) if is_in != _ZERO else np.uint16(1)
    word = (docs[start] - base) >> np.uint32(6)
    bits = _ZERO
    touched = _ONE << np.uint64(word)
    for i in range(start, stop):
        doc = docs[i] - base
        if doc >> np.uint32(6) != word:
            mask[word] |= bits
            word = doc >> np.uint32(6)
            bits = _ZERO
            touched |= _ONE << np.uint64(word)
        bits |= _ONE << np.uint64(doc & np.uint32(63))
    mask[word] |= bits
    dirty[0] |= touched
    if op[MODE] == UNSCORED:
        return
    _score_postings(op, weight, docs, tfs, start, stop, norm_address, n_docs, given)
    if code == MAX:
        for i in range(start, stop):
            doc = docs[i] - base
            scores[doc] = max(scores[doc], given[np.uint64(i - start)])
    else:
        for i in range(start, stop):
            scores[docs[i] - base] += given[np.uint64(i - start)]


@inner(_TAKE, error_model="numpy")
def _meet_postings(
    op, weight, docs, tfs, start, stop, base, norm_address, n_docs, mask, _, scores, __, kept, ___
):
    """AND, NOT or MAYBE postings `start` .. `stop` of a buffer, all within the window at `base`.

    AND writes the documents that stay into `kept`; the caller makes it the mask afterwards.
    """
    code = op[CODE]
    mode = op[MODE]
    norms = u8_at(norm_address, n_docs if mode == BM25 else 0)
    table = f32_at(op[ARG], 256 if mode == BM25 else 0)
    given = tfs.view(np.float32)
    score = weight
    for i in range(start, stop):
        doc = np.int64(docs[i]) - base
        word = doc >> 6
        bit = _ONE << np.uint64(doc & 63)
        if mask[word] & bit == _ZERO:
            continue
        if code == NOT:
            mask[word] &= ~bit
            continue
        kept[word] |= bit
        if mode == UNSCORED:
            continue
        if mode == BM25:
            tf = np.float32(tfs[i])
            score = weight * tf / (tf + table[norms[doc + base]])
        elif mode == GIVEN:
            score = given[i] * weight
        scores[doc] += score


@inner("void(i8[::1], f4, u8, i8, u8[::1], u8[::1], f4[::1], u2[::1], f4[::1])")
def _take_word(op, weight, bits, word, mask, dirty, scores, counts, given):
    """Take 64 documents of a dense leaf or of another register, whose scores are `given`."""
    code = op[CODE]
    mode = op[MODE]
    before = mask[word]
    if code == AND:
        bits &= before
        mask[word] = bits
    elif code == NOT:
        mask[word] = before & ~bits
        return
    elif code == MAYBE:
        bits &= before
    else:
        mask[word] = before | bits
        dirty[0] |= _ONE << np.uint64(word)
    if mode == UNSCORED and code != COUNT:
        return
    score = weight
    while bits != _ZERO:
        doc = word * 64 + lowest_bit(bits)
        bits &= bits - _ONE
        if code == COUNT:
            is_in = (before >> np.uint64(doc & 63)) & _ONE != _ZERO
            counts[doc] = np.uint16(counts[doc] + 1) if is_in else np.uint16(1)
        if mode == UNSCORED:
            continue
        if mode != CONSTANT:
            score = given[doc]
        if code == MAX:
            scores[doc] = max(scores[doc], score)
        else:
            scores[doc] += score


@inner("b1(u8[::1], u8, i8, i8[::1])", error_model="numpy")
def _range_of(mask, dirty, base, bounds):
    """Set `bounds` to [first, last + 1] of the documents in a register; False: it is empty."""
    while dirty != _ZERO and mask[lowest_bit(dirty)] == _ZERO:
        dirty &= dirty - _ONE
    if dirty == _ZERO:
        return False
    first = lowest_bit(dirty)
    last = highest_bit(dirty)
    while mask[last] == _ZERO:
        last -= 1
    bounds[0] = base + first * 64 + lowest_bit(mask[first])
    bounds[1] = base + last * 64 + highest_bit(mask[last]) + 1
    return True


@inner("i8(u8[::1], i8, i8)", error_model="numpy")
def _next_in(mask, first, end):
    """Return the first document of a register from `first` on, `end` if there is none before it.

    Requires: first < end <= WINDOW.
    """
    word = first >> 6
    bits = mask[word] >> np.uint64(first & 63) << np.uint64(first & 63)
    while bits == _ZERO:
        word += 1
        if word * 64 >= end:
            return end
        bits = mask[word]
    return word * 64 + lowest_bit(bits)


_EVALUATE = (
    "void(i8[:,::1], f4[::1], i8[:,:,::1], i8[:,::1], i8[::1], i8[:,::1], f4[::1], i8, i8, "
    "u8[:,::1], u8[:,::1], f4[:,::1], u2[:,::1], u4[:,::1], u4[:,::1], f4[::1], "
    "i8[:,::1], i8[:,::1], i8[:,::1], f4[::1], i8[::1], u8[::1], f4[::1], i8[::1])"
)


@numba.njit(_EVALUATE, nogil=True, cache=True, error_model="numpy")
def evaluate(
    ops,
    weights,
    leaves,
    norms,
    drivers,
    views,
    limits,
    total_limit,
    stop_address,
    masks,
    dirty,
    scores,
    counts,
    docs,
    tfs,
    fresh,
    cursors,
    places,
    bounds,
    heap_scores,
    heap_docs,
    out_mask,
    out_scores,
    result,
):
    """Run the program `ops`/`weights` over every view in turn.

    leaves[v, l]: row of leaf l in view v; norms[v, l]: address of its norms (u8[n_docs]), 0
    where it is not scored by BM25. drivers: leaves whose union holds every match. views[v]:
    see `operations.py`. limits: [the highest score there can be, the least score to keep].
    total_limit: with more matches counted, the run may end once no hit can be better than those
    it has; stop_address: an i64, not 0 = end early.
    Scratch: masks u64[registers + 1, 64], scores f32[registers, 4096] and dirty u64[registers,
    1], all zeros (dirty has a bit for each 64 documents of which some may be set), counts u16 as
    scores ([registers, 0] where no COUNT is), docs, tfs u32[leaves, 128], fresh f32[128], cursors
    i64[leaves, 4], places i64[leaves, 2], bounds i64[MAX_LEVELS, 2].

    Fills: heap_scores, heap_docs (view << 32 | doc; best first, ties go to the lower), out_mask
    and out_scores (zeros; or empty: not wanted), result = [hits counted, length of the heap].

    Requires: every leaf is a source once; doc ids of a stream rise; result is zeros.
    """
    n_ops = len(ops)
    n_leaves = leaves.shape[1]
    k = len(heap_scores)
    best_possible = limits[0]
    min_score = limits[1]
    total = 0
    n_heap = 0
    kept = masks[masks.shape[0] - 1]
    asked_to_stop = i64_at(stop_address, 1)
    n_left = np.int64(1)
    for v in range(len(views)):
        n_docs = views[v, N_DOCS]
        has_dead = views[v, ALIVE] != 0
        alive = u64_at(views[v, ALIVE], (n_docs + 63) >> 6 if has_dead else 0)
        out_word = views[v, OUT_WORD]
        for leaf in range(n_leaves):
            places[leaf, 0] = 0
            places[leaf, 1] = 0
            for i in range(cursors.shape[1]):
                cursors[leaf, i] = 0
        base = 0
        while True:
            # --- the next window that can hold a match
            first = n_docs
            for i in range(len(drivers)):
                leaf = drivers[i]
                row = leaves[v, leaf]
                if row[0] >= BITS:
                    first = min(first, dense_next(row, base, n_docs))
                elif advance(row, cursors[leaf], docs[leaf], tfs[leaf], places[leaf], base):
                    first = min(first, np.int64(docs[leaf, places[leaf, 0]]))
            if first >= n_docs:
                break
            base = (first >> 6) << 6
            bounds[0, 0] = first
            bounds[0, 1] = min(base + WINDOW, n_docs)
            # --- the program
            at = 0
            while at < n_ops:
                op = ops[at]
                code = op[CODE]
                weight = weights[at]
                at += 1
                mask = masks[op[DST]]
                score = scores[op[DST]]
                count = counts[op[DST]]
                stain = dirty[op[DST]]
                if code == CLEAR:
                    words = stain[0]
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        mask[word] = _ZERO
                        score[word * 64 : word * 64 + 64] = np.float32(0.0)
                    stain[0] = _ZERO
                elif code == LIMIT:
                    if not _range_of(mask, stain[0], base, bounds[op[ARG]]):
                        at = op[JUMP]
                elif code == CONST:
                    words = stain[0]
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        score[word * 64 : word * 64 + 64] = weight
                elif code == LEAST:
                    words = stain[0]
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        bits = mask[word]
                        while bits != _ZERO:
                            bit = lowest_bit(bits)
                            bits &= bits - _ONE
                            if np.int64(count[word * 64 + bit]) < op[ARG]:
                                mask[word] &= ~(_ONE << np.uint64(bit))
                elif code == TIE:
                    others = scores[op[REGISTER]]
                    words = stain[0]
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        for i in range(word * 64, word * 64 + 64):
                            score[i] += weight * (others[i] - score[i])
                elif op[LEAF] < 0:
                    source = masks[op[REGISTER]]
                    given = scores[op[REGISTER]]
                    words = stain[0] if code == AND else dirty[op[REGISTER], 0]
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        _take_word(op, weight, source[word], word, mask, stain, score, count, given)
                else:
                    leaf = op[LEAF]
                    row = leaves[v, leaf]
                    low = bounds[op[DEPTH], 0]
                    high = bounds[op[DEPTH], 1]
                    if row[0] >= BITS:
                        # AND must see every word that may hold a document: those of `bounds`
                        for word in range(low >> 6, (high + 63) >> 6):
                            bits = dense_word(row, word, n_docs)
                            if row[1] <= 0:
                                bits = _ZERO
                            if bits != _ZERO or code == AND:
                                _take_word(
                                    op,
                                    weight,
                                    bits,
                                    word - (base >> 6),
                                    mask,
                                    stain,
                                    score,
                                    count,
                                    score,
                                )
                        continue
                    meets = code in (AND, NOT, MAYBE)
                    words = stain[0] if meets else _ZERO
                    while words != _ZERO:
                        kept[lowest_bit(words)] = _ZERO
                        words &= words - _ONE
                    while low < high and advance(
                        row, cursors[leaf], docs[leaf], tfs[leaf], places[leaf], low
                    ):
                        start = places[leaf, 0]
                        stop = places[leaf, 1]
                        if np.int64(docs[leaf, stop - 1]) >= high:
                            stop = lower_bound(docs[leaf], start, stop - 1, high)
                        if stop == start:
                            break
                        if meets:
                            _meet_postings(
                                op,
                                weight,
                                docs[leaf],
                                tfs[leaf],
                                start,
                                stop,
                                base,
                                norms[v, leaf],
                                n_docs,
                                mask,
                                stain,
                                score,
                                count,
                                kept,
                                fresh,
                            )
                        else:
                            unite_postings(
                                op,
                                weight,
                                docs[leaf],
                                tfs[leaf],
                                start,
                                stop,
                                base,
                                norms[v, leaf],
                                n_docs,
                                mask,
                                stain,
                                score,
                                count,
                                kept,
                                fresh,
                            )
                        low = np.int64(docs[leaf, stop - 1]) + 1
                        if meets and low < high:
                            # blocks of postings between two candidates are never unpacked
                            low = base + _next_in(mask, low - base, high - base)
                    words = stain[0] if code == AND else _ZERO
                    while words != _ZERO:
                        word = lowest_bit(words)
                        words &= words - _ONE
                        mask[word] = kept[word]
            # --- what the window gives
            mask = masks[0]
            score = scores[0]
            threshold = heap_scores[0] if n_heap == k and k > 0 else np.float32(-np.inf)
            ranks = k > 0 and not (n_heap == k and best_possible <= threshold)
            words = dirty[0, 0]
            while words != _ZERO:
                word = lowest_bit(words)
                words &= words - _ONE
                at_word = (base >> 6) + word
                bits = mask[word]
                if has_dead:
                    bits &= alive[at_word]
                if min_score > -np.inf:
                    left = bits
                    while left != _ZERO:
                        bit = lowest_bit(left)
                        left &= left - _ONE
                        if score[word * 64 + bit] < min_score:
                            bits &= ~(_ONE << np.uint64(bit))
                total += popcount(bits)
                if len(out_mask) > 0:
                    out_mask[out_word + at_word] = bits
                if len(out_scores) > 0:
                    start = (out_word + at_word) * 64
                    for i in range(64):
                        out_scores[start + i] = score[word * 64 + i]
                if not ranks:
                    continue
                if popcount(bits) > _WORTH_A_LOOK:
                    n_above = 0
                    for i in range(word * 64, word * 64 + 64):
                        n_above += np.int64(score[i] > threshold)
                    if n_above == 0:
                        continue
                while bits != _ZERO:
                    i = word * 64 + lowest_bit(bits)
                    bits &= bits - _ONE
                    if score[i] > threshold:
                        push_hit(heap_scores, heap_docs, n_heap, score[i], v << 32 | base + i)
                        n_heap = min(n_heap + 1, k)
                        if n_heap == k:
                            threshold = heap_scores[0]
            base += WINDOW
            is_full = k == 0
            if n_heap == k and k > 0:
                is_full = best_possible <= heap_scores[0]
            if asked_to_stop[0] != 0 or (is_full and total > total_limit):
                n_left = np.int64(0)
                break
        if n_left == 0:
            break
    sort_hits(heap_scores, heap_docs, n_heap)
    result[0] = total
    result[1] = n_heap
