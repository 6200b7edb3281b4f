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
    "int64(uint8[::1], int64, int64, uint64[::1], uint64[:, ::1], uint8[::1], int64)",
    nogil=True,
    cache=True,
)
def find_term(text, length, field_no, slots, records, blob, n_terms):
    """Return the id of the term (field_no, text[:length]) if it is below `n_terms`, else -1.

    Requires: length <= 65535 and len(text) >= length + 16.
    """
    mask = np.uint64(len(slots) - 1)
    info = (np.uint64(length) << _U16) | np.uint64(field_no)
    k0 = _word(text, 0, length, 0)
    k1 = _word(text, 0, length, 8)
    h = _hash(text, 0, length, k0, k1, info)
    at = h & mask
    while slots[at] != np.uint64(0):
        slot = slots[at]
        if slot >> _U32 == h >> _U32:
            term = np.int64(slot & _LOW) - 1
            if term < n_terms and _is_term(records, blob, term, text, 0, length, k0, k1, info):
                return term
        at = (at + _ONE) & mask
    return np.int64(-1)


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
