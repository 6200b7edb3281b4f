"""Writing postings in the layout of postings.py."""

from __future__ import annotations

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from index.kernels.bits import highest_bit
from index.kernels.inner import inner
from index.kernels.memory import f32_at, u8_at
from index.kernels.postings import NO_POSITIONS
from index.kernels.rows import BLOCK

_SINGLE = np.uint64(1 << 63)
_HIGH = np.uint64(0x7FFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_U8 = np.uint64(8)
_U32 = np.uint64(32)
_U40 = np.uint64(40)
_U46 = np.uint64(46)
_U54 = np.uint64(54)
_U255 = np.uint64(255)
_DOMINATES = np.uint64(1 << 62)


@intrinsic
def _store(typing_context, array, at, value):
    """Write a u64 to bytes at .. at + 7 of a u8 array, aligned or not, unchecked."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(view.data, [args[1]])
        builder.store(
            args[2],
            builder.bitcast(address, context.get_value_type(types.CPointer(types.uint64))),
            align=1,
        )
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), generate


@inner("int64(uint32[::1], int64, int64, int64, uint8[::1], int64)")
def _pack(values, first, n, bits, out, at):
    """Write values first .. first + n - 1, `bits` each, from byte `at` on; return the end.

    Requires: 8 bytes of room beyond the end.
    """
    if bits == 0:
        return at
    word = _ZERO
    filled = np.int64(0)
    for i in range(first, first + n):
        value = np.uint64(values[i])
        word |= value << np.uint64(filled)
        filled += bits
        if filled >= 64:
            _store(out, at, word)
            at += 8
            filled -= 64
            word = value >> np.uint64(bits - filled)
    while filled > 0:
        out[at] = np.uint8(word & _U255)
        word >>= _U8
        filled -= 8
        at += 1
    return at


@numba.njit(inline="always")
def _width(values, first, n):
    """Return how many bits the greatest of the values needs."""
    union = np.uint32(0)
    for i in range(first, first + n):
        union |= values[i]
    return highest_bit(np.uint64(union)) + 1


@numba.njit(inline="always")
def _impact(docs, tfs, start, n, norms, table):
    """Return the bits of POS_METAS that bound the scores of a block: the frequency and norm byte
    of its document with the greatest BM25 part, and whether no other has more or is shorter."""
    greatest_tf = np.uint32(0)
    least_norm = np.uint8(255)
    best = np.float32(-1.0)
    best_tf = np.uint32(0)
    best_norm = np.uint8(0)
    for i in range(start, start + n):
        tf = tfs[i]
        norm = norms[docs[i]]
        if tf <= best_tf and norm >= best_norm:
            continue  # the best one dominates it
        greatest_tf = max(greatest_tf, tf)
        least_norm = min(least_norm, norm)
        part = np.float32(tf) / (np.float32(tf) + table[norm])
        # Of equal parts the one that dominates, if any does, is the most frequent and shortest.
        is_ahead = tf > best_tf or (tf == best_tf and norm < best_norm)
        if part > best or (part == best and is_ahead):
            best = part
            best_tf = tf
            best_norm = norm
    bits = (np.uint64(best_norm) << _U46) | (min(np.uint64(best_tf), _U255) << _U54)
    if best_tf == greatest_tf and best_norm == least_norm:
        bits |= _DOMINATES
    return bits


@numba.njit(
    "int64(int64[::1], int64[::1], uint32[::1], uint32[::1], uint32[::1], int64[::1], int64[::1],"
    " int64, uint32[::1], int64[::1], uint64[::1], uint32[::1], uint64[::1], uint64[::1],"
    " uint8[::1], uint8[::1])",
    nogil=True,
    cache=True,
)
def encode_postings(
    posting_starts, position_starts, docs, tfs, positions, norms, tables, n_docs, gaps, state,
    records, last_docs, doc_metas, pos_metas, data, position_data,
):  # fmt: skip
    """Encode the terms of one chunk (`draft.TermChunk`); return -1, or the first term that is not
    sound: doc ids rising and below `n_docs`, frequencies >= 1 and as many as positions.

    `norms`: for each term the address of its field's norm bytes, or 0; `tables`: of its field's
    f32[256] of `bm25.length_table` for this segment alone. `state`: blocks, bytes of
    data and of positions written by earlier chunks; raised by what this one wrote.

    Requires: `gaps` as long as positions, at least 128; records: one a term;
    last_docs and both metas: room for docs / 128 + terms; data: 8 bytes a posting + 8 a term +
    16; position_data: 4 bytes a position, 1 a posting, + 16.
    """
    n_terms = len(posting_starts) - 1
    block = 0
    at = np.int64(0)
    position_at = np.int64(0)
    for term in range(n_terms):
        first = posting_starts[term]
        df = posting_starts[term + 1] - first
        p = position_starts[term]
        n_positions = position_starts[term + 1] - p
        if df <= 0 or df > np.int64(_HIGH):
            return np.int64(term)
        total = np.int64(0)
        previous = np.int64(-1)
        for i in range(first, first + df):
            if np.int64(docs[i]) <= previous or tfs[i] == np.uint32(0):
                return np.int64(term)
            previous = np.int64(docs[i])
            total += np.int64(tfs[i])
        if previous >= n_docs or (n_positions != 0 and total != n_positions):
            return np.int64(term)
        if df == 1 and total == 1 and (n_positions == 0 or positions[p] < np.uint32(0x7FFFFFFE)):
            record = _SINGLE | np.uint64(docs[first])
            if n_positions:
                record |= (np.uint64(positions[p]) + _ONE) << _U32
            records[term] = record
            continue
        records[term] = np.uint64(state[0] + block) | (np.uint64(df) << _U32)
        previous = np.int64(-1)
        for start in range(first, first + df, BLOCK):
            n = min(np.int64(BLOCK), first + df - start)
            # doc ids
            for i in range(n):
                doc = np.int64(docs[start + i])
                gaps[i] = np.uint32(doc - previous - 1)
                previous = doc
            doc_bits = _width(gaps, 0, n - 1)
            meta = np.uint64(state[1] + at) | (np.uint64(doc_bits) << _U40)
            at = _pack(gaps, 0, n - 1, doc_bits, data, at)
            # frequencies
            in_block = np.int64(0)
            for i in range(n):
                gaps[i] = tfs[start + i] - np.uint32(1)
                in_block += np.int64(tfs[start + i])
            tf_bits = _width(gaps, 0, n)
            at = _pack(gaps, 0, n, tf_bits, data, at)
            meta |= np.uint64(tf_bits) << _U46
            doc_metas[block] = meta
            last_docs[block] = np.uint32(previous)
            # positions
            meta = _ONE << _U54 | _DOMINATES
            if norms[term] != 0:
                meta = _impact(
                    docs, tfs, start, n, u8_at(norms[term], n_docs), f32_at(tables[term], 256)
                )
            if n_positions == 0:
                pos_metas[block] = meta | (np.uint64(NO_POSITIONS) << _U40)
            else:
                g = 0
                for i in range(n):
                    before = np.uint32(0)
                    for _ in range(np.int64(tfs[start + i])):
                        if positions[p] < before:
                            return np.int64(term)
                        gaps[g] = positions[p] - before
                        before = positions[p]
                        p += 1
                        g += 1
                bits = _width(gaps, 0, in_block)
                meta |= np.uint64(state[2] + position_at) | (np.uint64(bits) << _U40)
                pos_metas[block] = meta
                position_at = _pack(gaps, 0, in_block, bits, position_data, position_at)
            block += 1
    state[0] += block
    state[1] += at
    state[2] += position_at
    return np.int64(-1)
