"""Walk a dictionary for the terms near to a query (fuzzy.py), past all that cannot be near.

After a term that cannot be, the next one that can begins with a `target`: what of the term was
still near, and a greater character. Terms before the target are passed over by comparing bytes,
whole blocks of them by the blocks' prefixes.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import lowest_bit
from index.kernels.front_coding import (
    BLOCK_TERMS,
    T_ENTRIES,
    T_N_BLOCKS,
    T_PREFIXES,
    T_SIZE,
    T_STARTS,
    last_block_before,
    leading_word,
    read_entry,
)
from index.kernels.fuzzy import (
    MARGIN,
    PADDING,
    character_size,
    edits_of,
    find_places,
    first_state,
    is_far,
    mask_of,
    next_state,
    rows_within,
)
from index.kernels.memory import u8_at, u64_at

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_BYTE = np.uint64(255)
_NONE = np.int64(1) << np.int64(40)


@numba.njit(inline="always")
def _aligned(character):
    """Return a character of 1 to 4 bytes as the upper bytes of 32 bits: these are in byte order."""
    n = 1 + (character > 0xFF) + (character > 0xFFFF) + (character > 0xFFFFFF)
    return character << np.int64(32 - 8 * n)


@numba.njit(inline="always")
def _following(state, before, character, depth, query, n_query, max_edits, swaps):
    """Return the least character of the query above `character` that is near here, aligned, or
    `_NONE`. Requires: characters not of the query are not near."""
    shift = np.uint64(8 * max_edits)
    within = rows_within(n_query, depth + 1, max_edits) & _BYTE
    last_mask = state >> np.uint64(24)
    swapped = before >> (shift - np.uint64(8)) & last_mask >> _ONE & swaps & within
    row = state >> shift & within | swapped >> _ONE
    least = _aligned(character)
    found = _NONE
    first = depth - max_edits + MARGIN
    while row != _ZERO:
        candidate = query[first + lowest_bit(row)]
        row &= row - _ONE
        if candidate >= 0:
            place = _aligned(candidate)
            if least < place < found:
                found = place
    return found


@numba.njit(
    "int64(int64[::1], int64, int64, int64, int64[::1], int64, boolean, uint8[::1], int64[:, ::1])",
    nogil=True,
    cache=True,
)
def scan_fuzzy(row, first_block, first, end, query, max_edits, transposes, path, out):
    """Write (number, edits, characters) of those of a field's terms first .. end - 1 that are at
    most `max_edits` (1 or 2) from `query`; return how many, at most len(out).

    `query` is as fuzzy.py has it. `path` is room for the longest term and 8 bytes more.
    """
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    prefixes = u64_at(row[T_PREFIXES], row[T_N_BLOCKS])
    size = row[T_SIZE]
    n_query = np.int64(len(query) - PADDING)
    swaps = np.uint64(255 if transposes else 0)
    places = find_places(query)
    last_block = first_block + (end + BLOCK_TERMS - 1) // BLOCK_TERMS
    i = first - first % BLOCK_TERMS
    if first >= end or last_block > row[T_N_BLOCKS]:
        return np.int64(0)
    at = np.int64(starts[first_block + i // BLOCK_TERMS])
    # after d characters: [d + 1]; what is before the first one: zeros
    states = np.zeros(n_query + max_edits + 4, np.uint64)
    ends = np.zeros(n_query + max_edits + 4, np.int64)
    characters = np.zeros(n_query + max_edits + 4, np.int64)
    states[1] = first_state(n_query, max_edits)
    low_shift = np.uint64(8 * max_edits - 8)
    depth = np.int64(0)
    n = 0
    n_target = np.int64(0)
    common = np.int64(0)
    known = np.int64(0)
    while i < end and n < len(out):
        shared, start, stop = read_entry(entries, at, size)
        if stop < 0 or shared + stop - start + 8 > len(path):
            break
        at = stop
        i += 1
        if n_target > 0:
            # the term before is below the target, and has its first `common` bytes
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
        elif shared > known:
            break
        length = shared + stop - start
        known = length
        while ends[depth + 1] > shared:
            depth -= 1
        p = ends[depth + 1]
        begin = p
        shift = start - shared
        state = states[depth + 1]
        before = states[depth]
        character = np.int64(0)
        is_near = True
        while p < length:
            begin = p
            if p >= shared:
                path[p] = entries[p + shift]
            character = np.int64(path[p])
            p += 1
            if character >= 128:
                stop_at = begin + character_size(character)
                while p < stop_at:
                    if p < length:
                        if p >= shared:
                            path[p] = entries[p + shift]
                        character = (character << 8) | np.int64(path[p])
                    p += 1
            mask = mask_of(character, depth, query, places, max_edits)
            new = next_state(state, before, mask, depth, n_query, max_edits, swaps)
            if is_far(new):
                is_near = False
                break
            before, state = state, new
            depth += 1
            states[depth + 1] = state
            ends[depth + 1] = p
            characters[depth + 1] = character
        if is_near:
            edits = edits_of(state, depth, n_query, max_edits)
            if edits <= max_edits and i > first:
                out[n, 0] = i - 1
                out[n, 1] = edits
                out[n, 2] = depth
                n += 1
            continue
        # Nothing that begins with path[:p] is near. What is the least above that may be?
        p = min(p, length)
        known = p
        while True:
            if state >> low_shift & _BYTE != _ZERO:
                # any character will do
                k = p - 1
                while k >= 0 and path[k] == 255:
                    k -= 1
                if k < 0:
                    return np.int64(n)
                path[k] += np.uint8(1)
                common = k
                n_target = k + 1
                break
            found = _following(state, before, character, depth, query, n_query, max_edits, swaps)
            if found != _NONE:
                k = begin
                common = begin
                is_same = True
                while True:
                    byte = np.uint8(found >> 24)
                    is_same = is_same and k < p and path[k] == byte
                    if is_same:
                        common = k + 1
                    path[k] = byte
                    k += 1
                    found = (found << 8) & np.int64(0xFFFFFFFF)
                    if found == 0:
                        break
                n_target = k
                break
            if depth == 0:
                return np.int64(n)
            p = ends[depth + 1]
            character = characters[depth + 1]
            depth -= 1
            begin = ends[depth + 1]
            state = states[depth + 1]
            before = states[depth]
        block = first_block + (i + BLOCK_TERMS - 1) // BLOCK_TERMS
        if block < last_block:
            target = leading_word(path, n_target)
            if prefixes[block] < target:
                block = last_block_before(prefixes, block, last_block, target)
                i = (block - first_block) * BLOCK_TERMS
                at = np.int64(starts[block])
                common = np.int64(0)
    return np.int64(n)
