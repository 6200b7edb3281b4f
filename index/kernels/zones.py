"""Zone maps: the least and the greatest value of a column in each run of 1024 documents.

A zone without a value has its bounds the wrong way round and so meets no range; one with a NaN
has two NaNs, which compare with nothing, so that it is always looked into.
"""

from __future__ import annotations

import numba
import numpy as np

ZONE_DOCS = 1024
ZONE_WORDS = 16
"""Of a bitset over documents."""

_ONE = np.uint64(1)


@numba.njit(inline="always")
def _widen(least, most, value):
    if value != value or least != least:
        nan = least - least + (value - value)
        return nan, nan
    return min(least, value), max(most, value)


@numba.njit(inline="always")
def _find_zones(values, present, starts, n_docs, nothing, zones):
    for zone in range((n_docs + ZONE_DOCS - 1) // ZONE_DOCS):
        first = zone * ZONE_DOCS
        end = min(first + ZONE_DOCS, n_docs)
        least = nothing[0]
        most = nothing[1]
        if len(starts) > 0:
            for i in range(np.int64(starts[first]), np.int64(starts[end])):
                least, most = _widen(least, most, values[i])
        else:
            for doc in range(first, end):
                if (present[doc >> 6] >> np.uint64(doc & 63)) & _ONE:
                    least, most = _widen(least, most, values[doc])
        zones[2 * zone] = least
        zones[2 * zone + 1] = most


@numba.njit(inline="always")
def _widen_zones(docs, values, counts, zones):
    at = np.int64(0)
    for k in range(len(docs)):
        zone = np.int64(docs[k]) // ZONE_DOCS
        least = zones[2 * zone]
        most = zones[2 * zone + 1]
        for _ in range(counts[k] if len(counts) > 0 else 1):
            least, most = _widen(least, most, values[at])
            at += 1
        zones[2 * zone] = least
        zones[2 * zone + 1] = most


@numba.njit("void(int64[::1], uint64[::1], uint32[::1], int64, int64[::1])", nogil=True, cache=True)
def find_zones_i64(values, present, starts, n_docs, zones):
    """Write the least and the greatest value of each zone.

    Requires: `present` a bitset over the documents; `starts` empty (one value a document) or
    of n_docs + 1; len(zones) == 2 a zone.
    """
    nothing = (np.int64(0x7FFFFFFFFFFFFFFF), np.int64(-0x8000000000000000))
    _find_zones(values, present, starts, n_docs, nothing, zones)


@numba.njit(
    "void(float64[::1], uint64[::1], uint32[::1], int64, float64[::1])", nogil=True, cache=True
)
def find_zones_f64(values, present, starts, n_docs, zones):
    """As `find_zones_i64`."""
    _find_zones(values, present, starts, n_docs, (np.inf, -np.inf), zones)


@numba.njit("void(uint32[::1], int64[::1], int64[::1], int64[::1])", nogil=True, cache=True)
def widen_zones_i64(docs, values, counts, zones):
    """Take in the values of documents that are appended, `counts` of each (empty: one).

    Who reads meanwhile sees bounds that hold for less or for more, and both hold for what was
    there before. Requires: two cells in `zones` for each zone.
    """
    _widen_zones(docs, values, counts, zones)


@numba.njit("void(uint32[::1], float64[::1], int64[::1], float64[::1])", nogil=True, cache=True)
def widen_zones_f64(docs, values, counts, zones):
    """As `widen_zones_i64`."""
    _widen_zones(docs, values, counts, zones)
