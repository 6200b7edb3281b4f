"""Counting and finding bits of one u64 word, inside kernels."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic


@intrinsic
def popcount(typing_context, word):
    """Return the number of ones of a u64, as i64."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def lowest_bit(typing_context, word):
    """Return the index of the lowest one of a u64, as i64; 64 for 0."""

    def generate(context, builder, signature, args):
        false = context.get_constant(types.boolean, False)
        return builder.cttz(args[0], false)

    return types.int64(types.uint64), generate


@intrinsic
def highest_bit(typing_context, word):
    """Return the index of the highest one of a u64, as i64; -1 for 0."""

    def generate(context, builder, signature, args):
        false = context.get_constant(types.boolean, False)
        zeros = builder.ctlz(args[0], false)
        return builder.sub(context.get_constant(types.int64, 63), zeros)

    return types.int64(types.uint64), generate


@numba.njit("i8(u8[::1])", nogil=True, cache=True)
def count_bits(words):
    """Return the number of ones in a bitset."""
    total = 0
    for i in range(len(words)):
        total += popcount(words[i])
    return total


@numba.njit("i8(u8[::1], u4[::1])", nogil=True, cache=True)
def list_bits(words, out):
    """Write the indexes of the ones to `out`, rising; return how many.

    Requires: len(out) >= the number of ones.
    """
    n = 0
    for i in range(len(words)):
        word = words[i]
        while word != np.uint64(0):
            out[n] = np.uint32(i * 64 + lowest_bit(word))
            word &= word - np.uint64(1)
            n += 1
    return n


@numba.njit("void(u4[::1], u8[::1])", nogil=True, cache=True)
def set_bits(doc_ids, words):
    """Set the bit of each doc id; those past the bitset are left out."""
    for i in range(len(doc_ids)):
        doc = np.int64(doc_ids[i])
        if doc >> 6 < len(words):
            words[doc >> 6] |= np.uint64(1) << np.uint64(doc & 63)
