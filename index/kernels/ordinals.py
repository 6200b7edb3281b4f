"""Terms by their ordinals, many at once, and one numbering for the terms of several dictionaries.

Strings are given as `starts` (i64[n + 1]) and `blob` (u8), one after the other.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import prefetch
from index.kernels.front_coding import (
    BLOCK_TERMS,
    T_ENTRIES,
    T_N_BLOCKS,
    T_SIZE,
    T_STARTS,
    read_entry,
)
from index.kernels.memory import u8_at, u64_at

_ONE = np.uint64(1)
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0xFFFFFFFF00000000)
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)
_C3 = np.uint64(0x165667B19E3779F9)
_AHEAD = 16
"""Strings between the one at hand and the one whose slot is fetched."""


@numba.njit("i8(i8[::1], i8, i8[::1], u1[::1], i8[::1], u1[::1])", nogil=True, cache=True)
def copy_ordinals(row, first_block, ordinals, term, starts, out):
    """Write the terms of a field whose first block is `first_block` to `out` as far as it goes,
    and all of `starts`; return -1, or the index of the first ordinal that cannot be read.

    Requires: ordinals rise; `term` is room for the longest term.
    """
    n_blocks = row[T_N_BLOCKS]
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    blocks = u64_at(row[T_STARTS], n_blocks + 1)
    size = np.int64(0)
    block = np.int64(-1)
    next_index = np.int64(0)
    at = np.int64(0)
    end = np.int64(0)
    length = np.int64(0)
    starts[0] = 0
    for i in range(len(ordinals)):
        ordinal = ordinals[i]
        wanted = first_block + ordinal // BLOCK_TERMS
        index = ordinal % BLOCK_TERMS
        if ordinal < 0 or wanted >= n_blocks:
            return np.int64(i)
        if wanted != block or index < next_index:
            block = wanted
            next_index = np.int64(0)
            at = np.int64(blocks[block])
            end = min(np.int64(blocks[block + 1]), row[T_SIZE])
            length = np.int64(0)
        while next_index <= index:
            shared, start, stop = read_entry(entries, at, end)
            if stop < 0 or shared > length or shared + stop - start > len(term):
                return np.int64(i)
            length = shared
            for k in range(start, stop):
                term[length] = entries[k]
                length += 1
            at = stop
            next_index += 1
        if size + length <= len(out):
            for k in range(length):
                out[size + k] = term[k]
        size += length
        starts[i + 1] = size
    return np.int64(-1)


@numba.njit(inline="always")
def _word(blob, at):
    """Return 8 bytes as a little-endian word: one load, once compiled."""
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(blob[at + k]) << np.uint64(8 * k)
    return word


@numba.njit("void(i8[::1], u1[::1], u8[::1])", nogil=True, cache=True)
def hash_strings(starts, blob, hashes):
    """Write a hash of each string."""
    for i in range(len(starts) - 1):
        at = starts[i]
        end = starts[i + 1]
        h = np.uint64(end - at) * _C3
        while at + 8 <= end:
            h = (h ^ _word(blob, at)) * _C1
            h ^= h >> np.uint64(29)
            at += 8
        rest = np.uint64(0)
        while at < end:
            rest = (rest << np.uint64(8)) | np.uint64(blob[at])
            at += 1
        h = (h ^ rest) * _C2
        hashes[i] = h ^ (h >> np.uint64(32))


@numba.njit("i8(i8[::1], u1[::1], u8[::1], u8[::1], i8[::1], u4[::1])", nogil=True, cache=True)
def number_strings(starts, blob, hashes, slots, firsts, numbers):
    """Give equal strings equal numbers, 0, 1, .. in order of arrival; return how many there are.
    `firsts` gets the first string of each number.

    Requires: slots: zeros, a power of two above the number of strings; firsts: one a string.
    """
    mask = np.uint64(len(slots) - 1)
    n = 0
    for i in range(len(starts) - 1):
        if i + _AHEAD < len(hashes):
            prefetch(slots.ctypes.data + 8 * np.int64(hashes[i + _AHEAD] & mask))
        begin = starts[i]
        length = starts[i + 1] - begin
        at = hashes[i] & mask
        while True:
            slot = slots[np.int64(at)]
            if slot == np.uint64(0):
                slots[np.int64(at)] = (hashes[i] & _HIGH) | np.uint64(n + 1)
                firsts[n] = i
                numbers[i] = np.uint32(n)
                n += 1
                break
            number = np.int64(slot & _LOW) - 1
            other = starts[firsts[number]]
            is_same = (slot ^ hashes[i]) & _HIGH == np.uint64(0)
            is_same &= starts[firsts[number] + 1] - other == length
            k = np.int64(0)
            while is_same and k < length:
                is_same = blob[begin + k] == blob[other + k]
                k += 1
            if is_same:
                numbers[i] = np.uint32(number)
                break
            at = (at + _ONE) & mask
    return np.int64(n)


@numba.njit("void(i8[::1], u1[::1], i8[::1], u8[:, ::1])", nogil=True, cache=True)
def read_prefixes(starts, blob, chosen, out):
    """Write the first 16 bytes of the chosen strings as two big-endian numbers, zero padded."""
    for i in range(len(chosen)):
        begin = starts[chosen[i]]
        end = starts[chosen[i] + 1]
        for part in range(2):
            word = np.uint64(0)
            for k in range(8):
                word <<= np.uint64(8)
                at = begin + 8 * part + k
                if at < end:
                    word |= np.uint64(blob[at])
            out[i, part] = word


@numba.njit("void(i8[::1], u1[::1], i8[::1], i8[::1], u1[::1])", nogil=True, cache=True)
def copy_strings(starts, blob, chosen, out_starts, out):
    """Write the chosen strings one after the other to `out`, where `out_starts` says."""
    for i in range(len(chosen)):
        begin = starts[chosen[i]]
        at = out_starts[i]
        for k in range(out_starts[i + 1] - at):
            out[at + k] = blob[begin + k]


@numba.njit("void(i8[::1], u1[::1], i4[::1], u1[::1], i8, u1[::1])", nogil=True, cache=True)
def accept_strings(starts, blob, program, class_of, n_classes, out):
    """Write 1 for each string that an automaton's program accepts (automaton_terms.py), else 0."""
    for i in range(len(starts) - 1):
        state = np.int64(n_classes + 1)
        for at in range(starts[i], starts[i + 1]):
            state = np.int64(program[state + class_of[blob[at]]])
            if state == 0:
                break
        out[i] = np.uint8(program[state + n_classes] != 0)
