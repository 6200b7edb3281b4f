"""Postings of a segment: bit-packed blocks of 128, and how to walk them (packing.py writes them).

A term with one document, frequency 1, is its record alone (a LIST leaf points into the
record). Any other term has ceil(df / 128) blocks. Of each block, in flat arrays over all terms:

  last_docs  u32   its last doc id
  doc_metas  u64   bits 0..39 where it begins in the data; 40..45 bits of a doc id gap;
                   46..51 bits of a frequency
  pos_metas  u64   bits 0..39 where its positions begin; 40..45 bits of a position, 63 = the
                   term has none; of its document with the greatest BM25 part by the averages of
                   this segment: 46..53 norm byte, 54..61 frequency, 255 = that or more; 62 set =
                   no document of the block has a greater frequency or is shorter

Data of a block of n documents: n - 1 gaps (doc id - the one before - 1; before the first
block is -1; the last document is `last_docs`), then n frequencies - 1. Positions: of each
document the first as it is, then the differences. Each run is packed from the lowest bit on
and ends at a whole byte; both data sections end in 8 bytes of zeros, so that a value is read
by one unaligned 64-bit load.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word
from index.kernels.inner import inner
from index.kernels.memory import u32_at, u64_at
from index.kernels.rows import BLOCK, SIZE

TAIL = 8
"""Bytes of zeros after the data that a load may run into."""

# columns of a BLOCKS row
LAST_DOCS = 2
DOC_METAS = 3
DATA = 4
DATA_SIZE = 5
POS_METAS = 6
POSITIONS = 7
POSITIONS_SIZE = 8

# columns of the row that stands for all postings of a segment (`postings.Postings`)
P_RECORDS, P_N_TERMS, P_LAST_DOCS, P_DOC_METAS, P_POS_METAS, P_N_BLOCKS = range(6)
P_DATA, P_DATA_SIZE, P_POSITIONS, P_POSITIONS_SIZE = range(6, 10)
POSTINGS_WIDTH = 10

NO_POSITIONS = 63
_MOST_DOCS = 1 << 32
"""A doc id is a u32."""

# A record: a single posting has the top bit set, its doc id in bits 0..31 and position + 1 (0:
# none) in bits 32..62; other terms have their first block in bits 0..31 and df in 32..62.
_SINGLE = np.uint64(1 << 63)
_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(0x7FFFFFFF)
_OFFSET = np.uint64((1 << 40) - 1)
_SIX = np.uint64(63)
_ONE = np.uint64(1)
_U32 = np.uint64(32)
_U40 = np.uint64(40)
_U46 = np.uint64(46)
_U54 = np.uint64(54)
_U255 = np.uint64(255)
_DOMINATES = np.uint64(1 << 62)


@numba.njit(inline="always")
def _n_bytes(n, bits):
    return (n * bits + 7) >> 3


@numba.njit(inline="always")
def _unpack(address, bits, n, out):
    """Write `n` values of `bits` bits to `out`."""
    mask = np.uint32((_ONE << np.uint64(bits)) - _ONE)
    for i in range(n):
        at = i * bits
        word = load_word(np.int64(address + (at >> 3))) >> np.uint64(at & 7)
        out[i] = np.uint32(word) & mask


# --- walking -------------------------------------------------------------------------------
@inner("int64(int64[::1], int64, int64, uint32[::1])")
def decode_docs(row, block, n_docs, docs):
    """Write the doc ids of one block, rising and below `n_docs`; return how many, 0 where the
    block is not sound. Requires: len(docs) >= 128; block < the term's blocks."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    n = min(np.int64(BLOCK), row[SIZE] - block * BLOCK)
    last_docs = u32_at(row[LAST_DOCS], n_blocks)
    meta = u64_at(row[DOC_METAS], n_blocks)[block]
    offset = np.int64(meta & _OFFSET)
    doc_bits = np.int64((meta >> _U40) & _SIX)
    tf_bits = np.int64((meta >> _U46) & _SIX)
    tf_offset = offset + _n_bytes(n - 1, doc_bits)
    if doc_bits > 32 or tf_bits > 32 or tf_offset + _n_bytes(n, tf_bits) + TAIL > row[DATA_SIZE]:
        return np.int64(0)
    _unpack(row[DATA] + offset, doc_bits, n - 1, docs)
    previous = np.int64(-1)
    if block > 0:
        previous = np.int64(last_docs[block - 1])
    for i in range(n - 1):
        previous += np.int64(docs[i]) + 1
        docs[i] = np.uint32(previous)
    last = np.int64(last_docs[block])
    docs[n - 1] = np.uint32(last)
    if previous >= last or last >= n_docs:
        return np.int64(0)
    return n


@numba.njit(inline="always")
def frequencies_of(row, block):
    """Return (address, bits) of a block's frequencies less 1; `decode_docs` found it sound."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    n = min(np.int64(BLOCK), row[SIZE] - block * BLOCK)
    meta = u64_at(row[DOC_METAS], n_blocks)[block]
    doc_bits = np.int64((meta >> _U40) & _SIX)
    tf_bits = np.int64((meta >> _U46) & _SIX)
    return row[DATA] + np.int64(meta & _OFFSET) + _n_bytes(n - 1, doc_bits), tf_bits


@numba.njit(inline="always")
def packed_at(address, bits, i):
    """Return value `i` of a run that is packed from `address` on."""
    at = i * bits
    mask = np.uint32((_ONE << np.uint64(bits)) - _ONE)
    return np.uint32(load_word(np.int64(address + (at >> 3))) >> np.uint64(at & 7)) & mask


@inner("void(int64[::1], int64, int64, uint32[::1])")
def decode_tfs(row, block, n, tfs):
    """Write the frequencies of a block of `n` documents that `decode_docs` found sound."""
    address, bits = frequencies_of(row, block)
    if bits == 0:
        tfs[:n] = np.uint32(1)
        return
    _unpack(address, bits, n, tfs)
    for i in range(n):
        tfs[i] += np.uint32(1)


@numba.njit("float32(uint64, float32, float32, float32[::1])", nogil=True, cache=True)
def bound_of(pos_meta, weight, slack, table):
    """Return a score that no document of a block passes.

    `slack`: greatest ratio, either way, of the segment's mean length and the one of `table`.
    """
    tf = np.float32((pos_meta >> _U54) & _U255)
    if tf == np.float32(255.0):
        return weight
    part = weight * tf / (tf + table[np.int64((pos_meta >> _U46) & _U255)])
    if pos_meta & _DOMINATES == np.uint64(0):
        part = min(part * slack, weight)
    return part


@inner("int64(int64[::1], int64[::1], uint32[::1], uint32[::1])")
def fill_blocks(row, cursor, docs, tfs):
    """Write the next block of at most 128 postings; return how many, 0 = exhausted.

    Requires: len(docs) and len(tfs) >= 128. cursor[0] is the next block.
    """
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    block = cursor[0]
    if block >= n_blocks:
        return np.int64(0)
    cursor[0] = block + 1
    n = decode_docs(row, block, _MOST_DOCS, docs)
    if n > 0:
        decode_tfs(row, block, n, tfs)
    return n


@inner("i8(u4[::1], i8, i8, i8)")
def first_block_at(last_docs, block, n_blocks, target):
    """Return the first block from `block` on whose last document is >= `target`, or `n_blocks`."""
    low = block
    step = np.int64(1)
    while block < n_blocks and np.int64(last_docs[block]) < target:
        low = block + 1
        block += step
        step *= 2
    high = min(block, n_blocks)
    while low < high:
        middle = (low + high) >> 1
        if np.int64(last_docs[middle]) < target:
            low = middle + 1
        else:
            high = middle
    return low


@inner("void(int64[::1], int64[::1], int64)")
def seek_blocks(row, cursor, target):
    """Move forward to the first block whose last doc id is >= `target`."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    if cursor[0] < n_blocks:
        last_docs = u32_at(row[LAST_DOCS], n_blocks)
        cursor[0] = first_block_at(last_docs, cursor[0], n_blocks, target)


@numba.njit(inline="always")
def _positions_of_block(row, block, n_blocks):
    """Return (address, bits) of a block's positions; bits < 0: it has none."""
    meta = u64_at(row[POS_METAS], n_blocks)[block]
    bits = np.int64((meta >> _U40) & _SIX)
    if bits > 32:
        return np.int64(0), np.int64(-1)
    return row[POSITIONS] + np.int64(meta & _OFFSET), bits


@numba.njit(inline="always")
def positions_of(row, block, n):
    """Return (address, bits) of the `n` positions of a block; bits < 0: they are not there."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    address, bits = _positions_of_block(row, block, n_blocks)
    if bits < 0 or address - row[POSITIONS] + _n_bytes(n, bits) + TAIL > row[POSITIONS_SIZE]:
        return np.int64(0), np.int64(-1)
    return address, bits


@numba.njit(
    "int64(int64[::1], uint32[::1], int64[::1], uint32[::1], uint32[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def find_positions(row, doc_ids, starts, out, docs, tfs):
    """Write the positions in each of `doc_ids` (rising) one after the other; return how many
    there are. Those beyond len(out) are counted only.

    Requires: len(starts) > len(doc_ids); `docs` and `tfs` room for 128.
    """
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    cursor = np.zeros(1, np.int64)
    n_out = 0
    n = np.int64(0)
    i = 0
    before = 0
    address = np.int64(0)
    bits = np.int64(-1)
    for k in range(len(doc_ids)):
        starts[k] = n_out
        doc = doc_ids[k]
        if n == 0 or docs[n - 1] < doc:
            seek_blocks(row, cursor, np.int64(doc))
            block = cursor[0]
            if block >= n_blocks:
                n = np.int64(0)
                continue
            n = fill_blocks(row, cursor, docs, tfs)
            if n == 0:
                continue
            i = 0
            before = 0
            address, bits = _positions_of_block(row, block, n_blocks)
            total = np.int64(0)
            for j in range(n):
                total += np.int64(tfs[j])
            end = address - row[POSITIONS] + _n_bytes(total, bits) + TAIL
            if bits < 0 or end > row[POSITIONS_SIZE]:
                bits = np.int64(-1)
        while i < n and docs[i] < doc:
            before += np.int64(tfs[i])
            i += 1
        if bits < 0 or i == n or docs[i] != doc:
            continue
        mask = np.uint32((_ONE << np.uint64(bits)) - _ONE)
        position = np.uint32(0)
        for j in range(np.int64(tfs[i])):
            at = (before + j) * bits
            word = load_word(np.int64(address + (at >> 3))) >> np.uint64(at & 7)
            position += np.uint32(word) & mask
            if n_out < len(out):
                out[n_out] = position
            n_out += 1
    starts[len(doc_ids)] = n_out
    return np.int64(n_out)


@inner("int64(int64[::1], int64, uint32[::1], uint32[::1])")
def decode_positions(row, block, tfs, out):
    """Write all positions of a block whose frequencies are `tfs`; return how many, 0 where the
    term has none, -1 - their number where `out` is too short, and -1 where they are not in the
    section."""
    n_blocks = (row[SIZE] + BLOCK - 1) >> 7
    address, bits = _positions_of_block(row, block, n_blocks)
    if bits < 0:
        return np.int64(0)
    total = np.int64(0)
    for i in range(len(tfs)):
        total += np.int64(tfs[i])
    if address - row[POSITIONS] + _n_bytes(total, bits) + TAIL > row[POSITIONS_SIZE]:
        return np.int64(-1)
    if total > len(out):
        return np.int64(-1 - total)
    _unpack(address, bits, total, out)
    at = 0
    for i in range(len(tfs)):
        end = at + np.int64(tfs[i])
        for j in range(at + 1, end):
            out[j] += out[j - 1]
        at = end
    return total


# --- all postings of a segment ------------------------------------------------------------
@numba.njit("int64(int64[::1], int64, int64[::1])", nogil=True, cache=True)
def term_row(postings, term, row):
    """Fill the BLOCKS row of a term and return -1; for a single posting return its record's bits
    0..62 and leave the row. A term whose blocks are not all there gets a row without postings."""
    record = u64_at(postings[P_RECORDS], postings[P_N_TERMS])[term]
    if record & _SINGLE:
        return np.int64(record & ~_SINGLE)
    first = np.int64(record & _LOW)
    size = np.int64((record >> _U32) & _HIGH)
    if first + ((size + BLOCK - 1) >> 7) > postings[P_N_BLOCKS]:
        size = np.int64(0)
    row[0] = 0
    row[SIZE] = size
    row[LAST_DOCS] = postings[P_LAST_DOCS] + 4 * first
    row[DOC_METAS] = postings[P_DOC_METAS] + 8 * first
    row[DATA] = postings[P_DATA]
    row[DATA_SIZE] = postings[P_DATA_SIZE]
    row[POS_METAS] = postings[P_POS_METAS] + 8 * first
    row[POSITIONS] = postings[P_POSITIONS]
    row[POSITIONS_SIZE] = postings[P_POSITIONS_SIZE]
    return np.int64(-1)


# --- checking ------------------------------------------------------------------------------
@numba.njit(
    "int64(int64[::1], int64, int64, int64, int64[::1], uint32[::1], uint32[::1], uint32[::1],"
    " int64[::1])",
    nogil=True,
    cache=True,
)
def check_postings(postings, first, end, n_docs, row, docs, tfs, scratch, totals):
    """Walk terms first .. end - 1; return -1, or the first whose postings are not sound: doc ids
    rising and below `n_docs`, last ids as the blocks say, positions rising. `totals` is raised by
    (postings, sum of frequencies, positions).

    Requires: `docs` and `tfs` room for 128. A block with more positions than `scratch` is long
    is counted, its positions not looked at.
    """
    cursor = np.zeros(4, np.int64)
    for term in range(first, end):
        single = term_row(postings, term, row)
        if single >= 0:
            if single & np.int64(0xFFFFFFFF) >= n_docs:
                return np.int64(term)
            totals[0] += 1
            totals[1] += 1
            totals[2] += np.int64(single >> 32 != 0)
            continue
        if row[SIZE] == 0:
            return np.int64(term)
        cursor[0] = 0
        seen = np.int64(0)
        previous = np.int64(-1)
        while True:
            block = cursor[0]
            n = fill_blocks(row, cursor, docs, tfs)
            if n == 0:
                break
            frequency = np.int64(0)
            for i in range(n):
                if np.int64(docs[i]) <= previous:
                    return np.int64(term)
                previous = np.int64(docs[i])
                frequency += np.int64(tfs[i])
            n_positions = decode_positions(row, block, tfs[:n], scratch)
            if n_positions == -1:
                return np.int64(term)
            if n_positions < -1:
                n_positions = -1 - n_positions
            elif n_positions > 0:
                at = 0
                for i in range(n):
                    for j in range(at + 1, at + np.int64(tfs[i])):
                        if scratch[j] < scratch[j - 1]:
                            return np.int64(term)
                    at += np.int64(tfs[i])
            seen += n
            totals[0] += n
            totals[1] += frequency
            totals[2] += n_positions
        if seen != row[SIZE] or previous >= n_docs:
            return np.int64(term)
    return np.int64(-1)
