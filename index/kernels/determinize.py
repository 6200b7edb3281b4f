"""From a nondeterministic automaton over bytes to a deterministic one.

An automaton that was made deterministic is a table i32[n, c + 1]: of each state, where each of
c classes of bytes leads, and in the last column whether a term may end there. State 0 is dead,
state 1 the first one. Classes are runs of neighbouring bytes: `class_lows` u8[c] has the least
byte of each. Sets of states are bitsets, one a row.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit

TOO_MANY_STATES = -1
TOO_MUCH_WORK = -2

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_U29 = np.uint64(29)


@numba.njit("int64(int64[:, ::1], int64[::1], uint64[:, ::1], int64)", nogil=True, cache=True)
def close(steps, starts, closures, budget):
    """Write to closures[s] the states that s reaches without a byte, itself too; return the work
    done, or TOO_MUCH_WORK. `steps` are (from, to), those of s in starts[s] .. starts[s + 1] - 1."""
    n = len(closures)
    stack = np.empty(n, np.int64)
    work = np.int64(0)
    for state in range(n):
        closures[state, state >> 6] |= _ONE << np.uint64(state & 63)
        stack[0] = state
        depth = 1
        while depth > 0:
            depth -= 1
            at = stack[depth]
            for step in range(starts[at], starts[at + 1]):
                to = steps[step, 1]
                bit = _ONE << np.uint64(to & 63)
                work += 1
                if closures[state, to >> 6] & bit == _ZERO:
                    closures[state, to >> 6] |= bit
                    stack[depth] = to
                    depth += 1
        work += 1
        if work > budget:
            return np.int64(TOO_MUCH_WORK)
    return work


@numba.njit(
    "int64(int64[:, ::1], int64[::1], uint64[:, ::1], uint64[::1], int64[::1], int64, int64[::1],"
    " uint64[:, ::1], int64[::1], int32[:, ::1])",
    nogil=True,
    cache=True,
)
def determinize(edges, starts, closures, ends, class_of, n_classes, budget, sets, slots, table):
    """Fill `table`; return the number of states, TOO_MANY_STATES where it has too few rows, or
    TOO_MUCH_WORK.

    edges    i64[e, 4]  from, least byte, greatest byte, to; those of s in starts[s] ..
    budget   i64[1], the work that may be done; what was done is taken off
    ends     bitset of the states where a term may end; state 0 is the first one
    sets     room for a set a row of the table; row 0 zeros
    slots    -1, a power of two and more than twice the rows of the table
    """
    n_words = closures.shape[1]
    reached = np.zeros((n_classes, n_words), np.uint64)
    mask = np.int64(len(slots) - 1)
    sets[1] = closures[0]
    table[0] = 0
    table[1, n_classes] = 0
    n = np.int64(2)
    work = np.int64(0)
    # the empty set and the first one are entered as any other is
    for state in range(2):
        h = _ZERO
        for w in range(n_words):
            h = (h ^ sets[state, w]) * _MIX
            h ^= h >> _U29
        slot = np.int64(h >> np.uint64(1)) & mask
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = state
    done = np.int64(1)
    while done < n:
        reached[:, :] = _ZERO
        accepts = _ZERO
        for w in range(n_words):
            word = sets[done, w]
            accepts |= word & ends[w]
            while word != _ZERO:
                state = w * 64 + lowest_bit(word)
                word &= word - _ONE
                for edge in range(starts[state], starts[state + 1]):
                    to = edges[edge, 3]
                    for c in range(class_of[edges[edge, 1]], class_of[edges[edge, 2]] + 1):
                        work += n_words
                        for v in range(n_words):
                            reached[c, v] |= closures[to, v]
        table[done, n_classes] = np.int32(accepts != _ZERO)
        work += n_classes * n_words
        if work > budget[0]:
            budget[0] = 0
            return np.int64(TOO_MUCH_WORK)
        for c in range(n_classes):
            h = _ZERO
            for w in range(n_words):
                h = (h ^ reached[c, w]) * _MIX
                h ^= h >> _U29
            slot = np.int64(h >> np.uint64(1)) & mask
            found = np.int64(-1)
            while slots[slot] >= 0:
                is_same = True
                for w in range(n_words):
                    if sets[slots[slot], w] != reached[c, w]:
                        is_same = False
                        break
                if is_same:
                    found = slots[slot]
                    break
                slot = (slot + 1) & mask
            if found < 0:
                if n == len(table):
                    budget[0] -= work
                    return np.int64(TOO_MANY_STATES)
                found = n
                slots[slot] = n
                for w in range(n_words):
                    sets[n, w] = reached[c, w]
                n += 1
            table[done, c] = np.int32(found)
        done += 1
    budget[0] -= work
    return n


@numba.njit(
    "int64(int32[:, ::1], int64[::1], int32[:, ::1], int64[::1], int32[:, ::1], int64[:, ::1],"
    " int64)",
    nogil=True,
    cache=True,
)
def intersect(left, left_classes, right, right_classes, numbers, pairs, n_classes):
    """Number the pairs of states that the two reach together, `pairs` i64[most, n_classes + 3]:
    left, right, where each class leads, whether both may end; return how many there are, or
    TOO_MANY_STATES.

    numbers       i32[states of left, states of right], zeros
    .._classes    i64[n_classes]: of each class of both, that of the one
    """
    left_end = left.shape[1] - 1
    right_end = right.shape[1] - 1
    pairs[0, :] = 0
    pairs[1, 0] = 1
    pairs[1, 1] = 1
    numbers[1, 1] = 1
    n = np.int64(2)
    done = np.int64(1)
    while done < n:
        a = pairs[done, 0]
        b = pairs[done, 1]
        pairs[done, n_classes + 2] = np.int64(left[a, left_end] & right[b, right_end])
        for c in range(n_classes):
            to_a = np.int64(left[a, left_classes[c]])
            to_b = np.int64(right[b, right_classes[c]])
            to = np.int64(0)
            if to_a != 0 and to_b != 0:
                to = np.int64(numbers[to_a, to_b])
                if to == 0:
                    if n == len(pairs):
                        return np.int64(TOO_MANY_STATES)
                    to = n
                    numbers[to_a, to_b] = np.int32(n)
                    pairs[n, 0] = to_a
                    pairs[n, 1] = to_b
                    n += 1
            pairs[done, c + 2] = to
        done += 1
    return n


@numba.njit("int64(int32[:, ::1], boolean[::1])", nogil=True, cache=True)
def mark_living(table, is_living):
    """Mark the states from which some term may end; return how many there are."""
    n_classes = table.shape[1] - 1
    n = np.int64(0)
    for state in range(len(table)):
        is_living[state] = table[state, n_classes] != 0
        n += np.int64(is_living[state])
    grows = True
    while grows:
        grows = False
        for state in range(len(table) - 1, -1, -1):
            if not is_living[state]:
                for c in range(n_classes):
                    if is_living[table[state, c]]:
                        is_living[state] = True
                        n += 1
                        grows = True
                        break
    return n
