"""Walk a dictionary for the terms that an automaton accepts, past all that it cannot.

A program is an automaton as determinize.py has it, laid flat: i32[n * (c + 1)], each place
holding where the row of the next state begins, and after the c classes whether a term may end
there (1) or not (0). Row 0 is the dead state, the first state is that of row 1.

The states after the first bytes of a term are kept for the next term, which shares some of them.
After a term that died, the next one that can live begins with a `target`: what was still alive,
and a greater byte. Terms before it are passed over as in fuzzy_terms.py.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.front_coding import (
    BLOCK_TERMS,
    MAX_SHARED,
    T_ENTRIES,
    T_N_BLOCKS,
    T_PREFIXES,
    T_SIZE,
    T_STARTS,
    last_block_before,
    leading_word,
    read_entry,
)
from index.kernels.memory import u8_at, u64_at


@numba.njit("boolean(uint8[::1], int32[::1], uint8[::1], int64)", nogil=True, cache=True)
def accepts(term, program, class_of, n_classes):
    """Return whether the program accepts one term."""
    state = np.int64(n_classes + 1)
    for i in range(len(term)):
        state = np.int64(program[state + class_of[term[i]]])
        if state == 0:
            return False
    return program[state + n_classes] != 0


@numba.njit(
    "int64(int64[::1], int64, int64, int64, int32[::1], uint8[::1], uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def scan_terms(row, first_block, first, end, program, class_of, class_lows, out):
    """Write which of a field's terms first .. end - 1 the program accepts; return how many, at
    most len(out)."""
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    prefixes = u64_at(row[T_PREFIXES], row[T_N_BLOCKS])
    size = row[T_SIZE]
    n_classes = np.int64(len(class_lows))
    last_block = first_block + (end + BLOCK_TERMS - 1) // BLOCK_TERMS
    if first >= end or last_block > row[T_N_BLOCKS]:
        return np.int64(0)
    i = first - first % BLOCK_TERMS
    at = np.int64(starts[first_block + i // BLOCK_TERMS])
    path = np.zeros(MAX_SHARED + 9, np.uint8)
    states = np.zeros(MAX_SHARED + 1, np.int64)
    states[0] = n_classes + 1
    n = 0
    n_target = np.int64(0)
    common = np.int64(0)
    known = np.int64(0)
    while i < end and n < len(out):
        shared, start, stop = read_entry(entries, at, size)
        if stop < 0:
            break
        at = stop
        i += 1
        if n_target > 0:
            if shared > common:
                continue
            if shared == common:
                k = start
                while k < stop and common < n_target and entries[k] == path[common]:
                    k += 1
                    common += 1
                if common < n_target and (k == stop or entries[k] < path[common]):
                    continue
                shared = common
                start = k
            n_target = np.int64(0)
            if shared > known:
                # the target's last byte, which was found in this entry, is not walked yet
                shared -= 1
                start -= 1
        elif shared > known:
            break
        p = shared
        state = states[p]
        for k in range(start, stop):
            byte = entries[k]
            state = np.int64(program[state + class_of[byte]])
            if state == 0:
                break
            p += 1
            if p <= MAX_SHARED:
                path[p - 1] = byte
                states[p] = state
        known = min(p, np.int64(MAX_SHARED))
        if state != 0:
            if i > first and program[state + n_classes] != 0:
                out[n] = i - 1
                n += 1
            continue
        if p >= MAX_SHARED:
            continue
        # Nothing that begins with path[:p] and this byte is alive. What is the least above?
        above = np.int64(entries[start + p - shared]) + 1
        while True:
            if above < 256:
                c = np.int64(class_of[above])
                while c < n_classes and program[states[p] + c] == 0:
                    c += 1
                if c < n_classes:
                    above = max(above, np.int64(class_lows[c]))
                    break
            if p == 0:
                return np.int64(n)
            p -= 1
            above = np.int64(path[p]) + 1
        common = p
        known = p
        path[p] = np.uint8(above)
        n_target = p + 1
        block = first_block + (i + BLOCK_TERMS - 1) // BLOCK_TERMS
        if block < last_block:
            target = leading_word(path, n_target)
            if prefixes[block] < target:
                block = last_block_before(prefixes, block, last_block, target)
                i = (block - first_block) * BLOCK_TERMS
                at = np.int64(starts[block])
                common = np.int64(0)
    return np.int64(n)
