"""Columns in kernels: which documents have a value in a range, and new numbers for old ones.

A column is given by `values`, `present` (u64 bitset; empty: all documents have a value) and
`starts` (u32[n_docs + 1]; empty: one value a document), as in `reader.Column`.
"""

from __future__ import annotations

import numba
import numpy as np

_ONE = np.uint64(1)


@numba.njit(inline="always")
def _range_bits(values, present, starts, low, high, out):
    n_set = 0
    if len(starts) > 0:
        for doc in range(len(starts) - 1):
            for i in range(starts[doc], min(np.int64(starts[doc + 1]), len(values))):
                if low <= values[i] and values[i] <= high:
                    out[doc >> 6] |= _ONE << np.uint64(doc & 63)
                    n_set += 1
                    break
        return np.int64(n_set)
    n_docs = len(values)
    for word in range((n_docs + 63) >> 6):
        bits = np.uint64(0)
        first = word * 64
        for i in range(min(64, n_docs - first)):
            value = values[first + i]
            bits |= np.uint64((low <= value) & (value <= high)) << np.uint64(i)
        if len(present) > 0:
            bits &= present[word]
        out[word] = bits
        while bits:
            bits &= bits - _ONE
            n_set += 1
    return np.int64(n_set)


@numba.njit(
    "int64(int64[::1], uint64[::1], uint32[::1], int64, int64, uint64[::1])",
    nogil=True,
    cache=True,
)
def range_bits_i64(values, present, starts, low, high, out):
    """Set in `out` the documents with a value in low .. high (both included); return how many.

    Requires: `out` zero, a bit for each document.
    """
    return _range_bits(values, present, starts, low, high, out)


@numba.njit(
    "int64(float64[::1], uint64[::1], uint32[::1], float64, float64, uint64[::1])",
    nogil=True,
    cache=True,
)
def range_bits_f64(values, present, starts, low, high, out):
    """As `range_bits_i64`; a NaN is in no range."""
    return _range_bits(values, present, starts, low, high, out)


@numba.njit(
    "int64(uint32[::1], uint64[::1], uint32[::1], int64, int64, uint64[::1])",
    nogil=True,
    cache=True,
)
def range_bits_ord(values, present, starts, low, high, out):
    """As `range_bits_i64`, for ordinals."""
    return _range_bits(values, present, starts, low, high, out)


@numba.njit("int64(uint32[::1], uint32[::1])", nogil=True, cache=True)
def renumber(values, numbers):
    """Replace each value by numbers[value], in place; return -1, or the first that has none."""
    for i in range(len(values)):
        value = np.int64(values[i])
        if value >= len(numbers) or numbers[value] == np.uint32(0xFFFFFFFF):
            return np.int64(i)
        values[i] = numbers[value]
    return np.int64(-1)
