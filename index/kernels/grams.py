"""Which pairs and triples of neighbouring bytes occur where: what passes over terms unread.

A gram is two or three bytes beside each other in a term, `BEGIN` standing before its first and
`END` behind its last; capital ASCII letters count as small ones. It has one of `N_KINDS` numbers
(`number_of`), which it shares with others.

Of a dictionary: u64[N_KINDS, ceil(blocks / 64)], bit b of row k: some term of block b may have a
gram numbered k. Of a memtable a term has its `sketch` instead, u64, a bit for each kind of
character (`sketch_bit`, of its last byte).
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import popcount
from index.kernels.front_coding import (
    BLOCK_TERMS,
    MAX_SHARED,
    T_ENTRIES,
    T_N_BLOCKS,
    T_SIZE,
    T_STARTS,
    read_entry,
)
from index.kernels.fuzzy import character_size
from index.kernels.memory import u8_at, u64_at

N_KINDS = 1024
BEGIN = 256
END = 257
NONE = 258
"""In the place of a third byte: the gram has two."""

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TOP = np.uint64(64 - 10)


@numba.njit(inline="always")
def _small(byte):
    return byte + 32 if 65 <= byte <= 90 else byte


@numba.njit(inline="always")
def _number(first, second, third):
    """Return the number of a gram of small letters."""
    return np.int64(np.uint64((first * 259 + second) * 259 + third + 1) * _MIX >> _TOP)


@numba.njit("int64(int64, int64, int64)", nogil=True, cache=True)
def number_of(first, second, third):
    """Return the number of a gram; third NONE: of two."""
    return _number(_small(first), _small(second), _small(third))


@numba.njit("void(int64[::1], int64, int64, uint64[:, ::1])", nogil=True, cache=True)
def mark_grams(row, first_block, n_terms, marks):
    """Mark the grams of the blocks of a field's `n_terms` terms in `marks`, zeros before."""
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    size = row[T_SIZE]
    if first_block + (n_terms + BLOCK_TERMS - 1) // BLOCK_TERMS > row[T_N_BLOCKS]:
        marks[:, :] = ~_ZERO
        return
    path = np.zeros(MAX_SHARED + 1, np.uint8)
    tile = np.zeros(N_KINDS, np.uint64)
    at = np.int64(0)
    if n_terms > 0:
        at = np.int64(starts[first_block])
    for i in range(n_terms):
        block = i // BLOCK_TERMS
        bit = _ONE << np.uint64(block & 63)
        shared, start, stop = read_entry(entries, at, size)
        if stop < 0:
            marks[:, :] = ~_ZERO
            return
        at = stop
        before, second = np.int64(NONE), np.int64(BEGIN)
        if shared > 0:
            second = np.int64(path[shared - 1])
            before = np.int64(path[shared - 2]) if shared > 1 else np.int64(BEGIN)
        p = shared
        for k in range(start, stop + 1):
            byte = np.int64(END)
            if k < stop:
                byte = np.int64(_small(np.int64(entries[k])))
                if p < MAX_SHARED:
                    path[p] = np.uint8(byte)
                p += 1
            tile[_number(second, byte, NONE)] |= bit
            if before != NONE:
                tile[_number(before, second, byte)] |= bit
            before, second = second, byte
        if i == n_terms - 1 or ((i + 1) // BLOCK_TERMS) >> 6 != block >> 6:
            word = block >> 6
            for kind in range(N_KINDS):
                marks[kind, word] = tile[kind]
                tile[kind] = _ZERO


@numba.njit(
    "int64(int64[::1], int64, int64, int64, uint64[::1], int32[::1], uint8[::1], int64,"
    " int64[::1])",
    nogil=True,
    cache=True,
)
def scan_blocks(row, first_block, first, end, wanted, program, class_of, n_classes, out):
    """As automaton_terms.scan_terms does it, but look only into the blocks whose bits are set in
    `wanted`, and read all of them."""
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    starts = u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)
    size = row[T_SIZE]
    begin_block = first // BLOCK_TERMS
    end_block = (end + BLOCK_TERMS - 1) // BLOCK_TERMS
    if first >= end or first_block + end_block > row[T_N_BLOCKS]:
        return np.int64(0)
    states = np.zeros(MAX_SHARED + 1, np.int64)
    states[0] = n_classes + 1
    n = 0
    for block in range(begin_block, end_block):
        if wanted[block >> 6] >> np.uint64(block & 63) & _ONE == _ZERO:
            continue
        at = np.int64(starts[first_block + block])
        known = np.int64(0)
        for i in range(block * BLOCK_TERMS, min((block + 1) * BLOCK_TERMS, end)):
            shared, start, stop = read_entry(entries, at, size)
            if stop < 0 or shared > known or n == len(out):
                break
            at = stop
            state = states[shared]
            p = shared
            for k in range(start, stop):
                state = np.int64(program[state + class_of[entries[k]]])
                p += 1
                if p <= MAX_SHARED:
                    states[p] = state
            known = min(p, np.int64(MAX_SHARED))
            if i >= first and program[state + n_classes] != 0:
                out[n] = i
                n += 1
    return np.int64(n)


# --- of a memtable -------------------------------------------------------------------------
@numba.njit(inline="always")
def _sketch_bit(byte):
    return _ONE << np.uint64((byte + 25 * (byte >> 6)) & 63)


@numba.njit(inline="always")
def sketch_of(text, begin, end):
    """Return the bits of all characters (as fuzzy.py has them) that are there to their end; of
    capital letters those of small ones."""
    sketch = _ZERO
    at = begin
    while at < end:
        byte = np.int64(text[at])
        at += 1
        if byte >= 0xC0:
            at += character_size(byte) - 1
            if at > end:
                break
            byte = np.int64(text[at - 1])
        elif 65 <= byte <= 90:
            byte += 32
        sketch |= _sketch_bit(byte)
    return sketch


@numba.njit("uint64(uint8[::1])", nogil=True, cache=True)
def sketch_text(text):
    return sketch_of(text, np.int64(0), np.int64(len(text)))


@numba.njit(inline="always")
def may_be_near(sketch, query, max_edits):
    """Return whether so many edits can make the one out of the other; an edit adds a character,
    takes one, or both."""
    return popcount(query & ~sketch) <= max_edits and popcount(sketch & ~query) <= max_edits
