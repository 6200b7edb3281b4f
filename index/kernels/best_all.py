"""The best documents that have all of some terms, or all of them in a row (a phrase).

The rarest term leads, one block of at most 128 documents at a time. A block whose terms cannot add
up to a hit is never unpacked; of the others' blocks only those with a candidate are. Frequencies
and positions are read for candidates alone, where they lie (the packing allows it).
"""

from __future__ import annotations

import numpy as np

from index.kernels.filters import passes
from index.kernels.heap import push_hit
from index.kernels.inner import inner
from index.kernels.memory import f32_at, i64_at, u8_at, u32_at, u64_at
from index.kernels.positions import (
    OFFSET,
    POSITIONS_WIDTH,
    count_in_row,
    open_positions,
    read_positions,
)
from index.kernels.postings import LAST_DOCS, first_block_at
from index.kernels.rows import BLOCK, BLOCKS, ROW_WIDTH
from index.kernels.stream import (
    AT,
    BLOCK_NO,
    BOUNDS,
    DOCS,
    N_DOCS,
    NEXT_BLOCK,
    NORMS,
    ROW,
    STREAM_WIDTH,
    TABLE,
    TFS,
    WEIGHT,
    N,
    bound_blocks,
    count_blocks,
    load_block,
    open_stream,
    tf_at,
    unpack_tfs,
)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SLACK = np.float32(1.0 + 2e-6)
"""Sums of f32 in another order may differ by this."""

_NEAR = 4
"""Documents in a buffer that are passed one by one before it is searched."""
_LOOKED_AT = 12
"""Blocks of another term that a block of the lead may meet for their bounds to be looked at."""

APART, TOGETHER = 0, 1
"""Modes: all of the terms somewhere, or each at its offset in a row."""

# A candidate set: u32[128] doc ids, then of each term u32[128] frequencies and u32[128] places
# (block << 7 | place in the block), in the order in which the terms are asked.
_SET = 4 * BLOCK
_MOST_ROOM = 1 << 26
"""More positions than any document has: the file is damaged."""
_ROOM = 1024
"""Positions of all terms of a phrase in a document that need no memory of their own."""


@inner("i8(i8, i8, i8, i8)")
def _take_lead(stream, found_address, alive_address, n_terms):
    """Make the live documents of the lead's buffer the candidates; return how many."""
    s = i64_at(stream, STREAM_WIDTH)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    tfs = u32_at(stream + 8 * TFS, BLOCK)
    found = u32_at(found_address, BLOCK)
    found_tfs = u32_at(found_address + _SET, BLOCK)
    places = u32_at(found_address + _SET * (1 + n_terms), BLOCK)
    unpack_tfs(stream)
    first = np.uint32(s[BLOCK_NO] << 7)
    n = s[N]
    if alive_address == 0:
        for i in range(n):
            found[i] = docs[i]
            found_tfs[i] = tfs[i]
            places[i] = first + np.uint32(i)
        return n
    alive = u64_at(alive_address, (s[N_DOCS] + 63) >> 6)
    kept = np.int64(0)
    for i in range(n):
        doc = docs[i]
        if (alive[doc >> np.uint32(6)] >> np.uint64(doc & np.uint32(63))) & _ONE != _ZERO:
            found[kept] = doc
            found_tfs[kept] = tfs[i]
            places[kept] = first + np.uint32(i)
            kept += 1
    return kept


@inner("i8(i8, i8, i8, i8, f4, f4)", error_model="numpy")
def _drop_hopeless(stream, found_address, n, n_terms, others, root):
    """Keep of the lead's candidates those that can pass `root` with `others` added; return how
    many."""
    s = i64_at(stream, STREAM_WIDTH)
    found = u32_at(found_address, BLOCK)
    found_tfs = u32_at(found_address + _SET, BLOCK)
    places = u32_at(found_address + _SET * (1 + n_terms), BLOCK)
    weight = np.float32(s.view(np.float64)[WEIGHT])
    norms = u8_at(s[NORMS], s[N_DOCS])
    table = f32_at(s[TABLE], 256)
    kept = np.int64(0)
    for i in range(n):
        tf = np.float32(found_tfs[i])
        score = weight * tf / (tf + table[norms[found[i]]])
        found[kept] = found[i]
        found_tfs[kept] = found_tfs[i]
        places[kept] = places[i]
        kept += np.int64((score + others) * _SLACK > root)
    return kept


@inner("i8(i8, i8, i8, i8, i8)", error_model="numpy")
def _intersect(stream, found_address, n, term, n_terms):
    """Keep of the `n` candidates those that a term has too, the `term`th asked; return how many."""
    s = i64_at(stream, STREAM_WIDTH)
    found = u32_at(found_address, BLOCK)
    tfs = u32_at(found_address + _SET, BLOCK * n_terms)
    places = u32_at(found_address + _SET * (1 + n_terms), BLOCK * n_terms)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    kept = np.int64(0)
    size = s[N]
    at = s[AT]
    for i in range(n):
        doc = found[i]
        if size <= 0 or docs[size - 1] < doc:
            if size < 0 or not load_block(stream, np.int64(doc)):
                break
            size = s[N]
            at = np.int64(0)
        if at + _NEAR < size and docs[at + _NEAR] < doc:
            at += _NEAR
            left = size - at
            while left > 1:
                half = left >> 1
                if docs[at + half - 1] < doc:
                    at += half
                left -= half
        else:
            while docs[at] < doc:
                at += 1
        if docs[at] != doc:
            continue
        if kept < i:
            for other in range(term):
                tfs[other * BLOCK + kept] = tfs[other * BLOCK + i]
                places[other * BLOCK + kept] = places[other * BLOCK + i]
            found[kept] = doc
        s[AT] = at
        tfs[term * BLOCK + kept] = tf_at(stream)
        places[term * BLOCK + kept] = np.uint32((s[BLOCK_NO] << 7) | at)
        kept += 1
    s[AT] = at
    return kept


@inner("f4(i8, i8, i8)", error_model="numpy")
def _limit_between(stream, first, last):
    """Return the most that a document from `first` to `last` can score in a stream.

    Requires: `bound_blocks` was called; `first` rises from call to call.
    """
    s = i64_at(stream, STREAM_WIDTH)
    row = i64_at(s[ROW], ROW_WIDTH)
    weight = np.float32(s.view(np.float64)[WEIGHT])
    if row[0] != BLOCKS or s[NORMS] == 0:
        return weight
    n_blocks = (row[1] + BLOCK - 1) >> 7
    last_docs = u32_at(row[LAST_DOCS], n_blocks)
    block = first_block_at(last_docs, s[NEXT_BLOCK], n_blocks, first)
    s[NEXT_BLOCK] = block
    if block == n_blocks:
        return np.float32(0.0)
    bounds = f32_at(s[BOUNDS], n_blocks)
    limit = bounds[block]
    end = min(block + _LOOKED_AT, n_blocks)
    while np.int64(last_docs[block]) < last:
        block += 1
        if block == end:
            return weight if end < n_blocks else limit
        limit = max(limit, bounds[block])
    return limit


@inner("f4(i8, i8, i8, i8, i8, i8)", error_model="numpy")
def _sum_scores(streams, ranks_address, found_address, i, doc, n_terms):
    """Return the score of candidate `i`: the terms in the order of the query, so that equal
    documents have equal sums."""
    ranks = i64_at(ranks_address, n_terms)
    tfs = u32_at(found_address + _SET, BLOCK * n_terms)
    score = np.float32(0.0)
    for term in range(n_terms):
        s = i64_at(streams + 8 * STREAM_WIDTH * term, STREAM_WIDTH)
        weight = np.float32(s.view(np.float64)[WEIGHT])
        if s[NORMS]:
            tf = np.float32(tfs[ranks[term] * BLOCK + i])
            norm = u8_at(s[NORMS], s[N_DOCS])[doc]
            score += weight * tf / (tf + f32_at(s[TABLE], 256)[norm])
        else:
            score += weight
    return score


@inner("i8(i8, i8, i8, i8, i8, f4, f4[::1])", error_model="numpy")
def _next_block(streams, order_address, n_terms, mode, block, root, others):
    """Return the lead's first block from `block` on that may have a document above `root`, and
    leave in others[0] the most that the other terms add there."""
    order = i64_at(order_address, n_terms)
    lead = streams + 8 * STREAM_WIDTH * order[0]
    s = i64_at(lead, STREAM_WIDTH)
    row = i64_at(s[ROW], ROW_WIDTH)
    n_blocks = (row[1] + BLOCK - 1) >> 7
    last_docs = u32_at(row[LAST_DOCS], n_blocks)
    bounds = f32_at(s[BOUNDS], n_blocks)
    while block < n_blocks:
        limit = bounds[block]
        if mode == TOGETHER:
            others[0] = np.float32(0.0)
            if limit * _SLACK <= root:
                block += 1
                continue
        elif (limit + others[1]) * _SLACK <= root:
            block += 1
            continue
        first = np.int64(last_docs[block - 1]) + 1 if block > 0 else np.int64(0)
        last = np.int64(last_docs[block])
        rest = np.float32(0.0)
        for i in range(1, n_terms):
            own = _limit_between(streams + 8 * STREAM_WIDTH * order[i], first, last)
            if mode == TOGETHER:
                limit = min(limit, own)
            else:
                rest += own
        if (limit + rest) * _SLACK > root:
            others[0] = rest
            return block
        block += 1
    return block


@inner("f4(i8, i8, i8, i8, i8, i8, i8, f4, i8)", error_model="numpy")
def _phrase_score(
    streams, order_address, places_of, found_address, scratch, i, n_terms, root, pruned
):
    """Return the score of candidate `i` as a phrase; -1: the terms are not in a row there, or
    (`pruned` not 0) the score cannot pass `root`.

    scratch: i64[terms, 3] and, behind it, u32[_ROOM].
    """
    order = i64_at(order_address, n_terms)
    tfs = u32_at(found_address + _SET, BLOCK * n_terms)
    places = u32_at(found_address + _SET * (1 + n_terms), BLOCK * n_terms)
    s = i64_at(streams, STREAM_WIDTH)
    doc = np.int64(u32_at(found_address, BLOCK)[i])
    weight = np.float32(s.view(np.float64)[WEIGHT])
    length = f32_at(s[TABLE], 256)[u8_at(s[NORMS], s[N_DOCS])[doc]]
    least = tfs[i]
    room = np.int64(0)
    for term in range(n_terms):
        tf = tfs[term * BLOCK + i]
        least = min(least, tf)
        room += np.int64(tf)
    tf = np.float32(least)
    if room > _MOST_ROOM or (pruned and weight * tf / (tf + length) <= root):
        return np.float32(-1.0)
    spans = i64_at(scratch, 3 * n_terms)
    positions = scratch + 24 * n_terms
    more = np.empty(room if room > _ROOM else 0, np.uint32)
    if room > _ROOM:
        positions = more.ctypes.data
    at = np.int64(0)
    for term in range(n_terms):
        known = places_of + 8 * POSITIONS_WIDTH * order[term]
        spans[3 * term] = at
        at += read_positions(
            known, doc, np.int64(tfs[term * BLOCK + i]), np.int64(places[term * BLOCK + i]),
            positions + 4 * at,
        )  # fmt: skip
        spans[3 * term + 1] = at
        spans[3 * term + 2] = i64_at(known, POSITIONS_WIDTH)[OFFSET]
    # `more` is in use until here
    frequency = count_in_row(positions, scratch, n_terms) + np.int64(len(more) < 0)
    if frequency == 0:
        return np.float32(-1.0)
    tf = np.float32(frequency)
    return weight * tf / (tf + length)


@inner(
    "i8(i8[:, ::1], f4[::1], f4[::1], i8[::1], i8[::1], i8[:, ::1], i8[::1], i8, i8, i8, i8,"
    " f4[::1], i8[::1], i8, i8[::1], i8)",
    error_model="numpy",
)
def best_of_all(
    rows, weights, slacks, norm_addresses, table_addresses, filters, offsets, mode, n_docs,
    alive_address, view, heap_scores, heap_docs, n_heap, total, stop_address,
):  # fmt: skip
    """Push the best documents of one view that have all the terms onto the heap; return its new
    length.

    Of each term: its row, weight, slack, norms and table as in `best_term.best_of_term`. Scores
    add up (APART), or a document's is the weight times the part of the phrase's own frequency
    (TOGETHER; all weights are the phrase's; `offsets`: where in the phrase each term stands).
    filters: see `filters.passes`. total: [matches so far, how many to count at most]; until these
    are counted every match is looked at. The heap may have no room at all.

    Requires: every row is a stream; in a phrase, of a text; views come in rising order.
    """
    k = len(heap_scores)
    n_terms = len(rows)
    counts = total[0] <= total[1]
    stop = i64_at(stop_address, 1)
    order = np.arange(n_terms)
    for i in range(n_terms):
        if rows[i, 1] <= 0:
            return n_heap
        j = i
        while j > 0 and rows[order[j - 1], 1] > rows[i, 1]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
    ranks = np.empty(n_terms, np.int64)
    for i in range(n_terms):
        ranks[order[i]] = i
    memory = np.empty(
        n_terms * (STREAM_WIDTH + POSITIONS_WIDTH + BLOCK + 3) + BLOCK // 2 + _ROOM // 2, np.int64
    )
    streams = memory.ctypes.data
    places_of = streams + 8 * STREAM_WIDTH * n_terms
    found_address = places_of + 8 * POSITIONS_WIDTH * n_terms
    scratch = found_address + _SET * (1 + 2 * n_terms)
    others = np.zeros(2, np.float32)
    n_bounds = np.int64(0)
    for term in range(n_terms):
        open_stream(
            streams + 8 * STREAM_WIDTH * term, rows.ctypes.data + 8 * ROW_WIDTH * term,
            weights[term], slacks[term], norm_addresses[term], table_addresses[term], n_docs,
        )  # fmt: skip
        if mode == TOGETHER:
            row = rows.ctypes.data + 8 * ROW_WIDTH * term
            open_positions(places_of + 8 * POSITIONS_WIDTH * term, row, offsets[term])
        elif term != order[0]:
            others[1] += weights[term]
        n_bounds += count_blocks(streams + 8 * STREAM_WIDTH * term)
    all_bounds = np.empty(n_bounds, np.float32)
    has_bounds = False
    lead = streams + 8 * STREAM_WIDTH * order[0]
    state = i64_at(lead, STREAM_WIDTH)
    weight = weights[order[0]]
    is_blocks = rows[order[0], 0] == BLOCKS
    n_blocks = (rows[order[0], 1] + BLOCK - 1) >> 7
    found = u32_at(found_address, BLOCK)
    key = np.int64(view) << 32
    root = heap_scores[0] if n_heap == k and k > 0 else np.float32(-1.0)
    target = np.int64(0)
    while stop[0] == 0 and (counts or k > 0):
        # --- candidates: a block of the lead that may have a hit, then what the others have of it
        is_pruned = not counts and n_heap == k
        others[0] = others[1]
        if is_pruned:
            if (weight + others[1]) * _SLACK <= root:
                break
            if not has_bounds:
                has_bounds = True
                n_bounds = np.int64(0)
                for term in range(n_terms):
                    stream = streams + 8 * STREAM_WIDTH * term
                    bound_blocks(stream, all_bounds.ctypes.data + 4 * n_bounds)
                    n_bounds += count_blocks(stream)
            if is_blocks:
                block = state[BLOCK_NO] + np.int64(target > 0)
                state[BLOCK_NO] = _next_block(
                    streams, order.ctypes.data, n_terms, mode, block, root, others
                )
                if state[BLOCK_NO] >= n_blocks:
                    break
        if not load_block(lead, target):
            break
        target = np.int64(u32_at(lead + 8 * DOCS, BLOCK)[state[N] - 1]) + 1
        n = _take_lead(lead, found_address, alive_address, n_terms)
        if is_pruned and norm_addresses[order[0]]:
            n = _drop_hopeless(lead, found_address, n, n_terms, others[0], root)
        for i in range(1, n_terms):
            stream = streams + 8 * STREAM_WIDTH * order[i]
            if n > 0:
                n = _intersect(stream, found_address, n, i, n_terms)
            if i64_at(stream, STREAM_WIDTH)[N] < 0:
                target = n_docs
        # --- their scores
        for i in range(n):
            doc = np.int64(found[i])
            score = np.float32(0.0)
            if mode == TOGETHER:
                pruned = np.int64(not counts and n_heap == k)
                score = _phrase_score(
                    streams, order.ctypes.data, places_of, found_address, scratch, i, n_terms,
                    root, pruned,
                )  # fmt: skip
                if score < 0:
                    continue
            elif k > 0:
                score = _sum_scores(streams, ranks.ctypes.data, found_address, i, doc, n_terms)
            is_better = k > 0 and score > root
            if (counts or is_better) and passes(filters, doc):
                if counts:
                    total[0] += 1
                    counts = total[0] <= total[1]
                if is_better:
                    push_hit(heap_scores, heap_docs, n_heap, score, key | doc)
                    n_heap = min(n_heap + 1, k)
                    if n_heap == k:
                        root = heap_scores[0]
        if target >= n_docs:
            break
    # what the addresses above name is in use until here
    return n_heap + np.int64(len(memory) + len(order) + len(ranks) + len(all_bounds) < 0)
