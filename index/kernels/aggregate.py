"""Aggregations: values of documents, and counts and sums by bucket.

A level of a search is pairs of a document and its owner: the bucket it lies in. `docs` (u32) and
`owners` (u32; empty: all are in bucket 0) have one element a pair; a pair is never there twice. A
column is given as in `columns.py`. A cell is (owner, key), numbered owner * n_keys + key.
"""

from __future__ import annotations

import numba
import numpy as np

_ONE = np.uint64(1)
NONE = 0xFFFFFFFF
"""The key of a pair that is in no bucket, the number of a cell that is dropped."""
_NONE = np.uint32(NONE)


@numba.njit("i8(u4[::1], u4[::1])", nogil=True, cache=True)
def count_values(docs, starts):
    """Return how many values the documents have in a column of several values a document."""
    n = np.int64(0)
    for i in range(len(docs)):
        doc = np.int64(docs[i])
        if doc + 1 < len(starts):
            n += np.int64(starts[doc + 1]) - np.int64(starts[doc])
    return n


@numba.njit(inline="always")
def _gather(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values):
    n = 0
    has_owners = len(owners) > 0
    has_missing = len(missing) > 0
    for i in range(len(docs)):
        doc = np.int64(docs[i])
        owner = owners[i] if has_owners else np.uint32(0)
        first = doc
        end = doc + 1
        if len(starts) > 0:
            first = np.int64(starts[doc])
            end = min(np.int64(starts[doc + 1]), len(values))
        elif doc >= len(values):
            end = first
        elif len(present) > 0:
            end = first + np.int64((present[doc >> 6] >> np.uint64(doc & 63)) & _ONE)
        for at in range(first, end):
            out_docs[n] = docs[i]
            out_values[n] = values[at]
            if has_owners:
                out_owners[n] = owner
            n += 1
        if first >= end and has_missing:
            out_docs[n] = docs[i]
            out_values[n] = missing[0]
            if has_owners:
                out_owners[n] = owner
            n += 1
    return np.int64(n)


@numba.njit(
    "i8(u4[::1], u4[::1], i8[::1], u8[::1], u4[::1], i8[::1], u4[::1], u4[::1], i8[::1])",
    nogil=True,
    cache=True,
)
def gather_i64(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values):
    """Write a pair for each value of each pair's document, and the values; return how many.

    A document without a value has the one of `missing`, or none where that is empty. The pairs
    of one pair follow each other.

    Requires: `starts` rises and has n_docs + 1 elements or none; the outs have room for
    `count_values` and one for each pair; docs below n_docs.
    """
    return _gather(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values)


@numba.njit(
    "i8(u4[::1], u4[::1], f8[::1], u8[::1], u4[::1], f8[::1], u4[::1], u4[::1], f8[::1])",
    nogil=True,
    cache=True,
)
def gather_f64(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values):
    """As `gather_i64`."""
    return _gather(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values)


@numba.njit(
    "i8(u4[::1], u4[::1], u4[::1], u8[::1], u4[::1], u4[::1], u4[::1], u4[::1], u4[::1])",
    nogil=True,
    cache=True,
)
def gather_ord(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values):
    """As `gather_i64`, for ordinals."""
    return _gather(docs, owners, values, present, starts, missing, out_docs, out_owners, out_values)


@numba.njit("void(u4[::1], u1[::1])", nogil=True, cache=True)
def mark(values, seen):
    """Set seen[value] to 1 for each value below len(seen)."""
    for i in range(len(values)):
        value = np.int64(values[i])
        if value < len(seen):
            seen[value] = np.uint8(1)


@numba.njit("void(u4[::1], u4[::1], u4[::1])", nogil=True, cache=True)
def renumber_into(values, numbers, out):
    """Write numbers[value] of each value; NONE where it has none."""
    for i in range(len(values)):
        value = np.int64(values[i])
        out[i] = numbers[value] if value < len(numbers) else _NONE


@numba.njit(
    "void(u4[::1], u4[::1], u8[::1], u4[::1], u4[::1], i8, i8[::1], u4[::1])",
    nogil=True,
    cache=True,
)
def count_ordinals(docs, values, present, starts, numbers, missing, counts, last):
    """Add to `counts` how many of the documents have each number: numbers[ordinal], or where
    `numbers` is empty the ordinal. Those without a value have `missing`, -1: none.

    Requires: docs differ; last: u4 zeros, one a count, or none where `starts` is empty.
    """
    n_counts = len(counts)
    n_numbers = len(numbers)
    if len(starts) == 0:
        for i in range(len(docs)):
            doc = np.int64(docs[i])
            number = missing
            if doc < len(values) and (
                len(present) == 0 or (present[doc >> 6] >> np.uint64(doc & 63)) & _ONE
            ):
                number = np.int64(values[doc])
                if n_numbers > 0:
                    number = np.int64(numbers[number]) if number < n_numbers else np.int64(-1)
            if 0 <= number < n_counts:
                counts[number] += 1
        return
    for i in range(len(docs)):
        doc = np.int64(docs[i])
        stamp = np.uint32(i + 1)
        first = np.int64(starts[doc])
        end = min(np.int64(starts[doc + 1]), len(values))
        if first >= end and 0 <= missing < n_counts:
            counts[missing] += 1
        for at in range(first, end):
            number = np.int64(values[at])
            if n_numbers > 0:
                number = np.int64(numbers[number]) if number < n_numbers else np.int64(-1)
            if 0 <= number < n_counts and last[number] != stamp:
                last[number] = stamp
                counts[number] += 1


# --- cells -----------------------------------------------------------------------------------
@numba.njit("void(u4[::1], u4[::1], i8, i8[::1])", nogil=True, cache=True)
def count_cells(owners, keys, n_keys, counts):
    """Add to `counts` each pair's cell, and write it over its key; those of no cell get NONE."""
    has_owners = len(owners) > 0
    for i in range(len(keys)):
        key = np.int64(keys[i])
        if key >= n_keys:
            keys[i] = _NONE
            continue
        cell = (np.int64(owners[i]) * n_keys if has_owners else np.int64(0)) + key
        if cell < len(counts):
            counts[cell] += 1
            keys[i] = np.uint32(cell)
        else:
            keys[i] = _NONE


@numba.njit("void(u4[::1], u4[::1], u4[::1], i8, i8[::1], u4[::1])", nogil=True, cache=True)
def count_cells_once(docs, owners, keys, n_keys, counts, last):
    """As `count_cells`, but a pair that is in a cell already, by another value, gets NONE.

    Requires: last: u4 zeros, one a cell; equal pairs follow each other; less than 2^32 - 1 pairs.
    """
    has_owners = len(owners) > 0
    stamp = np.uint32(1)
    for i in range(len(keys)):
        if i > 0 and (docs[i] != docs[i - 1] or (has_owners and owners[i] != owners[i - 1])):
            stamp += np.uint32(1)
        key = np.int64(keys[i])
        if key >= n_keys:
            keys[i] = _NONE
            continue
        cell = (np.int64(owners[i]) * n_keys if has_owners else np.int64(0)) + key
        if cell >= len(counts) or last[cell] == stamp:
            keys[i] = _NONE
            continue
        last[cell] = stamp
        counts[cell] += 1
        keys[i] = np.uint32(cell)


@numba.njit("i8(u4[::1], u4[::1], u4[::1], u4[::1], u4[::1])", nogil=True, cache=True)
def keep_cells(docs, cells, numbers, out_docs, out_owners):
    """Write the pairs whose cells have a number, with that as their owner; return how many."""
    n = 0
    for i in range(len(cells)):
        cell = np.int64(cells[i])
        if cell >= len(numbers) or numbers[cell] == _NONE:
            continue
        out_docs[n] = docs[i]
        out_owners[n] = numbers[cell]
        n += 1
    return np.int64(n)


@numba.njit("i8(u4[::1], u4[::1], u8[::1], u4[::1], u4[::1])", nogil=True, cache=True)
def keep_marked(docs, owners, words, out_docs, out_owners):
    """Write the pairs whose documents have their bit in `words`; return how many."""
    n = 0
    has_owners = len(owners) > 0
    for i in range(len(docs)):
        doc = np.int64(docs[i])
        if doc >> 6 >= len(words) or not (words[doc >> 6] >> np.uint64(doc & 63)) & _ONE:
            continue
        out_docs[n] = docs[i]
        if has_owners:
            out_owners[n] = owners[i]
        n += 1
    return np.int64(n)


# --- keys ------------------------------------------------------------------------------------
@numba.njit("i8(i8[::1], i4[::1], i8[::1], u4[::1])", nogil=True, cache=True)
def number_values(values, slots, distinct, numbers):
    """Give equal values equal numbers, 0, 1, .. in order of arrival; return how many there are.

    Requires: slots: zeros, a power of two above len(values); distinct: one a value.
    """
    mask = np.uint64(len(slots) - 1)
    n = 0
    for i in range(len(values)):
        value = values[i]
        h = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
        h ^= h >> np.uint64(32)
        h *= np.uint64(0xC2B2AE3D27D4EB4F)
        at = (h ^ (h >> np.uint64(29))) & mask
        while True:
            number = np.int64(slots[np.int64(at)]) - 1
            if number < 0:
                slots[np.int64(at)] = np.int32(n + 1)
                distinct[n] = value
                numbers[i] = np.uint32(n)
                n += 1
                break
            if distinct[number] == value:
                numbers[i] = np.uint32(number)
                break
            at = (at + _ONE) & mask
    return np.int64(n)


@numba.njit("void(i8[::1], i8[::1], u4[::1])", nogil=True, cache=True)
def place_between(values, bounds, keys):
    """Write of each value the last of `bounds` that is not above it; NONE outside of them.

    The last bound ends the one before it. Bounds should be about evenly apart: the place is
    guessed from that, and corrected step by step.
    Requires: bounds rise, at least two.
    """
    n = len(bounds) - 1
    low = bounds[0]
    high = bounds[n]
    scale = np.float64(n) / (np.float64(high) - np.float64(low))
    for i in range(len(values)):
        value = values[i]
        if value < low or value >= high:
            keys[i] = _NONE
            continue
        at = min(np.int64((np.float64(value) - np.float64(low)) * scale), n - 1)
        while at > 0 and bounds[at] > value:
            at -= 1
        while at < n - 1 and bounds[at + 1] <= value:
            at += 1
        keys[i] = np.uint32(at)


@numba.njit("i8(f8[::1], f8[::1], f8[::1], i8[::1], u4[::1])", nogil=True, cache=True)
def find_ranges(values, lows, highs, out_at, out_keys):
    """Write (index of the value, number of the range) where a value is in low .. high, high left
    out; return how many there are, also where the outs are shorter."""
    n = 0
    for i in range(len(values)):
        value = values[i]
        for j in range(len(lows)):
            # written first and counted then: values come in any order, so a branch would be a guess
            if n < len(out_at):
                out_at[n] = i
                out_keys[n] = np.uint32(j)
            n += np.int64((lows[j] <= value) & (value < highs[j]))
    return np.int64(n)


# --- metrics ---------------------------------------------------------------------------------
@numba.njit("void(u4[::1], f8[::1], i8[::1], f8[:, ::1])", nogil=True, cache=True)
def accumulate(owners, values, counts, sums):
    """Add values to their owners' counts and sums.

    sums: a row an owner: smallest, largest, sum, its rounding error, sum of squares, its error.
    """
    has_owners = len(owners) > 0
    for i in range(len(values)):
        owner = np.int64(owners[i]) if has_owners else np.int64(0)
        if owner >= len(counts):
            continue
        value = values[i]
        counts[owner] += 1
        row = sums[owner]
        row[0] = min(row[0], value)
        row[1] = max(row[1], value)
        # Kahan and Neumaier: what the sum is too small to hold is kept beside it
        for at, term in ((2, value), (4, value * value)):
            total = row[at] + term
            if abs(row[at]) >= abs(term):
                row[at + 1] += (row[at] - total) + term
            else:
                row[at + 1] += (term - total) + row[at]
            row[at] = total


@numba.njit("void(u4[::1], i8[::1])", nogil=True, cache=True)
def count_owners(owners, counts):
    """Add one to the count of each pair's owner."""
    for i in range(len(owners)):
        owner = np.int64(owners[i])
        if owner < len(counts):
            counts[owner] += 1
