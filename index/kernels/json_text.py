"""The parts of a JSON text, read strictly: strings, numbers, words, whole values to pass over.

All of them take `at`, a place in `text`, and `end`, the end of the document; -1 says that a part
is not JSON, or is of a kind that is left to the slow path. 64 bytes follow the last document.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from index.kernels.bits import lowest_bit
from index.kernels.inner import inner

_QUOTE = np.uint8(34)
_BACKSLASH = np.uint8(92)
MAX_DEPTH = 30
"""Deeper values are left to the slow path, which knows the limits."""
_ONE = np.uint64(1)


@intrinsic
def special_mask(typing_context, array, at):
    """Return which of the 64 bytes from `at` on end a plain run within a string: a quote, a
    backslash, a control character, or a byte that is not ASCII. Bit i: byte i. Unchecked."""

    def generate(context, builder, signature, args):
        view = context.make_array(signature.args[0])(context, builder, args[0])
        vector = ir.VectorType(ir.IntType(8), 64)
        address = builder.bitcast(builder.gep(view.data, [args[1]]), vector.as_pointer())
        block = builder.load(address)
        block.align = 1

        def all_of(value):
            return ir.Constant(vector, [value] * 64)

        # as signed bytes, what is not ASCII is below 32 as well
        mask = builder.icmp_signed("<", block, all_of(32))
        mask = builder.or_(mask, builder.icmp_signed("==", block, all_of(34)))
        mask = builder.or_(mask, builder.icmp_signed("==", block, all_of(92)))
        return builder.bitcast(mask, ir.IntType(64))

    return types.uint64(array, types.int64), generate


@numba.njit(inline="always")
def skip_blanks(text, at, end):
    while at < end and (text[at] == 32 or 9 <= text[at] <= 10 or text[at] == 13):
        at += 1
    return at


@inner("int64(uint8[::1], int64, int64)")
def character_size(text, at, end):
    """Return the bytes of the UTF-8 character at `at`, whose first is not ASCII, or -1."""
    first = text[at]
    if first < 0xC2 or first > 0xF4:
        return np.int64(-1)
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if at + size > end:
        return np.int64(-1)
    second = text[at + 1]
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if second < low or second > high:
        return np.int64(-1)
    for k in range(2, size):
        if text[at + k] & 0xC0 != 0x80:
            return np.int64(-1)
    return np.int64(size)


@inner("int64(uint8[::1], int64, int64)")
def skip_string(text, at, end):
    """Return the place of the quote or backslash that ends the plain part of a string at `at`,
    or -1."""
    while at < end:
        mask = special_mask(text, at)
        if mask == np.uint64(0):
            at += 64
            continue
        at += lowest_bit(mask)
        if at >= end:
            return np.int64(-1)
        byte = text[at]
        if byte in (_QUOTE, _BACKSLASH):
            return np.int64(at)
        if byte < 32:
            return np.int64(-1)
        while at < end and text[at] >= 128:
            size = character_size(text, at, end)
            if size < 0:
                return np.int64(-1)
            at += size
    return np.int64(-1)


@numba.njit(inline="always")
def _hex(byte):
    if 48 <= byte <= 57:
        return np.int64(byte) - 48
    low = np.int64(byte) | 32
    return low - 87 if 97 <= low <= 102 else np.int64(-1)


@inner("int64(uint8[::1], int64, int64)")
def _hex4(text, at, end):
    """Return the number that four hexadecimal digits are, or -1."""
    if at + 4 > end:
        return np.int64(-1)
    code = np.int64(0)
    for k in range(4):
        digit = _hex(text[at + k])
        if digit < 0:
            return np.int64(-1)
        code = code << 4 | digit
    return code


@inner("int64(uint8[::1], int64, int64)")
def put_character(out, to, code):
    """Write a code point as UTF-8; return the place after it."""
    if code < 0x80:
        out[to] = np.uint8(code)
        return np.int64(to + 1)
    if code < 0x800:
        out[to] = np.uint8(0xC0 | code >> 6)
        out[to + 1] = np.uint8(0x80 | code & 0x3F)
        return np.int64(to + 2)
    if code < 0x10000:
        out[to] = np.uint8(0xE0 | code >> 12)
        out[to + 1] = np.uint8(0x80 | code >> 6 & 0x3F)
        out[to + 2] = np.uint8(0x80 | code & 0x3F)
        return np.int64(to + 3)
    out[to] = np.uint8(0xF0 | code >> 18)
    out[to + 1] = np.uint8(0x80 | code >> 12 & 0x3F)
    out[to + 2] = np.uint8(0x80 | code >> 6 & 0x3F)
    out[to + 3] = np.uint8(0x80 | code & 0x3F)
    return np.int64(to + 4)


@numba.njit("UniTuple(int64, 2)(uint8[::1], uint8[::1], int64, int64)", nogil=True, cache=True)
def unescape(text, out, at, end):
    """Decode the string whose first escape is at `at` to `out`, from the same place on: what comes
    out is never longer.

    Returns (place after the closing quote, end of the decoded bytes), or (-1, -1).
    """
    to = at
    while at < end:
        byte = text[at]
        if byte == _QUOTE:
            return np.int64(at + 1), np.int64(to)
        if byte >= 128:
            size = character_size(text, at, end)
            if size < 0:
                break
            for k in range(size):
                out[to + k] = text[at + k]
            at += size
            to += size
        elif byte < 32:
            break
        elif byte != _BACKSLASH:
            out[to] = byte
            at += 1
            to += 1
        else:
            if at + 1 >= end:
                break
            sign = text[at + 1]
            at += 2
            plain = np.int64(-1)
            if sign == 34 or sign == 92 or sign == 47:
                plain = np.int64(sign)
            elif sign == 110:
                plain = np.int64(10)
            elif sign == 116:
                plain = np.int64(9)
            elif sign == 114:
                plain = np.int64(13)
            elif sign == 98:
                plain = np.int64(8)
            elif sign == 102:
                plain = np.int64(12)
            elif sign == 117:
                plain = _hex4(text, at, end)
                at += 4
                if plain >= 0xDC00 and plain < 0xE000:
                    break
                if plain >= 0xD800 and plain < 0xDC00:
                    if at + 6 > end or text[at] != _BACKSLASH or text[at + 1] != 117:
                        break
                    low = _hex4(text, at + 2, end)
                    at += 6
                    if low < 0xDC00 or low >= 0xE000:
                        break
                    plain = 0x10000 + ((plain - 0xD800) << 10) + (low - 0xDC00)
            if plain < 0:
                break
            to = put_character(out, to, plain)
    return np.int64(-1), np.int64(-1)


@inner("int64(uint8[::1], int64, int64)")
def skip_number(text, at, end):
    """Return the place after the number at `at`, or -1; also where it might be infinite."""
    begin = at
    if at < end and text[at] == 45:
        at += 1
    if at >= end or text[at] < 48 or text[at] > 57:
        return np.int64(-1)
    if text[at] == 48:
        at += 1
    else:
        while at < end and 48 <= text[at] <= 57:
            at += 1
    if at < end and text[at] == 46:
        at += 1
        digits = at
        while at < end and 48 <= text[at] <= 57:
            at += 1
        if at == digits:
            return np.int64(-1)
    if at < end and text[at] | 32 == 101:
        at += 1
        if at < end and (text[at] == 43 or text[at] == 45):
            at += 1
        digits = at
        while at < end and 48 <= text[at] <= 57:
            at += 1
        if at == digits or at - digits > 2:
            return np.int64(-1)
    return np.int64(at) if at - begin < 200 else np.int64(-1)


@numba.njit(inline="always")
def word_end(text, at, end):
    """Return the place after `true`, `false` or `null` at `at`, or -1."""
    if at + 4 <= end:
        a, b, c, d = text[at], text[at + 1], text[at + 2], text[at + 3]
        if a == 116 and b == 114 and c == 117 and d == 101:
            return np.int64(at + 4)
        if a == 110 and b == 117 and c == 108 and d == 108:
            return np.int64(at + 4)
        if a == 102 and b == 97 and c == 108 and d == 115 and at + 5 <= end and text[at + 4] == 101:
            return np.int64(at + 5)
    return np.int64(-1)


@inner("int64(uint8[::1], int64, int64)")
def skip_text(text, at, end):
    """Return the place after the string whose first character is at `at`, or -1. Escapes are left
    as they are, and numbers of surrogates to the slow path."""
    while True:
        at = skip_string(text, at, end)
        if at < 0 or text[at] == _QUOTE:
            return np.int64(at + 1) if at >= 0 else np.int64(-1)
        if at + 1 >= end:
            return np.int64(-1)
        sign = text[at + 1]
        at += 2
        if sign == 117:
            code = _hex4(text, at, end)
            if code < 0 or (code >= 0xD800 and code < 0xE000):
                return np.int64(-1)
            at += 4
        elif not (
            sign == 34
            or sign == 92
            or sign == 47
            or sign == 110
            or sign == 116
            or sign == 114
            or sign == 98
            or sign == 102
        ):
            return np.int64(-1)


@inner("int64(uint8[::1], int64, int64)")
def _skip_name(text, at, end):
    """Return the place after a member's name and its colon, or -1."""
    if at >= end or text[at] != _QUOTE:
        return np.int64(-1)
    at = skip_text(text, at + 1, end)
    if at < 0:
        return np.int64(-1)
    at = skip_blanks(text, at, end)
    return np.int64(at + 1) if at < end and text[at] == 58 else np.int64(-1)


@inner("int64(uint8[::1], int64, int64, int64)")
def skip_value(text, at, end, depth):
    """Return the place after the value at `at`, which lies at `depth`, or -1."""
    objects = np.uint64(0)  # bit d: what is open at depth d is an object
    base = depth
    wants_value = True
    while True:
        at = skip_blanks(text, at, end)
        if at >= end:
            return np.int64(-1)
        byte = text[at]
        if wants_value:
            if byte == 123 or byte == 91:
                depth += 1
                if depth > MAX_DEPTH:
                    return np.int64(-1)
                bit = _ONE << np.uint64(depth)
                objects = objects | bit if byte == 123 else objects & ~bit
                at = skip_blanks(text, at + 1, end)
                if at < end and text[at] == (125 if byte == 123 else 93):
                    at += 1
                    depth -= 1
                    wants_value = False
                elif byte == 123:
                    at = _skip_name(text, at, end)
            elif byte == _QUOTE:
                at = skip_text(text, at + 1, end)
                wants_value = False
            elif byte == 45 or 48 <= byte <= 57:
                at = skip_number(text, at, end)
                wants_value = False
            else:
                at = word_end(text, at, end)
                wants_value = False
        else:
            is_object = objects >> np.uint64(depth) & _ONE != np.uint64(0)
            if byte == 44:
                at += 1
                wants_value = True
                if is_object:
                    at = _skip_name(text, skip_blanks(text, at, end), end)
            elif byte == (125 if is_object else 93):
                at += 1
                depth -= 1
            else:
                return np.int64(-1)
        if at < 0:
            return np.int64(-1)
        if not wants_value and depth == base:
            return np.int64(at)
