"""Looking through the terms of a memtable: its records, blob and chains are those of
term_table.py, in no order at all."""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.fuzzy import edits_at, fill_first_row, walk

_LOW = np.uint64(0xFFFFFFFF)
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_LENGTH = np.uint64(0xFFFF)


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], int64, int64, uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def scan_prefix(records, blob, chains, n_terms, field_no, prefix, out):
    """Write the ids of the field's terms that start with `prefix` and have postings; return how
    many, at most len(out)."""
    n = 0
    for term in range(n_terms):
        if n == len(out):
            break
        info = records[term, 2]
        length = np.int64((info >> _U16) & _LENGTH)
        if np.int64(info & _LENGTH) != field_no or length < len(prefix):
            continue
        if chains[term, 2] & _LOW == np.uint64(0):
            continue
        offset = np.int64(info >> _U32)
        k = 0
        while k < len(prefix) and blob[offset + k] == prefix[k]:
            k += 1
        if k == len(prefix):
            out[n] = term
            n += 1
    return np.int64(n)


@numba.njit(
    "boolean(uint8[::1], int64, int64, uint8[::1])",
    nogil=True,
    cache=True,
)
def matches_wildcard(blob, at, end, pattern):
    """Return whether blob[at:end] is matched: `*` any bytes, `?` one UTF-8 character, a backslash
    takes the next byte as it is (one at the very end stands for itself)."""
    p = 0
    star = -1
    retry = at
    while True:
        if p < len(pattern) and pattern[p] == 42:
            star = p + 1
            p = star
            retry = at
            continue
        if at == end and p == len(pattern):
            return True
        fits = False
        if at < end and p < len(pattern):
            if pattern[p] == 63:
                at += 1
                while at < end and blob[at] & 0xC0 == 0x80:
                    at += 1
                p += 1
                fits = True
            else:
                step = 2 if pattern[p] == 92 and p + 1 < len(pattern) else 1
                if blob[at] == pattern[p + step - 1]:
                    at += 1
                    p += step
                    fits = True
        if not fits:
            if star < 0 or retry >= end:
                return False
            retry += 1
            at = retry
            p = star


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], int64, int64, uint8[::1], int64[::1])",
    nogil=True,
    cache=True,
)
def scan_wildcard(records, blob, chains, n_terms, field_no, pattern, out):
    """Write the ids of the field's terms that `pattern` matches and that have postings; return
    how many, at most len(out)."""
    n = 0
    for term in range(n_terms):
        if n == len(out):
            break
        info = records[term, 2]
        if np.int64(info & _LENGTH) != field_no or chains[term, 2] & _LOW == np.uint64(0):
            continue
        offset = np.int64(info >> _U32)
        if matches_wildcard(blob, offset, offset + np.int64((info >> _U16) & _LENGTH), pattern):
            out[n] = term
            n += 1
    return np.int64(n)


@numba.njit(
    "int64(uint64[:, ::1], uint8[::1], uint64[:, ::1], int64, int64, uint8[::1], int64[::1],"
    " int64, boolean, int64[:, ::1], int64[:, ::1])",
    nogil=True,
    cache=True,
)
def scan_fuzzy(
    records, blob, chains, n_terms, field_no, prefix, query, max_edits, transposes, state, out
):
    """Write (id, edits, characters) of the field's terms that start with `prefix`, are at most
    `max_edits` from `query` and have postings; return how many, at most len(out). `query` and
    `state` are as kernels/fuzzy.py has them."""
    n = 0
    least = max(len(query) - max_edits, len(prefix))
    fill_first_row(state, len(query), max_edits)
    for term in range(n_terms):
        if n == len(out):
            break
        info = records[term, 2]
        length = np.int64((info >> _U16) & _LENGTH)
        if np.int64(info & _LENGTH) != field_no or length < least:
            continue
        if chains[term, 2] & _LOW == np.uint64(0):
            continue
        offset = np.int64(info >> _U32)
        k = 0
        while k < len(prefix) and blob[offset + k] == prefix[k]:
            k += 1
        if k < len(prefix):
            continue
        depth, is_near = walk(
            blob, offset, offset + length, np.int64(0), state, query, max_edits, transposes
        )
        if is_near:
            edits = edits_at(state, depth, len(query), max_edits)
            if edits <= max_edits:
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
