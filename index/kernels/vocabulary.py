"""The terms of a memtable: a hash table that gives each (field number, bytes) a dense id.

Arrays, for n terms of capacity c:
  records  u64[c, 4]  first 8 bytes, next 8 bytes (little endian, zero padded),
                      blob offset << 32 | length << 16 | field number, hash
  blob     u8[]       the terms' bytes, one after the other
  slots    u64[2^k]   0, or hash's high half << 32 | id + 1; linear probing
  targets  i32[c]     the term that a token of this spelling stands for; PENDING: not known
                      yet; REMOVED: none
  counts   i64[2]     n, bytes used in blob
Texts that are looked up need 16 bytes after their end, so that words can be loaded unaligned.
Terms are only added, so that a reader of an older n may look while a batch goes in.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from index.kernels.fuzzy import edits_at, fill_first_row, walk

PENDING = -2
REMOVED = -1

_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)
_C3 = np.uint64(0x165667B19E3779F9)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_U63 = np.uint64(63)
_LOW = np.uint64(0xFFFFFFFF)
_U29 = np.uint64(29)
_U31 = np.uint64(31)
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_LENGTH = np.uint64(0xFFFF)


@intrinsic
def _load_word(typing_context, array, at):
    """Return the 8 bytes of a u8 array at `at` as a u64, aligned or not, unchecked."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(view.data, [args[1]])
        pointer = context.get_value_type(types.CPointer(types.uint64))
        word = builder.load(builder.bitcast(address, pointer))
        word.align = 1
        return word

    return types.uint64(array, types.int64), generate


@numba.njit(inline="always")
def _word(text, begin, length, at):
    """Return bytes at .. at + 7 of the `length` bytes from `begin`, zero beyond them.

    Without branches: lengths are random, and a wrong guess costs more than all the rest.
    """
    left = max(min(length - at, 8), 0)
    kept = _ALL >> (np.uint64(64 - 8 * left) & _U63)
    return _load_word(text, np.int64(begin + at)) & (kept if left > 0 else np.uint64(0))


@numba.njit(inline="always")
def _mix(k0, k1, info):
    h = (k0 ^ (info * _C3)) * _C1
    h ^= h >> _U29
    h = (h ^ k1) * _C2
    return h ^ (h >> _U31)


@numba.njit(inline="always")
def _hash(text, begin, length, k0, k1, info):
    h = _mix(k0, k1, info)
    at = 16
    while at < length:
        h = (h ^ _word(text, begin, length, at)) * _C1
        h ^= h >> _U29
        at += 8
    h *= _C2
    return h ^ (h >> _U32)


@numba.njit(inline="always")
def _is_term(records, blob, term, text, begin, length, k0, k1, info):
    differing = (
        (records[term, 0] ^ k0) | (records[term, 1] ^ k1) | ((records[term, 2] ^ info) & _LOW)
    )
    if differing != np.uint64(0):
        return False
    offset = np.int64(records[term, 2] >> _U32)
    for k in range(16, length):  # noqa: SIM110
        if blob[offset + k] != text[begin + k]:
            return False
    return True


@numba.njit(
    "int64(uint8[::1], uint32[:, ::1], int64, int64, uint32[::1], uint64[::1], uint64[:, ::1],"
    " uint8[::1], int32[::1], int64[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def intern_tokens(text, tokens, first, n, text_fields, slots, records, blob, targets, counts, ids):
    """Give tokens first .. n - 1 their ids in `ids`, adding the terms that are new.

    A new term stands for itself where the token's mark is 0, else it is PENDING. Returns the
    first token not done, because `slots` (at most half full), `records` or `blob` must grow
    first; n when all are done.

    Requires: tokens of at most 65535 bytes; 16 bytes of `text` after each token's end;
    text_fields below 65536.
    """
    mask = np.uint64(len(slots) - 1)
    n_terms = counts[0]
    n_blob = counts[1]
    for i in range(first, n):
        begin = np.int64(tokens[i, 0])
        length = np.int64(tokens[i, 1] >> np.uint32(1))
        info = (np.uint64(length) << _U16) | np.uint64(text_fields[tokens[i, 2]])
        k0 = _word(text, begin, length, 0)
        k1 = _word(text, begin, length, 8)
        h = _hash(text, begin, length, k0, k1, info)
        at = h & mask
        term = np.int64(-1)
        while slots[at] != np.uint64(0):
            slot = slots[at]
            if slot >> _U32 == h >> _U32:
                # as _is_term; a call of it here would cost more than all the rest
                candidate = np.int64(slot & _LOW) - 1
                differing = (
                    (records[candidate, 0] ^ k0)
                    | (records[candidate, 1] ^ k1)
                    | ((records[candidate, 2] ^ info) & _LOW)
                )
                if differing == np.uint64(0):
                    k = np.int64(16)
                    if length > 16:
                        offset = np.int64(records[candidate, 2] >> _U32)
                        while k < length and blob[offset + k] == text[begin + k]:
                            k += 1
                    if k >= length:
                        term = candidate
                        break
            at = (at + _ONE) & mask
        if term < 0:
            if (
                n_terms == len(records)
                or 2 * (n_terms + 1) > len(slots)
                or n_blob + length > len(blob)
            ):
                counts[0] = n_terms
                counts[1] = n_blob
                return np.int64(i)
            term = n_terms
            for k in range(length):
                blob[n_blob + k] = text[begin + k]
            records[term, 0] = k0
            records[term, 1] = k1
            records[term, 2] = (np.uint64(n_blob) << _U32) | info
            records[term, 3] = h
            targets[term] = PENDING if tokens[i, 1] & np.uint32(1) else np.int32(term)
            slots[at] = ((h >> _U32) << _U32) | np.uint64(term + 1)
            n_terms += 1
            n_blob += length
        ids[i] = np.uint32(term)
    counts[0] = n_terms
    counts[1] = n_blob
    return n


@numba.njit("void(uint64[:, ::1], int64, uint64[::1])", nogil=True, cache=True)
def fill_slots(records, n_terms, slots):
    """Enter the terms into empty `slots`. Requires: len(slots) a power of two > n_terms."""
    mask = np.uint64(len(slots) - 1)
    for term in range(n_terms):
        h = records[term, 3]
        at = h & mask
        while slots[at] != np.uint64(0):
            at = (at + _ONE) & mask
        slots[at] = ((h >> _U32) << _U32) | np.uint64(term + 1)


@numba.njit(
    types.int64(
        types.Bytes(types.uint8, 1, "C"), types.int64, types.int64, types.int64,
        types.uint64[::1], types.uint64[:, ::1], types.uint8[::1], types.int64,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def find_spelling(text, begin, length, field_no, slots, records, blob, n_terms):
    """Return the id of the term (field_no, text[begin:begin + length]) if it is below `n_terms`,
    else -1.

    Requires: 16 bytes of `text` after the term.
    """
    if length > np.int64(_LENGTH) or field_no > np.int64(_LENGTH):
        return np.int64(-1)
    mask = np.uint64(len(slots) - 1)
    info = (np.uint64(length) << _U16) | np.uint64(field_no)
    k0 = _word(text, begin, length, 0)
    k1 = _word(text, begin, length, 8)
    h = _hash(text, begin, length, k0, k1, info)
    at = h & mask
    while slots[at] != np.uint64(0):
        slot = slots[at]
        if slot >> _U32 == h >> _U32:
            term = np.int64(slot & _LOW) - 1
            if term < n_terms and _is_term(records, blob, term, text, begin, length, k0, k1, info):
                return term
        at = (at + _ONE) & mask
    return np.int64(-1)


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
