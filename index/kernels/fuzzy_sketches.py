"""Pass over the terms of a small dictionary by their sketches (grams.py).

Two edits leave so much of a dictionary open that walking it (fuzzy_terms.py) reads nearly all of
it, unless it is large.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.front_coding import (
    BLOCK_TERMS,
    T_ENTRIES,
    T_N_BLOCKS,
    T_SIZE,
    T_STARTS,
    read_entry,
)
from index.kernels.fuzzy import PADDING, count_between, find_places
from index.kernels.grams import may_be_near, sketch_of
from index.kernels.memory import u8_at, u64_at
from index.kernels.terms import read_term

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@numba.njit("void(int64[::1], int64, uint8[::1], uint64[::1])", nogil=True, cache=True)
def sketch_dictionary(row, first_block, path, sketches):
    """Write the sketches of a field's terms; of terms that cannot be read, all bits. `path` is
    room for the longest term."""
    sketches[:] = _ALL
    n_terms = len(sketches)
    if n_terms == 0 or first_block + (n_terms + BLOCK_TERMS - 1) // BLOCK_TERMS > row[T_N_BLOCKS]:
        return
    entries = u8_at(row[T_ENTRIES], row[T_SIZE])
    at = np.int64(u64_at(row[T_STARTS], row[T_N_BLOCKS] + 1)[first_block])
    length = np.int64(0)
    for i in range(n_terms):
        shared, start, stop = read_entry(entries, at, row[T_SIZE])
        if stop < 0 or shared > length or shared + stop - start > len(path):
            return
        length = shared
        for k in range(start, stop):
            path[length] = entries[k]
            length += 1
        at = stop
        sketches[i] = sketch_of(path, np.int64(0), length)


@numba.njit(
    "int64(int64[::1], int64, int64, int64, uint64[::1], uint64, int64[::1], int64, boolean,"
    " uint8[::1], int64[:, ::1])",
    nogil=True,
    cache=True,
)
def scan_sketches(
    row, first_block, first, end, sketches, sketch, query, max_edits, transposes, path, out
):
    """As fuzzy_terms.scan_fuzzy; `sketch` is that of the query."""
    n_query = np.int64(len(query) - PADDING)
    swaps = np.uint64(255 if transposes else 0)
    places = find_places(query)
    n = 0
    for i in range(first, min(end, len(sketches))):
        if not may_be_near(sketches[i], sketch, max_edits):
            continue
        length = read_term(row, first_block + i // BLOCK_TERMS, i % BLOCK_TERMS, path)
        if length < 0:
            break
        edits, depth = count_between(
            path, np.int64(0), length, query, places, n_query, max_edits, swaps
        )
        if edits <= max_edits:
            if n == len(out):
                break
            out[n, 0] = i
            out[n, 1] = edits
            out[n, 2] = depth
            n += 1
    return np.int64(n)
