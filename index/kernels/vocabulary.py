"""Looking through the terms of a memtable: its records, blob and chains are those of
term_table.py, in no order at all.

Each term has a sketch (grams.py) beside it, one word, so that most terms are passed over at
the speed of memory. Terms without postings are spellings only, and are not found.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.fuzzy import PADDING, count_between, find_places
from index.kernels.grams import may_be_near, sketch_of

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(0xFFFF)
_U16 = np.uint64(16)
_U32 = np.uint64(32)
_ZERO = np.uint64(0)


@numba.njit("void(uint64[:, ::1], uint8[::1], int64, int64, uint64[::1])", nogil=True, cache=True)
def sketch_terms(records, blob, first, end, sketches):
    """Write the sketches of terms first .. end - 1."""
    for term in range(first, end):
        info = records[term, 2]
        begin = np.int64(info >> _U32)
        sketches[term] = sketch_of(blob, begin, begin + np.int64((info >> _U16) & _HALF))


@numba.njit(inline="always")
def _is_wanted(records, chains, term, field_no):
    info = records[term, 2]
    return np.int64(info & _HALF) == field_no and chains[term, 2] & _LOW != _ZERO


@numba.njit(inline="always")
def _place(records, term):
    """Return where a term begins and ends in the blob."""
    info = records[term, 2]
    begin = np.int64(info >> _U32)
    return begin, begin + np.int64((info >> _U16) & _HALF)


@numba.njit(inline="always")
def _starts_with(blob, begin, end, prefix):
    k = 0
    while k < len(prefix) and begin + k < end and blob[begin + k] == prefix[k]:
        k += 1
    return k == len(prefix)


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], uint64[::1], int64, int64, uint64,"
    " uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def scan_prefix(records, blob, chains, sketches, n_terms, field_no, needed, prefix, out):
    """Write the ids of the field's terms that start with `prefix`; return how many, at most
    len(out). `needed` is the sketch of its whole characters."""
    n = 0
    for term in range(n_terms):
        if needed & ~sketches[term] != _ZERO or not _is_wanted(records, chains, term, field_no):
            continue
        begin, end = _place(records, term)
        if _starts_with(blob, begin, end, prefix):
            if n == len(out):
                break
            out[n] = term
            n += 1
    return np.int64(n)


@numba.njit(inline="always")
def _is_below(blob, begin, end, bound):
    k = 0
    while k < len(bound) and begin + k < end and blob[begin + k] == bound[k]:
        k += 1
    return k < len(bound) and (begin + k == end or blob[begin + k] < bound[k])


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], int64, int64, uint8[::1], uint8[::1],"
    " boolean, int64[::1])",
    nogil=True,
    cache=True,
)
def scan_between(records, blob, chains, n_terms, field_no, low, high, has_high, out):
    """Write the ids of the field's terms from `low` on and, if `has_high`, below `high`; return how
    many. Requires: len(out) >= n_terms."""
    n = 0
    for term in range(n_terms):
        if not _is_wanted(records, chains, term, field_no):
            continue
        begin, end = _place(records, term)
        if _is_below(blob, begin, end, low):
            continue
        if has_high and not _is_below(blob, begin, end, high):
            continue
        out[n] = term
        n += 1
    return np.int64(n)


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], uint64[::1], int64, int64, uint64,"
    " int32[::1], uint8[::1], int64, int64[::1])",
    nogil=True,
    cache=True,
)
def scan_program(
    records, blob, chains, sketches, n_terms, field_no, needed, program, class_of, n_classes, out
):
    """Write the ids of the field's terms that a program (automaton_terms.py) accepts and that have
    the characters `needed`; return how many, at most len(out)."""
    n = 0
    for term in range(n_terms):
        if needed & ~sketches[term] != _ZERO or not _is_wanted(records, chains, term, field_no):
            continue
        begin, end = _place(records, term)
        state = np.int64(n_classes + 1)
        for k in range(begin, end):
            state = np.int64(program[state + class_of[blob[k]]])
            if state == 0:
                break
        if state != 0 and program[state + n_classes] != 0:
            if n == len(out):
                break
            out[n] = term
            n += 1
    return np.int64(n)


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], uint64[::1], int64, int64, uint64,"
    " uint8[::1], int64[::1], int64, boolean, int64[:, ::1])",
    nogil=True,
    cache=True,
)
def scan_fuzzy(
    records, blob, chains, sketches, n_terms, field_no, sketch, prefix, query, max_edits,
    transposes, out,
):  # fmt: skip
    """Write (id, edits, characters) of the field's terms that start with `prefix` and are at most
    `max_edits` from `query` (fuzzy.py), whose sketch is `sketch`; return how many, at most
    len(out)."""
    n_query = np.int64(len(query) - PADDING)
    swaps = np.uint64(255 if transposes else 0)
    places = find_places(query)
    n = 0
    for term in range(n_terms):
        if not may_be_near(sketches[term], sketch, max_edits):
            continue
        if not _is_wanted(records, chains, term, field_no):
            continue
        begin, end = _place(records, term)
        if end - begin < n_query - max_edits or not _starts_with(blob, begin, end, prefix):
            continue
        edits, depth = count_between(blob, begin, end, query, places, n_query, max_edits, swaps)
        if edits <= max_edits:
            if n == len(out):
                break
            out[n, 0] = term
            out[n, 1] = edits
            out[n, 2] = depth
            n += 1
    return np.int64(n)


@numba.njit(
    "void(uint64[:, ::1], uint8[::1], int64[::1], int64[::1], uint8[::1])", nogil=True, cache=True
)
def copy_terms(records, blob, terms, starts, out):
    """Write the bytes of `terms` to out[starts[i]:starts[i + 1]].

    Requires: starts as the lengths of the terms add up to, len(out) >= starts[-1].
    """
    for i in range(len(terms)):
        offset = np.int64(records[terms[i], 2] >> _U32)
        for k in range(starts[i + 1] - starts[i]):
            out[starts[i] + k] = blob[offset + k]
