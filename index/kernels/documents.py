"""From the JSON of documents to the values of their mapped fields, in one pass.

What a document may hold is a table of nodes: each (object, member name) that the mapping knows
(layout.py in the package above makes it). Whatever is not plainly as the table has it makes the
document one for the slow path, whose word is final: unknown names, names given twice, arrays
of objects or of arrays, values that need converting, and everything that is not JSON.

  nodes   int64[n, NODE_WIDTH]; node 0 is the root
  slots   int32[2^k]: 0, or node + 1, by hash of (object, name); linear probing
  hints   int64[2 n]: the member that came after a node last time; n + node: the first one in it
  rows    int64[:, 4]: the values found: document, field number, and
            a string: begin and bytes in `out`;  an integer: value, 0;  a float: its bits, 0;
            a value that must be converted: begin << 16 | bytes in `text`, -1 - node
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.addresses import load_word
from index.kernels.inner import inner
from index.kernels.json_text import (
    MAX_DEPTH,
    skip_blanks,
    skip_number,
    skip_string,
    skip_text,
    skip_value,
    unescape,
    word_end,
)

PARENT, K0, K1, LENGTH, NAME, KIND, STAMP, FIRST, N_OUTPUTS, LOW, HIGH = range(11)
NODE_WIDTH = 11
OUT_FIELD, OUT_MAX_BYTES, OUT_MAX_CHARS, OUT_WIDTH = 0, 1, 2, 3
"""An output: field number, most bytes (more: the slow path), most characters (more: no value);
-1: any number."""

OBJECT = 0
SKIPPED = 1
STRING = 2
INTEGER = 3
FLOAT = 4
BOOLEAN = 5
CONVERTED = 6
"""Anything, to be converted; but an integer within LOW .. HIGH, or a date of a usual shape whose
milliseconds are, is taken as that number."""
SLOW = 7

LARGEST = 16 << 20
"""Bytes of a document; a larger one is left to the slow path, which refuses it."""

FOUND = 1
"""Status of a document whose values are all in `rows`; 0: it is one for the slow path."""

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)
_U63 = np.uint64(63)
_U29 = np.uint64(29)
_C1 = np.uint64(0x9E3779B97F4A7C15)
_C2 = np.uint64(0xC2B2AE3D27D4EB4F)
_QUOTE = np.uint8(34)
_LONGEST_CONVERTED = 1_000
_MOST_DIGITS = 18
_EXACT = 1 << 53
NO_DATE = -(1 << 62)
_POWERS = np.array([10.0**k for k in range(23)])


@numba.njit(inline="always")
def _word(text, begin, length, at):
    left = max(min(length - at, 8), 0)
    kept = _ALL >> (np.uint64(64 - 8 * left) & _U63)
    return load_word(np.int64(text.ctypes.data + begin + at)) & (kept if left > 0 else _ZERO)


@numba.njit("uint64(int64, uint64, uint64, int64)", nogil=True, cache=True)
def hash_name(parent, k0, k1, length):
    h = (k0 ^ (np.uint64(length) << np.uint64(32)) ^ np.uint64(parent)) * _C1
    h ^= h >> _U29
    h = (h ^ k1) * _C2
    return h ^ (h >> _U29)


@numba.njit(inline="always")
def _is_named(nodes, names, node, parent, text, at, length, k0, k1):
    if nodes[node, PARENT] != parent or nodes[node, LENGTH] != length:
        return False
    if np.uint64(nodes[node, K0]) != k0 or np.uint64(nodes[node, K1]) != k1:
        return False
    k = np.int64(16)
    while k < length and names[nodes[node, NAME] + k] == text[at + k]:
        k += 1
    return k >= length


@inner(
    "int64(int64[:, ::1], int32[::1], uint8[::1], uint8[::1], int64, int64, int64)",
)
def find_node(nodes, slots, names, text, at, length, parent):
    """Return the node of a member's name, or -1."""
    k0 = _word(text, at, length, 0)
    k1 = _word(text, at, length, 8)
    mask = np.uint64(len(slots) - 1)
    slot = hash_name(parent, k0, k1, length) & mask
    while slots[slot] != 0:
        node = np.int64(slots[slot]) - 1
        if _is_named(nodes, names, node, parent, text, at, length, k0, k1):
            return node
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@inner(
    "int64(uint8[::1], int64, int64, int64, int64[:, ::1], int64[:, ::1], int64, int64,"
    " int64[:, ::1])",
)
def put_string(out, begin, size, node, nodes, outputs, doc, n_rows, rows):
    """Write a string to each of the node's outputs; return the number of rows, or -1 where it is
    one for the slow path. Requires: room for them."""
    for k in range(nodes[node, FIRST], nodes[node, FIRST] + nodes[node, N_OUTPUTS]):
        max_chars = outputs[k, OUT_MAX_CHARS]
        if max_chars >= 0 and size > max_chars:
            n_chars = np.int64(0)
            for i in range(begin, begin + size):
                n_chars += out[i] & 0xC0 != 0x80
            if n_chars > max_chars:
                continue
        if outputs[k, OUT_MAX_BYTES] >= 0 and size > outputs[k, OUT_MAX_BYTES]:
            return np.int64(-1)
        rows[n_rows, 0] = doc
        rows[n_rows, 1] = outputs[k, OUT_FIELD]
        rows[n_rows, 2] = begin
        rows[n_rows, 3] = size
        n_rows += 1
    return np.int64(n_rows)


@inner("int64(uint8[::1], int64, int64)")
def _whole_number(text, at, end):
    """Return the value of a number of at most 18 digits alone."""
    is_negative = text[at] == 45
    value = np.int64(0)
    for k in range(at + 1 if is_negative else at, end):
        value = value * 10 + np.int64(text[k]) - 48
    return -value if is_negative else value


@inner("Tuple((boolean, float64))(uint8[::1], int64, int64)")
def _fraction(text, at, end):
    """Return (whether it is sure, the float nearest to a number). Sure where at most 53 bits of
    digits are scaled by a power of ten that is exact: then one operation rounds, once."""
    is_negative = text[at] == 45
    if is_negative:
        at += 1
    digits = np.int64(0)
    scale = np.int64(0)
    is_after = False
    while at < end and text[at] | 32 != 101:
        if text[at] == 46:
            is_after = True
        else:
            digits = digits * 10 + np.int64(text[at]) - 48
            if digits > _EXACT:
                return False, 0.0
            scale -= is_after
        at += 1
    if at < end:
        at += 1
        is_minus = text[at] == 45
        if is_minus or text[at] == 43:
            at += 1
        exponent = np.int64(0)
        while at < end:
            exponent = exponent * 10 + np.int64(text[at]) - 48
            at += 1
        scale += -exponent if is_minus else exponent
    if scale < -22 or scale > 22:
        return False, 0.0
    value = np.float64(digits)
    value = value / _POWERS[-scale] if scale < 0 else value * _POWERS[scale]
    return True, -value if is_negative else value


@numba.njit(inline="always")
def _digits(text, at, n):
    """Return the number that `n` digits are; far below 0 where one is none."""
    value = np.int64(0)
    for k in range(at, at + n):
        digit = np.int64(text[k]) - 48
        value = value * 10 + digit if 0 <= digit <= 9 else np.int64(-1 << 40)
    return value


@inner("int64(uint8[::1], int64, int64)")
def iso_date(text, at, size):
    """Return the epoch milliseconds of 2024-02-29 or 2024-02-29T13:14:15[.678]Z, or NO_DATE."""
    if size != 10 and size != 20 and size != 24:
        return np.int64(NO_DATE)
    year = _digits(text, at, 4)
    month = _digits(text, at + 5, 2)
    day = _digits(text, at + 8, 2)
    if text[at + 4] != 45 or text[at + 7] != 45 or year < 1 or month < 1 or month > 12 or day < 1:
        return np.int64(NO_DATE)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    n_days = 30 + (month + (month >> 3)) % 2
    if month == 2:
        n_days = 29 if is_leap else 28
    if day > n_days:
        return np.int64(NO_DATE)
    # Days since 1970-01-01; the year begins in March, so that February is its end.
    y = year - 1 if month <= 2 else year
    m = (month + 9) % 12
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 719468
    if size == 10:
        return np.int64(days * 86_400_000)
    hour = _digits(text, at + 11, 2)
    minute = _digits(text, at + 14, 2)
    second = _digits(text, at + 17, 2)
    if text[at + 10] != 84 or text[at + 13] != 58 or text[at + 16] != 58:
        return np.int64(NO_DATE)
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return np.int64(NO_DATE)
    ms = np.int64(0)
    if size == 24:
        ms = _digits(text, at + 20, 3)
        if text[at + 19] != 46 or ms < 0:
            return np.int64(NO_DATE)
    if text[at + size - 1] != 90:
        return np.int64(NO_DATE)
    return np.int64(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000 + ms)


@numba.njit(
    "int64(uint8[::1], uint8[::1], int64[::1], int64, int64, int64[:, ::1], float64[::1],"
    " int32[::1], uint8[::1], int64[:, ::1], int64[::1], int64[::1], int64, int64[:, ::1],"
    " float64[:, ::1], int64[::1], uint8[::1])",
    nogil=True,
    cache=True,
)
def scan_documents(
    text, out, starts, first, n, nodes, limits, slots, names, outputs, hints, stamps, max_depth,
    rows, float_rows, counts, status,
):  # fmt: skip
    """Read documents text[starts[d]:starts[d + 1]], d = first .. n - 1, and write their values to
    `rows` (used: counts[0]) and their `status`.

    Returns the first document not done, because `rows` must grow first; n when all are done.

    `out` is a copy of `text`, in which strings with escapes are decoded; `float_rows` is `rows`
    seen as floats; `stamps` (int64 a node) and counts[1] are the reader's own.
    Requires: 64 bytes of `text` after the last document.
    """
    n_rows = counts[0]
    n_nodes = len(nodes)
    stack = np.zeros(MAX_DEPTH + 2, np.int64)
    most = np.int64(1)
    for node in range(n_nodes):
        most = max(most, nodes[node, N_OUTPUTS])
    for doc in range(first, n):
        row0 = n_rows
        status[doc] = 0
        counts[1] += 1
        serial = counts[1]
        end = starts[doc + 1]
        at = skip_blanks(text, starts[doc], end)
        if at >= end or text[at] != 123 or end - starts[doc] > LARGEST:
            continue
        at += 1
        depth = np.int64(1)
        parent = np.int64(0)
        stack[1] = 0
        last = n_nodes  # the hint for the first member of the root
        is_open = True  # an object has begun: `}` may follow at once
        is_good = True
        while depth > 0:
            # a member, or the end of an object
            at = skip_blanks(text, at, end)
            if at >= end:
                is_good = False
                break
            if text[at] == 125 and is_open:
                is_open = False
                at += 1
            else:
                if text[at] != _QUOTE:
                    is_good = False
                    break
                at += 1
                node = hints[last]
                length = nodes[node, LENGTH]
                if not (
                    at + length < end
                    and text[at + length] == _QUOTE
                    and _is_named(
                        nodes, names, node, parent, text, at, length,
                        _word(text, at, length, 0), _word(text, at, length, 8),
                    )
                ):  # fmt: skip
                    stop = skip_string(text, at, end)
                    if stop < 0 or text[stop] != _QUOTE:
                        is_good = False
                        break
                    length = stop - at
                    node = find_node(nodes, slots, names, text, at, length, parent)
                    if node < 0:
                        is_good = False
                        break
                    hints[last] = node
                last = node
                at = skip_blanks(text, at + length + 1, end)
                if at >= end or text[at] != 58 or stamps[nodes[node, STAMP]] == serial:
                    is_good = False
                    break
                stamps[nodes[node, STAMP]] = serial
                at = skip_blanks(text, at + 1, end)
                if at >= end:
                    is_good = False
                    break
                kind = nodes[node, KIND]
                if kind == SKIPPED:
                    at = skip_value(text, at, end, depth)
                    if at < 0:
                        is_good = False
                        break
                elif kind == OBJECT:
                    if text[at] == 123:
                        if depth >= max_depth or depth >= MAX_DEPTH:
                            is_good = False
                            break
                        depth += 1
                        parent = nodes[node, STAMP]
                        stack[depth] = parent
                        last = n_nodes + parent
                        is_open = True
                        at += 1
                        continue
                    at = word_end(text, at, end) if text[at] == 110 else np.int64(-1)
                    if at < 0:
                        is_good = False
                        break
                else:
                    # a value, or an array of values
                    in_array = text[at] == 91
                    if in_array:
                        at = skip_blanks(text, at + 1, end)
                        if at < end and text[at] == 93:
                            at += 1
                            in_array = False
                            kind = SKIPPED
                    while kind != SKIPPED:
                        if at >= end:
                            is_good = False
                            break
                        if n_rows + most > len(rows):
                            counts[0] = row0
                            return np.int64(doc)
                        byte = text[at]
                        if byte == 110:
                            at = word_end(text, at, end)
                            is_good = at >= 0
                        elif kind == STRING:
                            begin = at
                            if byte == _QUOTE:
                                begin = at + 1
                                at = skip_string(text, begin, end)
                                size = at - begin
                                if at >= 0:
                                    if text[at] == _QUOTE:
                                        at += 1
                                    else:
                                        at, stop = unescape(text, out, at, end)
                                        size = stop - begin
                            elif byte == 45 or 48 <= byte <= 57:
                                # as Python writes an integer; other numbers it writes its own way
                                at = skip_number(text, at, end)
                                size = at - begin
                                if size > _MOST_DIGITS or (
                                    size == 2 and text[begin] == 45 and text[begin + 1] == 48
                                ):
                                    at = np.int64(-1)
                                for k in range(begin, max(at, np.int64(0))):
                                    if text[k] == 46 or text[k] | 32 == 101:
                                        at = np.int64(-1)
                                        break
                            else:
                                at = word_end(text, at, end)
                                size = at - begin
                            if at < 0:
                                is_good = False
                                break
                            put = put_string(
                                out, begin, size, node, nodes, outputs, doc, n_rows, rows
                            )
                            if put < 0:
                                is_good = False
                                break
                            n_rows = put
                        elif kind == SLOW:
                            is_good = False
                        else:
                            begin = at
                            is_row = False
                            if byte == 45 or 48 <= byte <= 57:
                                at = skip_number(text, at, end)
                                if at < 0:
                                    is_good = False
                                    break
                                is_whole = at - begin <= _MOST_DIGITS
                                for k in range(begin, at):
                                    if text[k] == 46 or text[k] | 32 == 101:
                                        is_whole = False
                                        break
                                if is_whole and kind == FLOAT:
                                    value = np.float64(_whole_number(text, begin, at))
                                    if abs(value) <= limits[node]:
                                        float_rows[n_rows, 2] = value
                                        is_row = True
                                elif is_whole and kind != BOOLEAN:
                                    number = _whole_number(text, begin, at)
                                    if nodes[node, LOW] <= number <= nodes[node, HIGH]:
                                        rows[n_rows, 2] = number
                                        is_row = True
                                elif kind == FLOAT and at - begin < 40:
                                    is_sure, value = _fraction(text, begin, at)
                                    if is_sure and abs(value) <= limits[node]:
                                        float_rows[n_rows, 2] = value
                                        is_row = True
                            elif byte == _QUOTE:
                                at = skip_text(text, at + 1, end)
                                if at >= 0 and kind == CONVERTED:
                                    number = iso_date(text, begin + 1, at - begin - 2)
                                    if nodes[node, LOW] <= number <= nodes[node, HIGH]:
                                        rows[n_rows, 2] = number
                                        is_row = True
                            else:
                                at = word_end(text, at, end)
                                if at >= 0 and kind == BOOLEAN:
                                    rows[n_rows, 2] = np.int64(byte == 116)
                                    is_row = True
                            if at < 0 or at - begin > _LONGEST_CONVERTED:
                                is_good = False
                                break
                            rows[n_rows, 0] = doc
                            rows[n_rows, 1] = outputs[nodes[node, FIRST], OUT_FIELD]
                            rows[n_rows, 3] = 0
                            if not is_row:
                                rows[n_rows, 2] = begin << 16 | (at - begin)
                                rows[n_rows, 3] = -1 - node
                            n_rows += 1
                        if not is_good or not in_array:
                            break
                        at = skip_blanks(text, at, end)
                        if at < end and text[at] == 44:
                            at = skip_blanks(text, at + 1, end)
                        elif at < end and text[at] == 93:
                            at += 1
                            break
                        else:
                            is_good = False
                            break
                    if not is_good:
                        break
                # what follows a member
                is_open = False
                at = skip_blanks(text, at, end)
                if at < end and text[at] == 44:
                    at += 1
                    continue
                if at >= end or text[at] != 125:
                    is_good = False
                    break
                at += 1
            # an object has ended, and maybe those around it
            while True:
                depth -= 1
                if depth == 0:
                    break
                last = parent
                parent = stack[depth]
                at = skip_blanks(text, at, end)
                if at < end and text[at] == 44:
                    at += 1
                    break
                if at >= end or text[at] != 125:
                    is_good = False
                    break
                at += 1
            if not is_good:
                break
        if is_good and skip_blanks(text, at, end) == end:
            status[doc] = FOUND
        else:
            n_rows = row0
    counts[0] = n_rows
    return n
