"""How often a phrase stands in each of some documents, from the positions of its terms."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.inner import inner


@numba.njit("i8(i8[:,::1], u4[::1], i8[::1], i8[::1], f4[::1])", nogil=True, cache=True)
def count_exact(starts, positions, offsets, cursors, frequencies):
    """Count, for each document d, the places p at which term t stands at p + offsets[t], all t.

    starts[t, d] .. starts[t, d + 1] of `positions`: the places of term t in document d, rising.
    cursors: scratch of one entry per term. Returns how many documents have the phrase.
    """
    n_terms = len(offsets)
    n_docs = starts.shape[1] - 1
    n_found = 0
    for d in range(n_docs):
        frequency = 0
        for t in range(n_terms):
            cursors[t] = starts[t, d]
        while cursors[0] < starts[0, d + 1]:
            place = np.int64(positions[cursors[0]]) - offsets[0]
            cursors[0] += 1
            is_there = True
            for t in range(1, n_terms):
                end = starts[t, d + 1]
                wanted = place + offsets[t]
                while cursors[t] < end and np.int64(positions[cursors[t]]) < wanted:
                    cursors[t] += 1
                if cursors[t] >= end or np.int64(positions[cursors[t]]) != wanted:
                    is_there = False
                    break
            if is_there:
                frequency += 1
        frequencies[d] = np.float32(frequency)
        if frequency > 0:
            n_found += 1
    return n_found


@inner("i8(i8[::1], i8[::1])")
def _least(places, skip):
    """Return the term with the lowest place (ties: the first) but `skip[0]`."""
    best = -1
    for t in range(len(places)):
        if t != skip[0] and (best < 0 or places[t] < places[best]):
            best = t
    return best


@numba.njit(
    "i8(i8[:,::1], u4[::1], i8[::1], i8[::1], i8, i8[:,::1], f4[::1])", nogil=True, cache=True
)
def count_sloppy(starts, positions, offsets, groups, slop, scratch, frequencies):
    """Sum, for each document, 1 / (1 + moves) over the places where at most `slop` moves bring
    the terms together, as Lucene's sloppy phrases count.

    groups[t] = the first term of the phrase equal to term t: equal terms never take the same
    position. scratch i64[3, terms]. Returns how many documents have the phrase.
    """
    n_terms = len(offsets)
    n_docs = starts.shape[1] - 1
    cursors = scratch[0]
    places = scratch[1]
    skip = scratch[2]
    n_found = 0
    for d in range(n_docs):
        frequencies[d] = np.float32(0.0)
        is_left = True
        for t in range(n_terms):
            cursors[t] = starts[t, d]
            # equal terms begin on different positions, each after the one before
            for u in range(t):
                if groups[u] == groups[t]:
                    cursors[t] += 1
            if cursors[t] >= starts[t, d + 1]:
                is_left = False
                break
            places[t] = np.int64(positions[cursors[t]]) - offsets[t]
        if not is_left:
            continue
        end = places[0]
        for t in range(n_terms):
            end = max(end, places[t])
        total = np.float32(0.0)
        skip[0] = -1
        moving = _least(places, skip)
        skip[0] = moving
        next_place = places[_least(places, skip)] if n_terms > 1 else end
        width = end - places[moving]
        while True:
            # --- advance the last one; equal terms get out of each other's way
            t = moving
            while True:
                cursors[t] += 1
                if cursors[t] >= starts[t, d + 1]:
                    is_left = False
                    break
                places[t] = np.int64(positions[cursors[t]]) - offsets[t]
                end = max(end, places[t])
                other = -1
                for u in range(n_terms):
                    is_twin = u != t and groups[u] == groups[t]
                    if is_twin and places[u] + offsets[u] == places[t] + offsets[t]:
                        other = u
                        break
                if other < 0:
                    break
                if places[other] < places[t] or (places[other] == places[t] and other < t):
                    t = other
            if not is_left:
                break
            if places[moving] > next_place or t != moving:
                if width <= slop:
                    total += np.float32(1.0) / np.float32(1 + width)
                skip[0] = -1
                moving = _least(places, skip)
                skip[0] = moving
                next_place = places[_least(places, skip)] if n_terms > 1 else end
                width = end - places[moving]
            else:
                width = min(width, end - places[moving])
        if width <= slop:
            total += np.float32(1.0) / np.float32(1 + width)
        frequencies[d] = total
        if total > np.float32(0.0):
            n_found += 1
    return n_found
