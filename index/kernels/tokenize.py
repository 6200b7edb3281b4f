"""Texts to tokens: where each token of a batch of texts is, and at which position.

A batch is one array of UTF-8 bytes and the texts' starts. A token is a row of u32[4]:
begin (byte), bytes << 1 | mark, text, position. `mark` is `ascii_mark` for a token of ASCII
alone, else `wide_mark`; what marks mean is the caller's business. All kernels return how many
tokens they wrote, or -1 where `tokens` was too short: half as many rows as bytes plus one for
each text always do. Bytes that are no UTF-8 separate tokens, as blanks do.

A text that `continues` the one before it (one more value of a field) counts its positions on
from there, after a gap.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word
from index.kernels.bits import lowest_bit
from index.kernels.inner import inner
from index.kernels.masks import range_mask

POSITION_GAP = 100

OTHER = 0
ALETTER = 1
NUMERIC = 2
EXTEND_NUM_LET = 3
KATAKANA = 4
HEBREW = 5
MID_LETTER = 6
MID_NUM = 7
MID_NUM_LET = 8
SINGLE_QUOTE = 9
DOUBLE_QUOTE = 10
EXTEND = 11
JOINER = 12
IDEOGRAPH = 13
HIRAGANA = 14
SOUTH_EAST_ASIAN = 15
EMOJI = 16
REGIONAL = 17
CLASS_MASK = 31

_BROKEN = 0xFFFD
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_U63 = np.uint64(63)
_U32 = np.uint64(0xFFFFFFFF)
_SCAN = "int64(uint8[::1], int64[::1], uint8[::1], uint8[::1], uint8[::1], int64"


@numba.njit(inline="always")
def _decode(text, at, end):
    """Return (code point, bytes) of the character at `at` < `end`, which is not ASCII.

    Requires: 8 bytes of `text` after `at`.
    """
    word = np.int64(load_word(np.int64(text.ctypes.data) + at) & _U32)
    first = word & 0xFF
    code = np.int64(_BROKEN)
    size = np.int64(1)
    if first < 0xE0:
        if word & 0xC000 == 0x8000 and first >= 0xC2 and at + 2 <= end:
            code = (word & 0x1F) << 6 | (word >> 8 & 0x3F)
            size = np.int64(2)
    elif first < 0xF0:
        if word & 0xC0C000 == 0x808000 and at + 3 <= end:
            code = (word & 0x0F) << 12 | (word >> 8 & 0x3F) << 6 | (word >> 16 & 0x3F)
            size = np.int64(3)
    elif word & 0xC0C0C000 == 0x80808000 and first <= 0xF4 and at + 4 <= end:
        code = (word & 0x07) << 18 | (word >> 8 & 0x3F) << 12
        code |= (word >> 16 & 0x3F) << 6 | (word >> 24 & 0x3F)
        size = np.int64(4)
        if code > 0x10FFFF:
            code = np.int64(_BROKEN)
            size = np.int64(1)
    return code, size


@numba.njit(inline="always")
def _value(code, pages, classes):
    return np.int64(classes[(np.int64(pages[code >> 8]) << 8) | (code & 255)])


@inner("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def _class_at(text, at, end, pages, classes):
    """Return (class, bytes) of the character at `at` < `end`."""
    if text[at] < 128:
        return np.int64(classes[text[at]]) & CLASS_MASK, np.int64(1)
    code, size = _decode(text, at, end)
    return _value(code, pages, classes) & CLASS_MASK, size


@inner("UniTuple(int64, 2)(uint8[::1], int64, int64, uint8[::1], uint8[::1])")
def _skip_extends(text, at, end, pages, classes):
    """Return (end, characters) of the run of Extend, Format and joiners at `at`."""
    n_chars = 0
    while at < end and text[at] >= 128:
        kind, size = _class_at(text, at, end, pages, classes)
        if kind != EXTEND and kind != JOINER:
            break
        at += size
        n_chars += 1
    return at, n_chars


@inner("int64(uint8[::1], int64, int64, int64, uint8[::1], uint8[::1], int64)")
def _symbol_end(text, at, end, kind, pages, classes, max_chars):
    """Return the end of the token that starts at `at` with an ideograph, a Hiragana, a South
    East Asian letter, an emoji or a regional indicator."""
    size = _class_at(text, at, end, pages, classes)[1]
    at, n_chars = _skip_extends(text, at + size, end, pages, classes)
    n_chars += 1
    n_regional = 1
    while at < end and n_chars < max_chars:
        follower, size = _class_at(text, at, end, pages, classes)
        joins = kind == SOUTH_EAST_ASIAN and follower == SOUTH_EAST_ASIAN
        if kind == REGIONAL and follower == REGIONAL and n_regional == 1:
            n_regional = 2
            joins = True
        if kind == EMOJI and follower == EMOJI:
            # U+200D just before: E2 80 8D
            joins = text[at - 1] == 0x8D and text[at - 2] == 0x80 and text[at - 3] == 0xE2
        if not joins:
            break
        at, n_more = _skip_extends(text, at + size, end, pages, classes)
        n_chars += 1 + n_more
    return at


@numba.njit(inline="always")
def _joins(byte):
    """Return whether a sign may hold together what is on both sides of it."""
    return byte in (39, 44, 46, 58, 59)


@inner(
    "UniTuple(int64, 3)(uint8[::1], int64, int64, uint8[::1], uint8[::1], int64)",
)
def _word_at(text, at, end, pages, classes, max_chars):
    """Return (place after what begins at `at`, whether that is a word, whether not all of it is
    ASCII): a word of UAX #29, or one character that is in none."""
    first = text[at]
    size = np.int64(1)
    if first < 128:
        kind = np.int64(classes[first]) & CLASS_MASK
    else:
        code, size = _decode(text, at, end)
        kind = _value(code, pages, classes) & CLASS_MASK
    is_wide = np.int64(first >= 128)
    if kind == OTHER or (kind >= MID_LETTER and kind <= JOINER):
        return at + size, np.int64(0), is_wide
    if kind >= IDEOGRAPH:
        stop = _symbol_end(text, at, end, kind, pages, classes, max_chars)
        return np.int64(stop), np.int64(1), is_wide
    is_word = np.int64(kind != EXTEND_NUM_LET)
    at += size
    n_chars = np.int64(1)
    while at < end and n_chars < max_chars:
        byte = text[at]
        size = np.int64(1)
        if byte < 128:
            follower = np.int64(classes[byte]) & CLASS_MASK
        else:
            code, size = _decode(text, at, end)
            follower = _value(code, pages, classes) & CLASS_MASK
        if follower == OTHER or follower >= IDEOGRAPH:
            break
        if follower <= NUMERIC or follower == HEBREW:
            if kind == KATAKANA:
                break
            is_word = np.int64(1)
            kind = follower
        elif follower >= EXTEND:
            pass  # belongs to the character before, which stays the one that counts
        elif follower == EXTEND_NUM_LET:
            kind = follower
        elif follower == KATAKANA:
            if kind != KATAKANA and kind != EXTEND_NUM_LET:
                break
            is_word = np.int64(1)
            kind = follower
        else:
            # a sign that holds together what is on both sides of it, or ends the word
            after, n_more = _skip_extends(text, at + size, end, pages, classes)
            beyond = np.int64(OTHER)
            if after < end and n_chars + n_more + 1 < max_chars:
                beyond = _class_at(text, after, end, pages, classes)[0]
            is_both = follower in (MID_NUM_LET, SINGLE_QUOTE)
            is_letter = kind in (ALETTER, HEBREW)
            if not (
                (is_letter and (is_both or follower == MID_LETTER) and beyond in (ALETTER, HEBREW))
                or (kind == NUMERIC and (is_both or follower == MID_NUM) and beyond == NUMERIC)
                or (kind == HEBREW and follower == DOUBLE_QUOTE and beyond == HEBREW)
            ):
                if kind == HEBREW and follower == SINGLE_QUOTE:
                    at = after
                break
            if byte >= 128 or n_more > 0:
                is_wide = np.int64(1)
            n_chars += 1 + n_more
            at = after
            continue
        if byte >= 128:
            is_wide = np.int64(1)
        n_chars += 1
        at += size
    return np.int64(at), is_word, is_wide


@numba.njit(inline="always")
def _is_all(text, begin, end, sign):
    """Return whether all of text[begin:end] is `sign`."""
    while begin < end and text[begin] == sign:
        begin += 1
    return begin == end


@numba.njit(f"{_SCAN}, uint32, uint32, uint32[:, ::1])", nogil=True, cache=True)
def scan_words(text, starts, continues, pages, classes, max_chars, ascii_mark, wide_mark, tokens):
    """Write the words of UAX #29, as Lucene's StandardTokenizer finds them.

    A word has a letter, a digit or a Katakana in it; ideographs and Hiragana are tokens one by
    one, South East Asian runs and emoji whole. A word longer than `max_chars` is split.

    ASCII is taken 64 bytes at a time: runs of letters, digits and underscores, with the signs
    that hold two letters or two digits together. Where a run meets a character that is not
    ASCII, or is too long, `_word_at` decides from its begin on.

    Requires: 64 bytes of `text` after the last text.
    """
    n = 0
    position = 0
    for t in range(len(starts) - 1):
        at = starts[t]
        end = starts[t + 1]
        position = position + POSITION_GAP if continues[t] else 0
        begin = np.int64(-1)  # of a run that the block before did not end
        letter_before = _ZERO  # whether the character before the block is a letter
        digit_before = _ZERO
        slow_until = np.int64(-1)  # words that begin before this are found one by one
        while at < end or begin >= 0:
            if at < slow_until:
                if text[at] >= 128:
                    # ideographs: each a word, and in their languages there is little else
                    code, size = _decode(text, at, end)
                    kind = _value(code, pages, classes) & CLASS_MASK
                    while kind in (IDEOGRAPH, HIRAGANA):
                        stop = at + size
                        kind = np.int64(OTHER)
                        if stop < end and text[stop] >= 128:
                            code, size = _decode(text, stop, end)
                            kind = _value(code, pages, classes) & CLASS_MASK
                            if kind in (EXTEND, JOINER):
                                break
                        if n == len(tokens):
                            return np.int64(-1)
                        tokens[n, 0] = np.uint32(at)
                        tokens[n, 1] = np.uint32((stop - at) << 1) | wide_mark
                        tokens[n, 2] = np.uint32(t)
                        tokens[n, 3] = np.uint32(position)
                        n += 1
                        position += 1
                        at = stop
                        slow_until = max(slow_until, at + 1)
                    if at >= end:
                        continue
                stop, is_word, is_wide = _word_at(text, at, end, pages, classes, max_chars)
                if is_word:
                    if n == len(tokens):
                        return np.int64(-1)
                    mark = wide_mark if is_wide else ascii_mark
                    tokens[n, 0] = np.uint32(at)
                    tokens[n, 1] = np.uint32((stop - at) << 1) | mark
                    tokens[n, 2] = np.uint32(t)
                    tokens[n, 3] = np.uint32(position)
                    n += 1
                    position += 1
                at = stop
                # one blank between words that are not ASCII is no reason to change over
                if at >= slow_until and at + 1 < end and (text[at] | text[at + 1]) >= 128:
                    slow_until = at + 2
                continue
            left = end - at
            words = _ZERO
            stop = np.int64(0)
            is_hindered = False
            if left > 0:
                address = np.int64(text.ctypes.data) + at
                kept = _ALL if left >= 64 else (_ONE << np.uint64(left)) - _ONE
                wide = range_mask(address, 0, 128, 128) & kept
                if wide != _ZERO:
                    is_hindered = True
                    stop = lowest_bit(wide)
                    kept = (_ONE << np.uint64(stop)) - _ONE
                else:
                    stop = min(left, np.int64(64))
                letters = range_mask(address, 32, 97, 26) & kept
                digits = range_mask(address, 0, 48, 10) & kept
                both = range_mask(address, 0, 46, 1) | range_mask(address, 0, 39, 1)
                between_letters = both | range_mask(address, 0, 58, 1)
                between_digits = (
                    both | range_mask(address, 0, 44, 1) | range_mask(address, 0, 59, 1)
                )
                letter_after = _ZERO
                digit_after = _ZERO
                if left > 64 and not is_hindered:
                    byte = text[at + 64]
                    letter_after = np.uint64(97 <= byte | 32 <= 122) << _U63
                    digit_after = np.uint64(48 <= byte <= 57) << _U63
                words = letters | digits | (range_mask(address, 0, 95, 1) & kept)
                words |= (
                    between_letters
                    & (letters << _ONE | letter_before)
                    & (letters >> _ONE | letter_after)
                )
                words |= (
                    between_digits
                    & (digits << _ONE | digit_before)
                    & (digits >> _ONE | digit_after)
                )
                letter_before = letters >> _U63
                digit_before = digits >> _U63
            # the runs that end in this block
            while True:
                if begin < 0:
                    if words == _ZERO:
                        break
                    first = lowest_bit(words)
                    begin = at + first
                    words |= (_ONE << np.uint64(first)) - _ONE
                last = lowest_bit(~words)
                if last == 64 and left > 64 and not is_hindered:
                    break  # it goes on
                last = min(last, stop)
                run_end = at + last
                if is_hindered and (last == stop or (last == stop - 1 and _joins(text[run_end]))):
                    break  # it meets what is not ASCII
                if last == 63 and left > 64 and text[at + 64] >= 128 and _joins(text[run_end]):
                    is_hindered = True  # so it may, in the next block
                    stop = last
                    break
                if run_end - begin > max_chars:
                    stop = last
                    is_hindered = True
                    break
                if text[begin] != 95 or not _is_all(text, begin, run_end, 95):
                    if n == len(tokens):
                        return np.int64(-1)
                    tokens[n, 0] = np.uint32(begin)
                    tokens[n, 1] = np.uint32((run_end - begin) << 1) | ascii_mark
                    tokens[n, 2] = np.uint32(t)
                    tokens[n, 3] = np.uint32(position)
                    n += 1
                    position += 1
                begin = -1
                if last == 64:
                    break
                words = words >> np.uint64(last) << np.uint64(last)
            if is_hindered:
                slow_until = max(at + stop, np.int64(begin)) + 1
                at = begin if begin >= 0 else at + stop
                begin = np.int64(-1)
                letter_before = _ZERO
                digit_before = _ZERO
            else:
                at += stop
    return np.int64(n)


@numba.njit(f"{_SCAN}, int64, int64, uint32, uint32, uint32[:, ::1])", nogil=True, cache=True)
def scan_runs(
    text, starts, continues, pages, classes, max_chars, flag, wanted, ascii_mark, wide_mark, tokens
):
    """Write the runs of characters whose value has `value & flag == wanted`, split at
    `max_chars`: letters, or all that is no blank."""
    n = 0
    position = 0
    for t in range(len(starts) - 1):
        at = starts[t]
        end = starts[t + 1]
        position = position + POSITION_GAP if continues[t] else 0
        begin = at
        n_chars = 0
        is_wide = False
        while at <= end:
            belongs = False
            size = np.int64(1)
            byte = np.uint8(0)
            if at < end:
                byte = text[at]
                if byte < 128:
                    belongs = np.int64(classes[byte]) & flag == wanted
                else:
                    code, size = _decode(text, at, end)
                    belongs = code != _BROKEN and _value(code, pages, classes) & flag == wanted
            if n_chars > 0 and (not belongs or n_chars == max_chars):
                if n == len(tokens):
                    return np.int64(-1)
                tokens[n, 0] = np.uint32(begin)
                tokens[n, 1] = np.uint32((at - begin) << 1) | (wide_mark if is_wide else ascii_mark)
                tokens[n, 2] = np.uint32(t)
                tokens[n, 3] = np.uint32(position)
                n += 1
                position += 1
                n_chars = 0
            if belongs:
                if n_chars == 0:
                    begin = at
                    is_wide = False
                n_chars += 1
                is_wide = is_wide or byte >= 128
            at += size
    return np.int64(n)


@numba.njit("int64(int64[::1], uint8[::1], uint32, uint32[:, ::1])", nogil=True, cache=True)
def scan_whole(starts, continues, mark, tokens):
    """Write every text as one token."""
    position = 0
    for t in range(len(starts) - 1):
        if t == len(tokens):
            return np.int64(-1)
        position = position + POSITION_GAP if continues[t] else 0
        tokens[t, 0] = np.uint32(starts[t])
        tokens[t, 1] = np.uint32((starts[t + 1] - starts[t]) << 1) | mark
        tokens[t, 2] = np.uint32(t)
        tokens[t, 3] = np.uint32(position)
        position += 1
    return np.int64(len(starts) - 1)


@numba.njit("void(uint8[::1])", nogil=True, cache=True)
def lower_ascii(text):
    """Make ASCII letters small, in place."""
    for i in range(len(text)):
        byte = text[i]
        text[i] = byte + np.uint8(32) if np.uint8(byte - np.uint8(65)) < 26 else byte
