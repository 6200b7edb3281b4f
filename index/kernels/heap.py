"""The best hits so far: a heap whose root is the worst of them.

Worse = lower score, then higher doc. `docs` are i64: index of the view << 32 | doc id.
"""

from __future__ import annotations

from index.kernels.inner import inner


@inner("void(f4[::1], i8[::1], i8, f4, i8)", error_model="numpy")
def sink(heap_scores, heap_docs, size, score, doc):
    """Put a hit in the place of the root of the first `size` hits, and down to where it belongs."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        other = child + 1
        if other < size and (
            heap_scores[other] < heap_scores[child]
            or (heap_scores[other] == heap_scores[child] and heap_docs[other] > heap_docs[child])
        ):
            child = other
        if heap_scores[child] > score or (heap_scores[child] == score and heap_docs[child] < doc):
            break
        heap_scores[i] = heap_scores[child]
        heap_docs[i] = heap_docs[child]
        i = child
    heap_scores[i] = score
    heap_docs[i] = doc


@inner("void(f4[::1], i8[::1], i8, f4, i8)", error_model="numpy")
def push_hit(heap_scores, heap_docs, n, score, doc):
    """Add a hit to a heap of `n` hits; full: the root goes.

    Requires: full: the hit is better than the root.
    """
    size = len(heap_scores)
    if n < size:
        i = n
        while i > 0:
            parent = (i - 1) >> 1
            if heap_scores[parent] < score or (
                heap_scores[parent] == score and heap_docs[parent] > doc
            ):
                break
            heap_scores[i] = heap_scores[parent]
            heap_docs[i] = heap_docs[parent]
            i = parent
        heap_scores[i] = score
        heap_docs[i] = doc
        return
    sink(heap_scores, heap_docs, size, score, doc)


@inner("void(f4[::1], i8[::1], i8)", error_model="numpy")
def sort_hits(heap_scores, heap_docs, n):
    """Sort the `n` hits of a heap, best first."""
    for last in range(n - 1, 0, -1):
        score = heap_scores[last]
        doc = heap_docs[last]
        heap_scores[last] = heap_scores[0]
        heap_docs[last] = heap_docs[0]
        sink(heap_scores, heap_docs, last, score, doc)
