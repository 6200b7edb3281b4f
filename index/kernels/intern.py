"""From tokens to terms: each (field number, bytes) of a memtable gets a dense id.

The table is that of term_table.py; word 3 of a record says what a token of this spelling stands
for: kind << 32 | number.

  ONE      the term `number`, often the spelling itself
  PENDING  not known yet; ASKED: being found out
  REMOVED  nothing
  SEVERAL  `expansions` from row `number` on: (terms, positions it takes), then that many rows
           (term, position after the token's own)

Texts that are interned need 16 bytes after their end, so that words can be loaded unaligned.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word, prefetch
from index.kernels.term_table import mix_end, mix_head, mix_word

ONE = 0
PENDING = 1
ASKED = 2
REMOVED = 3
SEVERAL = 4

_GROUP = 64
"""Tokens whose slots, then records, are fetched together."""

_ZERO = np.uint64(0)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_LOW = np.uint64(0xFFFFFFFF)
_U63 = np.uint64(63)
_U32 = np.uint64(32)
_U16 = np.uint64(16)
_LENGTH = np.uint64(0xFFFF)


@numba.njit(inline="always")
def _word(text, begin, length, at):
    """Return bytes at .. at + 7 of the `length` bytes from `begin`, zero beyond them.

    Without branches: lengths are random, and a wrong guess costs more than all the rest.
    """
    left = max(min(length - at, 8), 0)
    kept = _ALL >> (np.uint64(64 - 8 * left) & _U63)
    return load_word(np.int64(text.ctypes.data + begin + at)) & (kept if left > 0 else _ZERO)


@numba.njit(
    "int64(uint8[::1], uint32[:, ::1], int64, int64, uint32[::1], uint64[::1], uint64[:, ::1],"
    " uint8[::1], int64[::1], int32[::1], int32[::1])",
    nogil=True,
    cache=True,
)
def intern_tokens(text, tokens, first, n, text_fields, slots, records, blob, counts, ids, terms):
    """Give the spellings of tokens first .. n - 1 their `ids`, adding those that are new, and
    write the term that each stands for, or -1 where that is not ONE (`counts[2]` counts those).

    A new spelling stands for itself where the token's mark is 0, else it is PENDING. Returns the
    first token not done, because `slots` (at most half full), `records` or `blob` must grow
    first; n when all are done. counts: terms, bytes in blob, as above.

    Requires: tokens of at most 65535 bytes; 16 bytes of `text` after each token's end;
    text_fields below 65536.
    """
    mask = np.uint64(len(slots) - 1)
    n_terms = counts[0]
    n_blob = counts[1]
    words = np.empty((_GROUP, 4), np.uint64)
    for group in range(first, n, _GROUP):
        n_group = min(np.int64(_GROUP), n - group)
        for j in range(n_group):
            begin = np.int64(tokens[group + j, 0])
            length = np.int64(tokens[group + j, 1] >> np.uint32(1))
            info = (np.uint64(length) << _U16) | np.uint64(text_fields[tokens[group + j, 2]])
            k0 = _word(text, begin, length, 0)
            k1 = _word(text, begin, length, 8)
            h = mix_head(k0, k1, info)
            at_byte = 16
            while at_byte < length:
                h = mix_word(h, _word(text, begin, length, at_byte))
                at_byte += 8
            h = mix_end(h)
            words[j, 0] = k0
            words[j, 1] = k1
            words[j, 2] = info
            words[j, 3] = h
            prefetch(np.int64(slots.ctypes.data) + 8 * np.int64(h & mask))
        for j in range(n_group):
            slot = slots[words[j, 3] & mask]
            if slot != _ZERO:
                prefetch(np.int64(records.ctypes.data) + (np.int64(slot & _LOW) - 1) * 32)
        for j in range(n_group):
            k0 = words[j, 0]
            k1 = words[j, 1]
            info = words[j, 2]
            h = words[j, 3]
            begin = np.int64(tokens[group + j, 0])
            length = np.int64((info >> _U16) & _LENGTH)
            at = h & mask
            term = np.int64(-1)
            while slots[at] != _ZERO:
                slot = slots[at]
                if slot >> _U32 == h >> _U32:
                    candidate = np.int64(slot & _LOW) - 1
                    differing = (
                        (records[candidate, 0] ^ k0)
                        | (records[candidate, 1] ^ k1)
                        | ((records[candidate, 2] ^ info) & _LOW)
                    )
                    if differing == _ZERO:
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
                    return np.int64(group + j)
                term = n_terms
                for k in range(length):
                    blob[n_blob + k] = text[begin + k]
                records[term, 0] = k0
                records[term, 1] = k1
                records[term, 2] = (np.uint64(n_blob) << _U32) | info
                kind = np.uint64(tokens[group + j, 1] & np.uint32(1))  # ONE or PENDING
                records[term, 3] = (kind << _U32) | np.uint64(term)
                slots[at] = ((h >> _U32) << _U32) | np.uint64(term + 1)
                n_terms += 1
                n_blob += length
            ids[group + j] = np.int32(term)
            target = records[term, 3]
            if target >> _U32 == np.uint64(ONE):
                terms[group + j] = np.int32(target & _LOW)
            else:
                terms[group + j] = np.int32(-1)
                counts[2] += 1
    counts[0] = n_terms
    counts[1] = n_blob
    return n


@numba.njit("int64(int32[::1], int32[::1], uint64[:, ::1], int64[::1])", nogil=True, cache=True)
def ask_pending(ids, terms, records, out):
    """Write the spellings that are PENDING to `out`, each once, and note that they are ASKED;
    return how many. Requires: room for as many as `intern_tokens` counted."""
    n = 0
    for i in range(len(terms)):
        if terms[i] < 0:
            spelling = np.int64(ids[i])
            if records[spelling, 3] >> _U32 == np.uint64(PENDING):
                records[spelling, 3] = np.uint64(ASKED) << _U32
                out[n] = spelling
                n += 1
    return np.int64(n)


@numba.njit("int64(int32[::1], int32[::1], uint64[:, ::1], int32[:, ::1])", nogil=True, cache=True)
def settle(ids, terms, records, expansions):
    """Write the terms of the tokens that stand for ONE by now. Return how many tokens there will
    be when those that stand for SEVERAL are opened; -1 where there are none of these.

    Requires: no spelling is PENDING or ASKED any more.
    """
    n_tokens = 0
    n_several = 0
    for i in range(len(terms)):
        if terms[i] >= 0:
            n_tokens += 1
            continue
        target = records[ids[i], 3]
        kind = target >> _U32
        if kind == np.uint64(ONE):
            terms[i] = np.int32(target & _LOW)
            n_tokens += 1
        elif kind == np.uint64(SEVERAL):
            n_several += 1
            n_tokens += np.int64(expansions[np.int64(target & _LOW), 0])
    return np.int64(n_tokens if n_several > 0 else -1)


@numba.njit(
    "boolean(uint32[:, ::1], int32[::1], int32[::1], uint8[::1], uint64[:, ::1], int32[:, ::1],"
    " uint32[:, ::1], int32[::1], uint32[::1])",
    nogil=True,
    cache=True,
)
def expand_tokens(
    tokens, ids, terms, continues, records, expansions, out_tokens, out_terms, lengths
):
    """Write the tokens that `settle` counted, those that stand for SEVERAL opened and removed ones
    left out; return whether a token begins where an earlier one of its run of texts has not ended.

    `continues`: which texts go on from the one before. Positions count on from where the last
    token ends, which is not the next position where that takes several. `lengths` counts each
    text's tokens, but those of one spelling at one position once, and those beyond its end not at
    all. Requires: out_tokens all 0 in columns 0 and 1.
    """
    n = 0
    shift = np.int64(0)
    run_text = np.int64(-1)
    last_position = np.int64(-1)
    meets = False
    for i in range(len(tokens)):
        text = np.int64(tokens[i, 2])
        while run_text < text:
            run_text += 1
            if not continues[run_text]:
                shift = np.int64(0)
                last_position = np.int64(-1)
        position = np.int64(tokens[i, 3]) + shift
        if terms[i] >= 0:
            out_tokens[n, 2] = tokens[i, 2]
            out_tokens[n, 3] = np.uint32(position)
            out_terms[n] = terms[i]
            n += 1
            lengths[text] += np.uint32(1)
            meets = meets or position <= last_position
            last_position = position
            continue
        target = records[ids[i], 3]
        if target >> _U32 != np.uint64(SEVERAL):
            continue
        row = np.int64(target & _LOW)
        advance = np.int64(expansions[row, 1])
        last_offset = np.int64(-1)
        for k in range(row + 1, row + 1 + np.int64(expansions[row, 0])):
            offset = np.int64(expansions[k, 1])
            out_tokens[n, 2] = tokens[i, 2]
            out_tokens[n, 3] = np.uint32(position + offset)
            out_terms[n] = expansions[k, 0]
            n += 1
            if offset > last_offset and offset < advance:
                lengths[text] += np.uint32(1)
            meets = meets or (last_offset < 0 and position + offset <= last_position)
            last_offset = offset
        last_position = max(last_position, position + last_offset)
        shift += advance - 1
    return meets


@numba.njit("void(uint64[:, ::1], uint8[::1], int64, uint64[::1])", nogil=True, cache=True)
def fill_slots(records, blob, n_terms, slots):
    """Enter the terms into empty `slots`. Requires: len(slots) a power of two > n_terms."""
    mask = np.uint64(len(slots) - 1)
    for term in range(n_terms):
        info = records[term, 2]
        length = np.int64((info >> _U16) & _LENGTH)
        h = mix_head(records[term, 0], records[term, 1], info & _LOW)
        offset = np.int64(info >> _U32)
        for at_byte in range(16, length, 8):
            word = _ZERO
            for k in range(min(at_byte + 8, length) - 1, at_byte - 1, -1):
                word = (word << np.uint64(8)) | np.uint64(blob[offset + k])
            h = mix_word(h, word)
        h = mix_end(h)
        at = h & mask
        while slots[at] != _ZERO:
            at = (at + _ONE) & mask
        slots[at] = ((h >> _U32) << _U32) | np.uint64(term + 1)
