"""Ranges over columns, 64 documents at a time, straight from the column's memory.

A row names the column of one field: KIND, SIZE (its documents), then the columns below. Where
the column has a zone map, documents are looked at only in zones that the range cuts through.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.bits import popcount
from index.kernels.inner import inner
from index.kernels.memory import f64_at, i64_at, u32_at, u64_at
from index.kernels.zones import ZONE_DOCS, ZONE_WORDS

RANGE_I64 = 5
RANGE_F64 = 6
RANGE_ORD = 7
"""Kinds of leaf beside those of `rows.py`: documents with a value in LOW .. HIGH, both
included. Values are i64, f64 or u32; the bounds of RANGE_F64 are the bits of two f64."""

VALUES = 2
N_VALUES = 3
LOW = 4
HIGH = 5
PRESENT = 6
"""Address of the bitset of documents with a value (u64[(SIZE + 63) // 64]); 0: all have one."""
STARTS = 7
"""Address of u32[SIZE + 1]; 0: one value a document."""
ZONES = 8
"""Address of the zone map (zones.py), of i64 or f64; 0: there is none."""

OUTSIDE, ACROSS, INSIDE = range(3)
"""What is known of a zone: no value of it is in the range, some may be, all are."""


@numba.njit(inline="always")
def _n_zones(row):
    return (row[1] + ZONE_DOCS - 1) // ZONE_DOCS


@numba.njit(inline="always")
def _zone(row, zone):
    """Return how the range and a zone lie to each other. Requires: the row has a zone map."""
    if row[0] == RANGE_I64:
        ints = i64_at(row[ZONES], 2 * _n_zones(row))
        least, most = ints[2 * zone], ints[2 * zone + 1]
        is_outside = most < row[LOW] or least > row[HIGH]
        is_inside = least >= row[LOW] and most <= row[HIGH]
    else:
        floats = f64_at(row[ZONES], 2 * _n_zones(row))
        bounds = row[LOW : HIGH + 1].view(np.float64)
        low, high = floats[2 * zone], floats[2 * zone + 1]
        is_outside = high < bounds[0] or low > bounds[1]
        is_inside = low >= bounds[0] and high <= bounds[1]
    if is_outside:
        return np.int64(OUTSIDE)
    return np.int64(INSIDE) if is_inside else np.int64(ACROSS)


@inner("i8(i8[::1], i8)")
def next_range_word(row, word):
    """Return the first word from `word` on that may have documents in the range, at most
    (SIZE + 63) // 64. Only the first word of a zone is looked at: the others may have as much."""
    n_words = (row[1] + 63) >> 6
    if row[ZONES] == 0 or word % ZONE_WORDS != 0:
        return min(word, n_words)
    while word < n_words and _zone(row, word // ZONE_WORDS) == OUTSIDE:
        word = (word // ZONE_WORDS + 1) * ZONE_WORDS
    return min(word, n_words)


@inner("i8(i8[::1])")
def estimate_range(row):
    """Return about how many documents have a value in the range: of a zone that the range cuts
    through a half is counted. Without a zone map it is SIZE."""
    if row[ZONES] == 0:
        return row[1]
    halves = np.int64(0)
    for zone in range(_n_zones(row)):
        n = min(np.int64(ZONE_DOCS), row[1] - zone * ZONE_DOCS)
        halves += n * _zone(row, zone)
    return (halves + 1) // 2


@inner("u8(i8[::1], i8)")
def _any_value(row, word):
    """Return the 64 bits of documents of which one of several values lies in the range."""
    n_docs = row[1]
    n = row[N_VALUES]
    starts = u32_at(row[STARTS], n_docs + 1)
    ints = i64_at(row[VALUES], n)
    floats = f64_at(row[VALUES], n)
    ordinals = u32_at(row[VALUES], n)
    bounds = row[LOW : HIGH + 1].view(np.float64)
    bits = np.uint64(0)
    for doc in range(word * 64, min(word * 64 + 64, n_docs)):
        for i in range(np.int64(starts[doc]), min(np.int64(starts[doc + 1]), n)):
            if row[0] == RANGE_I64:
                is_in = row[LOW] <= ints[i] and ints[i] <= row[HIGH]
            elif row[0] == RANGE_F64:
                is_in = bounds[0] <= floats[i] and floats[i] <= bounds[1]
            else:
                is_in = row[LOW] <= np.int64(ordinals[i]) and np.int64(ordinals[i]) <= row[HIGH]
            if is_in:
                bits |= np.uint64(1) << np.uint64(doc & 63)
                break
    return bits


@inner("u8(i8[::1], i8)")
def range_word(row, word):
    """Return bits of documents 64 * word .. + 63 with a value in the range.

    Requires: word < (SIZE + 63) // 64.
    """
    n_docs = row[1]
    present = ~np.uint64(0)
    if row[PRESENT] != 0:
        present = u64_at(row[PRESENT], (n_docs + 63) >> 6)[word]
    if present == np.uint64(0):
        return present
    if row[ZONES] != 0:
        zone = _zone(row, word // ZONE_WORDS)
        if zone == OUTSIDE:
            return np.uint64(0)
        if zone == INSIDE:
            left = n_docs - word * 64
            if left < 64:
                present &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
            return present
    if row[STARTS] != 0:
        return _any_value(row, word) & present
    first = word * 64
    n = min(64, min(n_docs, row[N_VALUES]) - first)
    bits = np.uint64(0)
    if row[0] == RANGE_I64:
        ints = i64_at(row[VALUES], row[N_VALUES])
        low, high = row[LOW], row[HIGH]
        for i in range(n):
            is_in = (ints[first + i] >= low) & (ints[first + i] <= high)
            bits |= np.uint64(is_in) << np.uint64(i)
    elif row[0] == RANGE_F64:
        floats = f64_at(row[VALUES], row[N_VALUES])
        bounds = row[LOW : HIGH + 1].view(np.float64)
        least, most = bounds[0], bounds[1]
        for i in range(n):
            is_in = (floats[first + i] >= least) & (floats[first + i] <= most)
            bits |= np.uint64(is_in) << np.uint64(i)
    else:
        ordinals = u32_at(row[VALUES], row[N_VALUES])
        low, high = row[LOW], row[HIGH]
        for i in range(n):
            ordinal = np.int64(ordinals[first + i])
            bits |= np.uint64((ordinal >= low) & (ordinal <= high)) << np.uint64(i)
    return bits & present


@inner("i8(i8[::1])")
def count_range(row):
    """Return how many documents have a value in the range."""
    row = i64_at(row.ctypes.data, len(row))  # without an owner: no references to count
    n = np.int64(0)
    n_words = (row[1] + 63) >> 6
    word = next_range_word(row, np.int64(0))
    while word < n_words:
        n += popcount(range_word(row, word))
        word = next_range_word(row, word + 1)
    return n
