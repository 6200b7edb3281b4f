"""The best documents that have any of some terms: MaxScore over windows with bounds of their own.

H. Turtle and J. Flood, "Query evaluation: strategies and optimizations", Information Processing
and Management 31(6), 1995; bounds by block as in S. Ding and T. Suel, "Faster top-k document
retrieval using block-max indexes", SIGIR 2011. For each window of documents the terms are ordered
by the most they can add there. A window whose terms cannot add up to a hit is passed over; else the
last terms, whose bounds sum up to no more than the worst hit, only add to documents that the first
ones found. Where one of the first ones alone is not enough for a hit, documents are counted before
any is scored, 64 at a time, and only those with enough terms are.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit, popcount
from index.kernels.filters import passes
from index.kernels.heap import push_hit
from index.kernels.inner import inner
from index.kernels.leaves import lower_bound
from index.kernels.memory import f32_at, i64_at, u8_at, u32_at, u64_at
from index.kernels.postings import LAST_DOCS
from index.kernels.rows import BLOCK, BLOCKS, CURSOR_WIDTH, ROW_WIDTH
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
    doc_at,
    go_back,
    move,
    open_stream,
    remember,
    tf_at,
    unpack_tfs,
)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SIX = np.uint32(6)
_LOW = np.uint32(63)
_NARROW, _WIDE = 4096, 32768
"""Documents looked at together. Narrow windows have tighter bounds; where documents are few and far
between, they cost more than they save."""
_SPARSE = 32
"""Terms that have less than a document in so many are looked for in wide windows."""
_COUNTED = 3
"""Times that a document is counted at most; rows of marks."""
_MUCH = 3
"""A term with so many times more documents than the main ones is not counted."""
_PLACE = 1 + CURSOR_WIDTH
_MANY = 12
"""Of 64 documents."""
_SLACK = np.float32(1.0 + 2e-6)
"""Sums of f32 in another order may differ by this."""


@inner("i8(i8, i8)")
def _next_doc(stream, low):
    """Return the first document >= `low` of a stream, or one before it where finding out would
    take unpacking a block; -1: there is none."""
    s = i64_at(stream, STREAM_WIDTH)
    if s[N] < 0:
        return np.int64(-1)
    row = i64_at(s[ROW], ROW_WIDTH)
    if row[0] != BLOCKS:
        return doc_at(stream) if move(stream, low) else np.int64(-1)
    n_blocks = (row[1] + BLOCK - 1) >> 7
    last_docs = u32_at(row[LAST_DOCS], n_blocks)
    block = s[NEXT_BLOCK]
    while block < n_blocks and np.int64(last_docs[block]) < low:
        block += 1
    s[NEXT_BLOCK] = block
    if block == n_blocks:
        s[N] = -1
        return np.int64(-1)
    if s[N] > 0 and s[BLOCK_NO] == block:
        move(stream, low)
        return doc_at(stream)
    return max(low, np.int64(last_docs[block - 1]) + 1) if block > 0 else low


@numba.njit("f4(i8, i8)", nogil=True, cache=True)
def _limit(stream, high):
    """Return the most that a stream can add to a document before `high`; -1: it has none there.

    Requires: `_next_doc` was asked for the first document of the window.
    """
    nothing = np.float32(-1.0)
    s = i64_at(stream, STREAM_WIDTH)
    if s[N] < 0:
        return nothing
    row = i64_at(s[ROW], ROW_WIDTH)
    if row[0] != BLOCKS:
        return np.float32(s.view(np.float64)[WEIGHT]) if doc_at(stream) < high else nothing
    n_blocks = (row[1] + BLOCK - 1) >> 7
    last_docs = u32_at(row[LAST_DOCS], n_blocks)
    block = s[NEXT_BLOCK]
    if s[N] > 0 and s[BLOCK_NO] == block:
        if doc_at(stream) >= high:
            return nothing
    elif block > 0 and np.int64(last_docs[block - 1]) + 1 >= high:
        return nothing
    bounds = f32_at(s[BOUNDS], n_blocks)
    limit = bounds[block]
    while block + 1 < n_blocks and np.int64(last_docs[block]) + 1 < high:
        block += 1
        limit = max(limit, bounds[block])
    return limit


@inner("void(i8, i8, i8, i8, i8, i8, i8, i8)", error_model="numpy")
def _unite(stream, low, high, base, width, mask_address, scores_address, fresh_address):
    """Add the scores of all documents from `low` to `high` of a stream; set their bits."""
    s = i64_at(stream, STREAM_WIDTH)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    tfs = u32_at(stream + 8 * TFS, BLOCK)
    fresh = f32_at(fresh_address, BLOCK)
    mask = u64_at(mask_address, width >> 6)
    scores = f32_at(scores_address, width)
    weight = np.float32(s.view(np.float64)[WEIGHT])
    has_norms = s[NORMS] != 0
    norms = u8_at(s[NORMS], s[N_DOCS] if has_norms else 0)
    table = f32_at(s[TABLE], 256 if has_norms else 0)
    first = np.uint32(base)
    target = low
    while target < high and move(stream, target):
        start = s[AT]
        end = s[N]
        if np.int64(docs[end - 1]) >= high:
            end = lower_bound(docs, start, end - 1, high)
        own = docs[start:end]
        if has_norms:
            unpack_tfs(stream)
            own_tfs = tfs[start:end]
            for i in range(len(own)):
                tf = np.float32(own_tfs[i])
                fresh[i] = weight * tf / (tf + table[norms[own[i]]])
        else:
            fresh[: len(own)] = weight
        for i in range(len(own)):
            doc = own[i] - first
            mask[doc >> _SIX] |= _ONE << np.uint64(doc & _LOW)
            scores[doc] += fresh[i]
        if end < s[N]:
            s[AT] = end
            break
        target = np.int64(docs[end - 1]) + 1


@inner("void(i8, i8, i8, i8, i8, i8)")
def _mark(stream, low, high, base, n_words, marks_address):
    """Count the documents from `low` to `high` of a stream: in row c of the marks are those that
    were counted more than c times, up to the last row."""
    s = i64_at(stream, STREAM_WIDTH)
    docs = u32_at(stream + 8 * DOCS, BLOCK)
    once = u64_at(marks_address, n_words)
    twice = u64_at(marks_address + 8 * n_words, n_words)
    thrice = u64_at(marks_address + 16 * n_words, n_words)
    first = np.uint32(base)
    target = low
    while target < high and move(stream, target):
        start = s[AT]
        end = s[N]
        if np.int64(docs[end - 1]) >= high:
            end = lower_bound(docs, start, end - 1, high)
        own = docs[start:end]
        for i in range(len(own)):
            doc = own[i] - first
            word = doc >> _SIX
            bit = _ONE << np.uint64(doc & _LOW)
            before = once[word]
            thrice[word] |= twice[word] & bit
            twice[word] |= before & bit
            once[word] = before | bit
        if end < s[N]:
            s[AT] = end
            break
        target = np.int64(docs[end - 1]) + 1


@inner("UniTuple(i8, 2)(i8[:, ::1], f4[::1], i8[::1], i8, i8, i8, f4)")
def _needed(rows, limits, order, n_main, n_present, is_sparse, root):
    """Return how many terms a hit must have, at most `_COUNTED`, of how many first ones.

    The main terms are all counted; of the others those that are not much more frequent, the rest
    counts as if every document had them. 1: counting would not pay.
    """
    total = np.float32(0.0)
    needed = np.int64(0)
    while needed < min(n_present, np.int64(_COUNTED)) and total * _SLACK <= root:
        total += limits[order[needed]]
        needed += 1
    if needed < min(n_present, np.int64(2)) or (needed < n_present and is_sparse == 0):
        return np.int64(1), np.int64(n_main)
    n_postings = np.int64(0)
    for i in range(n_main):
        n_postings += rows[order[i], 1]
    n_marked = np.int64(n_main)
    while n_marked < n_present and rows[order[n_marked], 1] <= _MUCH * n_postings:
        n_marked += 1
    return needed - (n_present - n_marked), n_marked


@inner("void(i8, f4, f4, i8, i8, i8, i8)", error_model="numpy")
def _add_to_candidates(stream, remaining, root, base, n_words, mask_address, scores_address):
    """Add one term's scores to the documents of the mask; drop those that cannot become hits.

    `remaining`: the most that this and the later terms can add.
    """
    s = i64_at(stream, STREAM_WIDTH)
    mask = u64_at(mask_address, n_words)
    scores = f32_at(scores_address, n_words * 64)
    weight = np.float32(s.view(np.float64)[WEIGHT])
    has_norms = s[NORMS] != 0
    norms = u8_at(s[NORMS], s[N_DOCS] if has_norms else 0)
    table = f32_at(s[TABLE], 256 if has_norms else 0)
    for word in range(n_words):
        bits = mask[word]
        while bits != _ZERO:
            i = word * 64 + lowest_bit(bits)
            lowest = bits & (~bits + _ONE)
            bits ^= lowest
            if (scores[i] + remaining) * _SLACK <= root:
                mask[word] ^= lowest
                scores[i] = np.float32(0.0)
                continue
            doc = base + i
            if not move(stream, doc) or doc_at(stream) != doc:
                continue
            if has_norms:
                tf = np.float32(tf_at(stream))
                scores[i] += weight * tf / (tf + table[norms[doc]])
            else:
                scores[i] += weight


@inner(
    "i8(i8, i8, i8[:, ::1], i8, i8, i8, i8, f4[::1], i8[::1], i8, f4)",
    error_model="numpy",
)
def _push_window(
    mask_address, scores_address, filters, base, n_words, alive_address, key, heap_scores,
    heap_docs, n_heap, root,
):  # fmt: skip
    """Push the hits of a window, whose mask and scores become zeros; return the heap's length."""
    k = len(heap_scores)
    mask = u64_at(mask_address, n_words)
    scores = f32_at(scores_address, n_words * 64)
    for word in range(n_words):
        bits = mask[word]
        mask[word] = _ZERO
        if popcount(bits) > _MANY:
            # Most have nothing better: compare all 64 at once first.
            own = scores[word * 64 : word * 64 + 64]
            n_above = 0
            for i in range(64):
                n_above += np.int64(own[i] > root)
            if n_above == 0:
                own[:] = np.float32(0.0)
                continue
        while bits != _ZERO:
            i = word * 64 + lowest_bit(bits)
            bits &= bits - _ONE
            score = scores[i]
            scores[i] = np.float32(0.0)
            if score > root and passes(filters, base + i):
                push_hit(heap_scores, heap_docs, n_heap, score, key | (base + i))
                n_heap = min(n_heap + 1, k)
                if n_heap == k:
                    root = heap_scores[0]
    return n_heap


@inner("b1(i8, i8, i8)")
def _keep_marked(marks_address, n_words, needed):
    """Leave in the first row of the marks what was counted `needed` times, and zeros in the
    others; return whether it is anything."""
    marks = u64_at(marks_address, _COUNTED * n_words)
    found = _ZERO
    for word in range(n_words):
        kept = marks[(needed - 1) * n_words + word]
        for row in range(1, _COUNTED):
            marks[row * n_words + word] = _ZERO
        marks[word] = kept
        found |= kept
    return found != _ZERO


@inner("void(i8, i8, i8, i8, i8)")
def _drop_dead(mask_address, scores_address, n_words, base, alive_address):
    """Take dead documents out of a window."""
    mask = u64_at(mask_address, n_words)
    scores = f32_at(scores_address, n_words * 64)
    alive = u64_at(alive_address + 8 * (base >> 6), n_words)
    for word in range(n_words):
        dead = mask[word] & ~alive[word]
        mask[word] ^= dead
        while dead != _ZERO:
            scores[word * 64 + lowest_bit(dead)] = np.float32(0.0)
            dead &= dead - _ONE


@inner(
    "i8(i8[:, ::1], f4[::1], f4[::1], i8[::1], i8[::1], i8[:, ::1], i8, i8, i8, f4[::1], i8[::1],"
    " i8, i8)",
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
    stop = i64_at(stop_address, 1)
    memory = np.empty(n_leaves * (STREAM_WIDTH + _PLACE), np.int64)
    streams = memory.ctypes.data
    places = streams + 8 * STREAM_WIDTH * n_leaves
    n_bounds = np.int64(0)
    n_postings = np.int64(0)
    for leaf in range(n_leaves):
        n_postings += max(rows[leaf, 1], np.int64(0))
        stream = streams + 8 * STREAM_WIDTH * leaf
        open_stream(
            stream, rows.ctypes.data + 8 * ROW_WIDTH * leaf, weights[leaf], slacks[leaf],
            norm_addresses[leaf], table_addresses[leaf], n_docs,
        )  # fmt: skip
        n_bounds += count_blocks(stream)
    all_bounds = np.empty(n_bounds, np.float32)
    n_bounds = np.int64(0)
    for leaf in range(n_leaves):
        stream = streams + 8 * STREAM_WIDTH * leaf
        bound_blocks(stream, all_bounds.ctypes.data + 4 * n_bounds)
        n_bounds += count_blocks(stream)
    width = np.int64(_NARROW)
    is_sparse = np.int64(n_postings * _SPARSE < n_docs)
    if is_sparse:
        while width < _WIDE and width < n_docs:
            width *= 2
    window = np.zeros(_COUNTED * width // 64 + width // 2 + BLOCK // 2, np.uint64)
    mask = window.ctypes.data
    scores = mask + _COUNTED * width // 8
    fresh = scores + 4 * width
    order = np.arange(n_leaves)
    limits = np.empty(n_leaves, np.float32)
    remaining = np.empty(n_leaves + 1, np.float32)
    key = np.int64(view) << 32
    root = heap_scores[0] if n_heap == k else np.float32(-1.0)
    low = np.int64(0)
    while low < n_docs and stop[0] == 0:
        # --- the next window with a document, as far as can be said without unpacking
        first = n_docs
        for leaf in range(n_leaves):
            doc = _next_doc(streams + 8 * STREAM_WIDTH * leaf, low)
            if doc >= 0:
                first = min(first, doc)
        if first >= n_docs:
            break
        base = (first >> 6) << 6
        low = first
        high = min(base + width, n_docs)
        # --- the most that each term can add in it
        total = np.float32(0.0)
        n_present = 0
        for leaf in range(n_leaves):
            limits[leaf] = _limit(streams + 8 * STREAM_WIDTH * leaf, high)
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
        n_words = (high - base + 63) >> 6
        n_marked = n_main
        needed = np.int64(1)
        if n_heap == k:
            needed, n_marked = _needed(rows, limits, order, n_main, n_present, is_sparse, root)
        if needed > 1:
            for i in range(n_marked):
                stream = streams + 8 * STREAM_WIDTH * order[i]
                remember(stream, places + 8 * _PLACE * i)
                _mark(stream, low, high, base, n_words, mask)
            if not _keep_marked(mask, n_words, needed):
                low = high
                continue
            for i in range(n_marked):
                stream = streams + 8 * STREAM_WIDTH * order[i]
                go_back(stream, places + 8 * _PLACE * i)
            n_main = np.int64(0)
        for i in range(n_main):
            stream = streams + 8 * STREAM_WIDTH * order[i]
            _unite(stream, low, high, base, width, mask, scores, fresh)
        if alive_address:
            _drop_dead(mask, scores, n_words, base, alive_address)
        for i in range(n_main, n_present):
            stream = streams + 8 * STREAM_WIDTH * order[i]
            _add_to_candidates(stream, remaining[i], root, base, n_words, mask, scores)
        n_heap = _push_window(
            mask, scores, filters, base, n_words, alive_address, key, heap_scores, heap_docs,
            n_heap, root,
        )  # fmt: skip
        if n_heap == k:
            root = heap_scores[0]
        low = high
    # what the addresses above name is in use until here
    return n_heap + np.int64(len(memory) + len(all_bounds) + len(window) < 0)
