"""The hash table of a memtable's terms, as those read it who have its addresses alone.

Arrays, for n terms of capacity c:
  records  u64[c, 4]  first 8 bytes, next 8 bytes (little endian, zero padded),
                      blob offset << 32 | length << 16 | field number, hash
  blob     u8[]       the terms' bytes, one after the other
  slots    u64[2^k]   0, or hash's high half << 32 | id + 1; linear probing
  chains   u64[c, 4]  the terms' postings, see chains.py
Terms are only added, so that a reader of an older n may look while a batch goes in.

A TABLE row (int64[TABLE_WIDTH]) names them for the query kernels; the memtable's reader owns it
and keeps the arrays alive.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.chains import CHAIN_WIDTH, HEAD, N_DOCS, POOL, POOL_SIZE
from index.kernels.inner import inner
from index.kernels.memory import u8_at, u64_at
from index.kernels.rows import CHAIN, KIND, SIZE

(
    M_SLOTS,
    M_N_SLOTS,
    M_RECORDS,
    M_N_TERMS,
    M_BLOB,
    M_BLOB_SIZE,
    M_CHAINS,
    M_POOL,
    M_POOL_SIZE,
    M_N_DOCS,
) = range(10)
TABLE_WIDTH = 10

_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)
_C3 = np.uint64(0x165667B19E3779F9)
_ONE = np.uint64(1)
_LOW = np.uint64(0xFFFFFFFF)
_U29 = np.uint64(29)
_U31 = np.uint64(31)
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_U8 = np.uint64(8)


@numba.njit(inline="always")
def mix_head(k0, k1, info):
    """Begin a term's hash: its first 16 bytes, and length << 16 | field number."""
    h = (k0 ^ (info * _C3)) * _C1
    h ^= h >> _U29
    h = (h ^ k1) * _C2
    return h ^ (h >> _U31)


@numba.njit(inline="always")
def mix_word(h, word):
    """Go on with 8 more bytes, zero padded at the end."""
    h = (h ^ word) * _C1
    return h ^ (h >> _U29)


@numba.njit(inline="always")
def mix_end(h):
    h *= _C2
    return h ^ (h >> _U32)


@numba.njit(inline="always")
def _word_at(text, begin, stop):
    """Return text[begin:stop], at most 8 bytes, as a little-endian word; 0 where it is empty."""
    word = np.uint64(0)
    for k in range(stop - 1, begin - 1, -1):
        word = (word << _U8) | np.uint64(text[k])
    return word


@numba.njit("int64(int64[::1], uint8[::1], int64, int64, int64)", nogil=True, cache=True)
def find_table_term(row, text, begin, length, field_no):
    """Return the id of the term (field_no, text[begin:begin + length]), or -1 where there is none
    or it has no postings.

    `row` is a TABLE row. The text needs no padding. Requires: length <= 65535.
    """
    n_terms = row[M_N_TERMS]
    slots = u64_at(row[M_SLOTS], row[M_N_SLOTS])
    records = u64_at(row[M_RECORDS], 4 * n_terms)
    blob = u8_at(row[M_BLOB], row[M_BLOB_SIZE])
    end = begin + length
    info = (np.uint64(length) << _U16) | np.uint64(field_no)
    k0 = _word_at(text, begin, min(begin + 8, end))
    k1 = _word_at(text, begin + 8, min(begin + 16, end))
    h = mix_head(k0, k1, info)
    for at_byte in range(begin + 16, end, 8):
        h = mix_word(h, _word_at(text, at_byte, min(at_byte + 8, end)))
    h = mix_end(h)
    mask = np.uint64(row[M_N_SLOTS] - 1)
    at = h & mask
    while slots[at] != np.uint64(0):
        slot = slots[at]
        term = np.int64(slot & _LOW) - 1
        at = (at + _ONE) & mask
        if slot >> _U32 != h >> _U32 or term >= n_terms:
            continue
        if records[4 * term] != k0 or records[4 * term + 1] != k1:
            continue
        if (records[4 * term + 2] ^ info) & _LOW != np.uint64(0):
            continue
        offset = np.int64(records[4 * term + 2] >> _U32)
        k = np.int64(16)
        while k < length and blob[offset + k] == text[begin + k]:
            k += 1
        if k >= length:
            chains = u64_at(row[M_CHAINS], CHAIN_WIDTH * n_terms)
            return term if chains[CHAIN_WIDTH * term] != np.uint64(0) else np.int64(-1)
    return np.int64(-1)


@inner("void(int64[::1], int64, int64[::1])")
def fill_table_leaf(row, term, leaf):
    """Describe a term's postings as a CHAIN leaf (rows.py), which fill_chain and seek_chain walk.

    Requires: `term` as `find_table_term` gave it for the same row.
    """
    chains = u64_at(row[M_CHAINS], CHAIN_WIDTH * row[M_N_TERMS])
    leaf[KIND] = CHAIN
    leaf[SIZE] = np.int64(chains[CHAIN_WIDTH * term + 2] & _LOW)
    leaf[POOL] = row[M_POOL]
    leaf[POOL_SIZE] = row[M_POOL_SIZE]
    leaf[HEAD] = np.int64(chains[CHAIN_WIDTH * term] >> _U32)
    leaf[N_DOCS] = row[M_N_DOCS]
