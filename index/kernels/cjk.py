"""Chinese, Japanese and Korean: the words of `scan_words` joined and cut anew, as pairs of
characters or as the words of a dictionary.

Tokens are rows of u32[4] as in kernels/tokenize.py: begin (byte), bytes << 1 | mark, text,
position. A run is what stands side by side in one text: its characters are those of its tokens,
which are valid UTF-8.

A dictionary is a tree of nodes 0 (the root) .. n - 1 < 2^20, all in one table, so that a step in it
is one load:
  slots  u64[2^k]  0, or parent << 44 | UTF-16 unit << 28 | child << 8 | weight; linear probing.
                   weight: 255 - w, where e ** (-w / SCALE) is the probability of the word that
                   ends in the child; 0: no word ends there
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.inner import inner

IDEOGRAPH = 13
HIRAGANA = 14
KATAKANA = 4
EXTEND = 11
JOINER = 12
CLASS_MASK = 31

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_U8 = np.uint64(8)
_U16 = np.uint64(16)
_U28 = np.uint64(28)
_U32 = np.uint64(32)
_BYTE = np.uint64(0xFF)
_NODE = np.uint64(0xFFFFF)


@numba.njit(inline="always")
def _size(text, at):
    """Return the bytes of the character at `at`."""
    first = text[at]
    if first < 0x80:
        return 1
    if first < 0xE0:
        return 2
    return 3 if first < 0xF0 else 4


@numba.njit(inline="always")
def _code(text, at):
    first = np.int64(text[at])
    size = _size(text, at)
    if size == 1:
        return first
    code = first & (0x7F >> size)
    for k in range(1, size):
        code = (code << 6) | (np.int64(text[at + k]) & 0x3F)
    return code


@numba.njit(inline="always")
def _class(code, pages, classes):
    return np.int64(classes[(np.int64(pages[code >> 8]) << 8) | (code & 255)]) & CLASS_MASK


@numba.njit(inline="always")
def _is_hangul(code):
    return (0xAC00 <= code <= 0xD7A3) or (0x1100 <= code <= 0x11FF) or (0x3131 <= code <= 0x318E)


@inner("boolean(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def _is_cjk(text, begin, end, pages, classes):
    """Return whether a word is of Han, Hiragana, Katakana or Hangul alone."""
    if text[begin] < 0x80:
        return False
    code = _code(text, begin)
    kind = _class(code, pages, classes)
    if kind in (IDEOGRAPH, HIRAGANA):
        return True
    is_hangul = _is_hangul(code)
    if kind != KATAKANA and not is_hangul:
        return False
    at = begin + _size(text, begin)
    while at < end:
        code = _code(text, at)
        if is_hangul:
            if not _is_hangul(code):
                return False
        else:
            kind = _class(code, pages, classes)
            if kind != KATAKANA and kind != EXTEND and kind != JOINER:
                return False
        at += _size(text, at)
    return True


@numba.njit(
    "int64(uint8[::1], uint32[:, ::1], uint8[::1], uint8[::1], uint8[::1], uint32, uint32[:, ::1])",
    nogil=True,
    cache=True,
)
def pair_characters(text, words, continues, pages, classes, mark, tokens):
    """Write the words, the characters of runs of CJK words in overlapping pairs (a single one
    alone) with `mark`; return how many tokens. Requires: len(tokens) >= bytes of the words."""
    n = 0
    shift = 0
    before = -1
    i = 0
    while i < len(words):
        t = np.int64(words[i, 2])
        if t != before:
            if not continues[t]:
                shift = 0
            before = t
        begin = np.int64(words[i, 0])
        end = begin + np.int64(words[i, 1] >> np.uint32(1))
        if not _is_cjk(text, begin, end, pages, classes):
            for k in range(4):
                tokens[n, k] = words[i, k]
            tokens[n, 3] = np.uint32(np.int64(words[i, 3]) + shift)
            n += 1
            i += 1
            continue
        first = i
        i += 1
        while i < len(words) and np.int64(words[i, 0]) == end and np.int64(words[i, 2]) == t:
            after = end + np.int64(words[i, 1] >> np.uint32(1))
            if not _is_cjk(text, end, after, pages, classes):
                break
            end = after
            i += 1
        position = np.int64(words[first, 3]) + shift
        n_given = 0
        at = begin
        while at < end:
            middle = at + _size(text, at)
            stop = middle
            if middle < end:
                stop = middle + _size(text, middle)
            elif n_given > 0:
                break
            tokens[n, 0] = np.uint32(at)
            tokens[n, 1] = np.uint32((stop - at) << 1) | mark
            tokens[n, 2] = np.uint32(t)
            tokens[n, 3] = np.uint32(position + n_given)
            n += 1
            n_given += 1
            at = middle
        shift += n_given - (i - first)
    return np.int64(n)


# --- the dictionary ------------------------------------------------------------------------
@numba.njit(inline="always")
def _slot_of(key, mask):
    return ((key * _MULTIPLIER) >> _U32) & mask


@numba.njit(inline="always")
def _step(node, unit, slots):
    """Return the slot of the child of a node, 0 if there is none."""
    mask = np.uint64(len(slots) - 1)
    key = (np.uint64(node) << _U16) | np.uint64(unit)
    at = _slot_of(key, mask)
    while slots[at] != np.uint64(0):
        if slots[at] >> _U28 == key:
            return slots[at]
        at = (at + _ONE) & mask
    return np.uint64(0)


@numba.njit("int64(uint8[::1], uint16[::1], uint8[::1], uint64[::1])", nogil=True, cache=True)
def build_tree(lengths, units, word_weights, slots):
    """Enter sorted words into an empty tree; return how many nodes it has.

    lengths[i]: characters that word i has in common with the one before, times 16, plus those
    that it adds, which are the next of `units`; word_weights[i]: w.
    Requires: the tree fits: len(slots) > 2 * len(units).
    """
    mask = np.uint64(len(slots) - 1)
    path = np.zeros(32, np.int64)
    last = np.uint64(0)
    n_nodes = 1
    u = 0
    for i in range(len(lengths)):
        depth = np.int64(lengths[i]) >> 4
        for _ in range(np.int64(lengths[i]) & 15):
            key = (np.uint64(path[depth]) << _U16) | np.uint64(units[u])
            at = _slot_of(key, mask)
            while slots[at] != np.uint64(0):
                at = (at + _ONE) & mask
            slots[at] = (key << _U28) | (np.uint64(n_nodes) << _U8)
            last = at
            depth += 1
            path[depth] = n_nodes
            n_nodes += 1
            u += 1
        # words are sorted: one that adds no character was there before
        slots[last] |= np.uint64(255) - np.uint64(word_weights[i])
    return np.int64(n_nodes)


@numba.njit(
    "int64(uint8[::1], uint32[:, ::1], uint8[::1], uint8[::1], uint8[::1], uint64[::1],"
    " int64[::1], int32[::1], uint32[:, ::1])",
    nogil=True,
    cache=True,
)
def join_words(text, words, continues, pages, classes, slots, best, after, tokens):
    """Write the words, runs of ideographs as the words of the dictionary that together are the
    most probable; return how many tokens.

    A character that is no word by itself counts as the rarest. best i64[n + 1], after i32[n + 1]
    are scratch for n words. Requires: len(tokens) >= len(words).
    """
    n = 0
    shift = 0
    before = -1
    i = 0
    while i < len(words):
        t = np.int64(words[i, 2])
        if t != before:
            if not continues[t]:
                shift = 0
            before = t
        first = i
        end = np.int64(words[i, 0])
        while i < len(words) and np.int64(words[i, 0]) == end and np.int64(words[i, 2]) == t:
            if text[end] < 0xE3 or _class(_code(text, end), pages, classes) != IDEOGRAPH:
                break
            end += np.int64(words[i, 1] >> np.uint32(1))
            i += 1
        if i == first:
            for k in range(4):
                tokens[n, k] = words[i, k]
            tokens[n, 3] = np.uint32(np.int64(words[i, 3]) + shift)
            n += 1
            i += 1
            continue
        size = i - first
        best[size] = 0
        for k in range(size - 1, -1, -1):
            node = np.int64(0)
            least = np.int64(255) + best[k + 1]
            stop = k + 1
            for m in range(k, size):
                code = _code(text, np.int64(words[first + m, 0]))
                if code > 0xFFFF:
                    break
                slot = _step(node, code, slots)
                if slot == np.uint64(0):
                    break
                weight = np.int64(slot & _BYTE)
                if weight > 0 and 255 - weight + best[m + 1] <= least:
                    # of equals the longest
                    least = 255 - weight + best[m + 1]
                    stop = m + 1
                node = np.int64((slot >> _U8) & _NODE)
            best[k] = least
            after[k] = stop
        position = np.int64(words[first, 3]) + shift
        mark = words[first, 1] & np.uint32(1)
        k = 0
        n_given = 0
        while k < size:
            last = np.int64(after[k]) - 1
            begin = np.int64(words[first + k, 0])
            stop = np.int64(words[first + last, 0])
            stop += np.int64(words[first + last, 1] >> np.uint32(1))
            tokens[n, 0] = np.uint32(begin)
            tokens[n, 1] = np.uint32((stop - begin) << 1) | mark
            tokens[n, 2] = np.uint32(t)
            tokens[n, 3] = np.uint32(position + n_given)
            n += 1
            n_given += 1
            k = last + 1
        shift += n_given - size
    return np.int64(n)
