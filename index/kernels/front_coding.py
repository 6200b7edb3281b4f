"""Reading a front-coded dictionary (terms.py writes it): one entry, and the way to a block."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

BLOCK_TERMS = 16
MAX_SHARED = 255

T_ENTRIES, T_SIZE, T_STARTS, T_PREFIXES, T_N_BLOCKS = range(5)
TERMS_WIDTH = 5

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@numba.njit(inline="always")
def read_entry(entries, at, end):
    """Return (shared, start of the rest, its end); end < 0 where it is not in the entries."""
    if at < 0 or at + 2 > end:
        return np.int64(0), np.int64(0), np.int64(-1)
    shared = np.int64(entries[at])
    length = np.int64(entries[at + 1])
    at += 2
    if length >= 128:
        length &= 127
        shift = np.int64(7)
        while True:
            if at >= end or shift > 28:
                return np.int64(0), np.int64(0), np.int64(-1)
            byte = np.int64(entries[at])
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
    if at + length > end:
        return np.int64(0), np.int64(0), np.int64(-1)
    return shared, np.int64(at), np.int64(at + length)


@intrinsic
def _load_swapped(typing_context, array, at):
    """Return the 8 bytes of a u8 array at `at` as a big-endian u64, unchecked."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(view.data, [args[1]])
        pointer = context.get_value_type(types.CPointer(types.uint64))
        word = builder.load(builder.bitcast(address, pointer))
        word.align = 1
        return builder.bswap(word)

    return types.uint64(array, types.int64), generate


@numba.njit(inline="always")
def leading_word(text, length):
    """Return the first 8 of `length` bytes, padded with zeros, as `prefixes` has them.

    Requires: length > 0 and len(text) >= 8.
    """
    word = _load_swapped(text, np.int64(0))
    return word if length >= 8 else word & (_ALL << np.uint64(64 - 8 * length))


@numba.njit(inline="always")
def last_block_before(prefixes, block, end, target):
    """Return the last of blocks `block` .. end - 1 whose prefix is below `target`.

    Requires: that of `block` is. Near ones are found soonest.
    """
    low = np.int64(block)
    high = low + 1
    step = np.int64(1)
    while high < end and prefixes[high] < target:
        low = high
        high += step
        step += step
    high = min(high, np.int64(end))
    low += 1
    while low < high:
        middle = (low + high) >> 1
        if prefixes[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low - 1
