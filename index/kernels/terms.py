"""The term dictionary of a segment: sorted terms, front-coded in blocks of 16.

An entry is: bytes shared with the term before (one byte, at most 255; 0 for the first of a
block), length of the rest (LEB128), the rest. Blocks follow each other without a gap; each
field begins a block of its own. Beside them, per block: where it begins (`starts`, one more
than blocks) and the first 8 bytes of its first term as a big-endian number (`prefixes`).

A dictionary is named to a kernel by a row: address and length of the entries, address of the
starts, address of the prefixes, number of blocks.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

from index.kernels.front_coding import (
    BLOCK_TERMS,
    MAX_SHARED,
    T_ENTRIES,
    T_N_BLOCKS,
    T_PREFIXES,
    T_SIZE,
    T_STARTS,
    read_entry,
)
from index.kernels.memory import u8_at, u64_at

# What of the last term the writer keeps from chunk to chunk.
S_FIELD, S_INDEX, S_LENGTH, S_N_BLOCKS, S_SIZE = range(5)
"""Columns of the writer's state: field of the last term (-1: none yet), its number within the
field, its length; blocks and bytes written so far."""

_BYTES = types.Bytes(types.uint8, 1, "C")
_U8 = np.uint64(8)


@numba.njit(inline="always")
def _prefix(term, start, end):
    """Return the first 8 bytes as a big-endian u64, padded with zeros."""
    prefix = np.uint64(0)
    for i in range(8):
        prefix <<= _U8
        if start + i < end:
            prefix |= np.uint64(term[start + i])
    return prefix


# --- writing -------------------------------------------------------------------------------
@numba.njit(
    "int64(uint32[::1], int64[::1], uint8[::1], int64[::1], uint8[::1], uint8[::1], uint64[::1],"
    " uint64[::1])",
    nogil=True,
    cache=True,
)
def encode_terms(field_nos, starts, blob, state, last, out, block_starts, prefixes):
    """Encode the terms of one chunk (`draft.TermChunk`); return -1, or the first term that does
    not come after the one before it. `last` holds the last term of the chunk before, and
    afterwards of this one; `state` is raised by what was written.

    Requires: len(last) >= the longest term; out: 6 bytes a term more than the terms;
    block_starts and prefixes: one a term.
    """
    at = np.int64(0)
    n_blocks = 0
    for term in range(len(field_nos)):
        start = starts[term]
        length = starts[term + 1] - start
        field = np.int64(field_nos[term])
        shared = np.int64(0)
        if field != state[S_FIELD]:
            if field < state[S_FIELD]:
                return np.int64(term)
            state[S_FIELD] = field
            state[S_INDEX] = 0
        else:
            common = min(length, state[S_LENGTH])
            while shared < common and blob[start + shared] == last[shared]:
                shared += 1
            if shared == length:
                return np.int64(term)
            if shared < state[S_LENGTH] and blob[start + shared] < last[shared]:
                return np.int64(term)
            state[S_INDEX] += 1
        for i in range(shared, length):
            last[i] = blob[start + i]
        state[S_LENGTH] = length
        shared = min(shared, np.int64(MAX_SHARED))
        if state[S_INDEX] % BLOCK_TERMS == 0:
            shared = np.int64(0)
            block_starts[n_blocks] = np.uint64(state[S_SIZE] + at)
            prefixes[n_blocks] = _prefix(blob, start, start + length)
            n_blocks += 1
        out[at] = np.uint8(shared)
        at += 1
        rest = length - shared
        while rest >= 128:
            out[at] = np.uint8((rest & 127) | 128)
            rest >>= 7
            at += 1
        out[at] = np.uint8(rest)
        at += 1
        for i in range(shared, length):
            out[at] = blob[start + i]
            at += 1
    state[S_N_BLOCKS] += n_blocks
    state[S_SIZE] += at
    return np.int64(-1)


# --- looking up ----------------------------------------------------------------------------
@numba.njit(inline="always")
def _compare(entries, start, end, target, at, end_of_target):
    """Compare entries[start:end] with target[at:end_of_target]: (-1, 0 or 1; how many bytes in
    common)."""
    i = start
    j = at
    while i < end and j < end_of_target:
        if entries[i] != target[j]:
            return (-1 if entries[i] < target[j] else 1), j - at
        i += 1
        j += 1
    if i < end:
        return 1, j - at
    return (-1 if j < end_of_target else 0), j - at


@numba.njit(nogil=True)
def locate(row, first_block, n_terms, target, begin, end_of_target):
    """Return 2 i + (1 if equal), i the first of a field's `n_terms` terms that is >=
    target[begin:end_of_target]. Compiled for bytes and for u8 arrays where it is called.

    The field's blocks begin at `first_block`. Entries that do not make sense end the search.
    """
    n_blocks = row[T_N_BLOCKS]
    if n_terms <= 0 or first_block + (n_terms + BLOCK_TERMS - 1) // BLOCK_TERMS > n_blocks:
        return np.int64(0)
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], n_blocks + 1)
    prefixes = u64_at(row[T_PREFIXES], n_blocks)
    prefix = _prefix(target, begin, end_of_target)
    # the last block whose first term is <= target
    low = np.int64(first_block)
    high = np.int64(first_block + (n_terms + BLOCK_TERMS - 1) // BLOCK_TERMS)
    while low < high:
        middle = (low + high) >> 1
        is_above = prefixes[middle] > prefix
        if prefixes[middle] == prefix:
            first = min(np.int64(starts[middle]), row[T_SIZE])
            end = min(np.int64(starts[middle + 1]), row[T_SIZE])
            shared, start, stop = read_entry(entries, first, end)
            order, common = _compare(entries, start, max(start, stop), target, begin, end_of_target)
            is_above = order > 0
        if is_above:
            high = middle
        else:
            low = middle + 1
    if low == first_block:
        return np.int64(0)
    block = low - 1
    index = (block - first_block) * BLOCK_TERMS
    at = np.int64(starts[block])
    end = min(np.int64(starts[block + 1]), row[T_SIZE])
    in_common = np.int64(0)
    for i in range(index, min(index + BLOCK_TERMS, n_terms)):
        shared, start, stop = read_entry(entries, at, end)
        if stop < 0:
            break
        at = stop
        if i > index:
            if shared > in_common:
                continue
            if shared < in_common and shared < MAX_SHARED:
                return np.int64(2 * i)
        order, common = _compare(
            entries, start, stop, target, min(begin + shared, end_of_target), end_of_target
        )
        if order == 0:
            return np.int64(2 * i + 1)
        if order > 0:
            return np.int64(2 * i)
        in_common = shared + common
    return np.int64(2 * min(index + BLOCK_TERMS, n_terms))


@numba.njit(types.int64(types.int64[::1], types.int64, types.int64, _BYTES), nogil=True, cache=True)
def lower_bound(row, first_block, n_terms, target):
    """As `locate`, for a whole target."""
    return locate(row, first_block, n_terms, target, 0, len(target))


@numba.njit("int64(int64[::1], int64, int64, uint8[::1])", nogil=True, cache=True)
def read_term(row, block, index, out):
    """Write term `index` (0 .. 15) of a block to `out`; return its length, or -1 where there is
    no such term or it is longer than `out`."""
    if block < 0 or block >= row[T_N_BLOCKS]:
        return np.int64(-1)
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    at = np.int64(starts[block])
    end = min(np.int64(starts[block + 1]), row[T_SIZE])
    length = np.int64(0)
    for _ in range(index + 1):
        shared, start, stop = read_entry(entries, at, end)
        if stop < 0 or shared > length or shared + stop - start > len(out):
            return np.int64(-1)
        length = shared
        for k in range(start, stop):
            out[length] = entries[k]
            length += 1
        at = stop
    return length


@numba.njit(
    "int64(int64[::1], int64, int64[::1], int64, uint8[::1], int64[::1])", nogil=True, cache=True
)
def read_terms(row, first_block, ordinals, first, out, ends):
    """Write a field's terms ordinals[first], ordinals[first + 1] .. one after the other, and where
    each one ends in `out`; return the first that is not there: `out` is full, or it cannot be read.
    """
    at = np.int64(0)
    for i in range(first, len(ordinals)):
        block = first_block + ordinals[i] // BLOCK_TERMS
        length = read_term(row, block, ordinals[i] % BLOCK_TERMS, out[at:])
        if length < 0:
            return np.int64(i)
        at += length
        ends[i] = at
    return np.int64(len(ordinals))


@numba.njit("int64(int64[::1], int64, int64, uint8[::1])", nogil=True, cache=True)
def check_terms(row, first_block, n_terms, last):
    """Return -1 where a field's terms rise and their blocks, starts and prefixes agree, else the
    first term that does not. `last` is room for the longest term."""
    n_blocks = (n_terms + BLOCK_TERMS - 1) // BLOCK_TERMS
    if first_block + n_blocks > row[T_N_BLOCKS]:
        return np.int64(0)
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    prefixes = u64_at(row[T_PREFIXES], row[T_N_BLOCKS])
    at = np.int64(0)
    length = np.int64(-1)
    for i in range(n_terms):
        block = first_block + i // BLOCK_TERMS
        if i % BLOCK_TERMS == 0:
            if i > 0 and np.int64(starts[block]) != at:
                return np.int64(i)
            at = np.int64(starts[block])
        shared, start, stop = read_entry(entries, at, row[T_SIZE])
        if stop < 0 or shared > max(length, np.int64(0)) or shared + stop - start > len(last):
            return np.int64(i)
        if i % BLOCK_TERMS == 0 and (
            shared != 0 or prefixes[block] != _prefix(entries, start, stop)
        ):
            return np.int64(i)
        if i > 0:
            k = shared
            while k < length and start + k - shared < stop:
                if entries[start + k - shared] != last[k]:
                    break
                k += 1
            if start + k - shared == stop:
                return np.int64(i)
            if k < length and entries[start + k - shared] < last[k]:
                return np.int64(i)
        length = shared
        for k in range(start, stop):
            last[length] = entries[k]
            length += 1
        at = stop
    if n_terms > 0 and np.int64(starts[first_block + n_blocks]) != at:
        return np.int64(n_terms - 1)
    return np.int64(-1)
