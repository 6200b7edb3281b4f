"""Porter's first stemmer, as in "An algorithm for suffix stripping" (1980), with the departures of
its author's later code, which Lucene has too: `bli` becomes `ble`, `logi` becomes `log`, and words
of two letters stay.

A word is worked on as letters of one byte: ASCII as it is, any other character as one of two more
consonants, so that neighbours are equal letters just where they are equal characters: as in Lucene,
any doubled consonant is undoubled. All rules are about endings, so that the letters at the front
stand for the characters at the front.
"""

from __future__ import annotations

import numba
import numpy as np

from index.kernels.inner import inner

MAX_LETTERS = 255

_A, _B, _C, _D, _E, _I, _L, _M, _N, _O, _R, _S, _T, _U, _V, _W, _X, _Y, _Z = (
    np.uint8(ord(letter)) for letter in "abcdeilmnorstuvwxyz"
)

_ENDINGS_2 = (
    "ational ate|tional tion|enci ence|anci ance|izer ize|bli ble|alli al|entli ent|eli e|"
    "ousli ous|"
    "ization ize|ation ate|ator ate|alism al|iveness ive|fulness ful|ousness ous|aliti al|"
    "iviti ive|biliti ble|logi log"
)
_ENDINGS_3 = "icate ic|ative |alize al|iciti ic|ical ic|ful |ness "
_ENDINGS_4 = (
    "al |ance |ence |er |ic |able |ible |ant |ement |ment |ent |ion |ou |ism |ate |iti |ous |"
    "ive |ize "
)


def _table(endings: str) -> np.ndarray:
    """Return rows of bytes: length, ending, length of what is put for it, what is put."""
    rows = [entry.split(" ") for entry in endings.split("|")]
    table = np.zeros((len(rows), 16), np.uint8)
    for row, (ending, put) in zip(table, rows, strict=True):
        row[0], row[8] = len(ending), len(put)
        row[1 : 1 + len(ending)] = np.frombuffer(ending.encode(), np.uint8)
        row[9 : 9 + len(put)] = np.frombuffer(put.encode(), np.uint8)
    return table


_OTHER = np.uint8(0x80)
"""One of the letters for characters beyond ASCII; the second has the lowest bit set, too."""

_TABLE_2, _TABLE_3, _TABLE_4 = _table(_ENDINGS_2), _table(_ENDINGS_3), _table(_ENDINGS_4)


@numba.njit(inline="always")
def _is_plain_vowel(letter):
    return letter in (_A, _E, _I, _O, _U)


@inner("boolean(uint8[::1], int64)")
def _is_consonant(word, at):
    letter = word[at]
    if _is_plain_vowel(letter):
        return False
    if letter != _Y:
        return True
    # y is a consonant at the front and after a vowel
    n = 0
    while at > 0 and word[at - 1] == _Y:
        at -= 1
        n += 1
    if at == 0:
        return n & 1 == 0
    return _is_plain_vowel(word[at - 1]) == (n & 1 == 0)


@numba.njit("int64(uint8[::1], int64)", nogil=True, cache=True)
def _measure(word, size):
    """Return how often a consonant follows a vowel in word[:size]."""
    n = 0
    was_vowel = False
    for at in range(size):
        # a y is a vowel after a consonant
        is_vowel = _is_plain_vowel(word[at]) or (word[at] == _Y and at > 0 and not was_vowel)
        if was_vowel and not is_vowel:
            n += 1
        was_vowel = is_vowel
    return np.int64(n)


@inner("boolean(uint8[::1], int64)")
def _has_vowel(word, size):
    # a first y is a consonant; any other is a vowel, or has one before it
    for at in range(size):  # noqa: SIM110
        if _is_plain_vowel(word[at]) or (word[at] == _Y and at > 0):
            return True
    return False


@inner("boolean(uint8[::1], int64)")
def _ends_short(word, size):
    """Return whether word[:size] ends in consonant, vowel, consonant, the last no w, x or y."""
    if size < 3:
        return False
    last = word[size - 1]
    if last in (_W, _X, _Y):
        return False
    return (
        _is_consonant(word, size - 1)
        and not _is_consonant(word, size - 2)
        and _is_consonant(word, size - 3)
    )


@inner("boolean(uint8[::1], int64)")
def _ends_double(word, size):
    return size > 1 and word[size - 1] == word[size - 2] and _is_consonant(word, size - 1)


@inner("int64(uint8[::1], int64, uint8[:, ::1])")
def _ending(word, size, table):
    """Return the row of the longest ending of the table that word[:size] has, or -1."""
    found = np.int64(-1)
    longest = 0
    for row in range(len(table)):
        n = np.int64(table[row, 0])
        if word[size - 1] != table[row, n] or n <= longest or n > size:
            continue
        k = 0
        while k < n and word[size - n + k] == table[row, 1 + k]:
            k += 1
        if k == n:
            found = np.int64(row)
            longest = n
    return found


@inner("int64(uint8[::1], int64)")
def _cut_plural_and_past(word, size):
    """Step 1: -s, -ed, -ing, and y to i."""
    if word[size - 1] == _S:
        is_es = size > 2 and word[size - 2] == _E
        if is_es and (
            word[size - 3] == _I or (size > 3 and word[size - 3] == _S and word[size - 4] == _S)
        ):
            size -= 2
        elif size > 1 and word[size - 2] != _S:
            size -= 1
    cut = np.int64(0)
    if size > 2 and word[size - 3] == _E and word[size - 2] == _E and word[size - 1] == _D:
        if _measure(word, size - 3) > 0:
            size -= 1
    elif size > 1 and word[size - 2] == _E and word[size - 1] == _D:
        cut = np.int64(2)
    elif (
        size > 2
        and word[size - 3] == _I
        and word[size - 2] == _N
        and word[size - 1] == np.uint8(103)
    ):
        cut = np.int64(3)
    if cut > 0 and _has_vowel(word, size - cut):
        size -= cut
        last = word[size - 1] if size > 0 else np.uint8(0)
        before = word[size - 2] if size > 1 else np.uint8(0)
        if (
            (before == _A and last == _T)
            or (before == _B and last == _L)
            or (before == _I and last == _Z)
        ):
            word[size] = _E
            size += 1
        elif _ends_double(word, size):
            if last != _L and last != _S and last != _Z:
                size -= 1
        elif _measure(word, size) == 1 and _ends_short(word, size):
            word[size] = _E
            size += 1
    if size > 0 and word[size - 1] == _Y and _has_vowel(word, size - 1):
        word[size - 1] = _I
    return size


@inner("int64(uint8[::1], int64, uint8[:, ::1])")
def _replace_ending(word, size, table):
    """Steps 2 and 3: one ending for another, where the part before it has a measure above 0."""
    row = _ending(word, size, table)
    if row < 0:
        return size
    kept = size - np.int64(table[row, 0])
    if _measure(word, kept) == 0:
        return size
    n = np.int64(table[row, 8])
    for k in range(n):
        word[kept + k] = table[row, 9 + k]
    return kept + n


@inner("int64(uint8[::1], int64, uint8[:, ::1])")
def _cut_ending(word, size, table):
    """Step 4: an ending goes where the part before it has a measure above 1."""
    row = _ending(word, size, table)
    if row < 0:
        return size
    kept = size - np.int64(table[row, 0])
    is_ion = np.int64(table[row, 0]) == 3 and table[row, 1] == _I and table[row, 2] == _O
    if is_ion and not (kept > 0 and (word[kept - 1] == _S or word[kept - 1] == _T)):
        return size
    return kept if _measure(word, kept) > 1 else size


@inner("int64(uint8[::1], int64)")
def _cut_last_letter(word, size):
    """Step 5: a final e, and one of two final l."""
    if word[size - 1] == _E:
        measure = _measure(word, size - 1)
        if measure > 1 or (measure == 1 and not _ends_short(word, size - 1)):
            size -= 1
    if word[size - 1] == _L and _ends_double(word, size) and _measure(word, size) > 1:
        size -= 1
    return size


@inner(
    "void(uint8[::1], int64[::1], uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[::1],"
    " int64[::1])",
)
def stem_words(text, starts, table_2, table_3, table_4, out, ends):
    """Write the stem of word text[starts[i]:starts[i + 1]] to out[starts[i]:ends[i]].

    Requires: words are UTF-8, ASCII letters in lower case; len(out) >= len(text). A word of more
    than MAX_LETTERS letters stays as it is. No stem is longer than its word.
    """
    word = np.zeros(MAX_LETTERS + 8, np.uint8)
    before = np.zeros(MAX_LETTERS + 8, np.uint8)
    for i in range(len(starts) - 1):
        begin = starts[i]
        end = starts[i + 1]
        for at in range(begin, end):
            out[at] = text[at]
        ends[i] = end
        size = np.int64(0)
        at = begin
        code = np.int64(0)
        other = _OTHER
        while at < end and size < MAX_LETTERS:
            letter = text[at]
            at += 1
            if letter >= 0x80:
                last = code
                code = np.int64(letter)
                while at < end and text[at] & 0xC0 == 0x80:
                    code = (code << 6) | (np.int64(text[at]) & 0x3F)
                    at += 1
                if code != last:
                    other = np.uint8(other ^ 1)
                letter = other
            word[size] = letter
            before[size] = letter
            size += 1
        if size <= 2 or at < end:
            continue
        n_letters = size
        size = _cut_plural_and_past(word, size)
        if size > 1:
            size = _replace_ending(word, size, table_2)
            size = _replace_ending(word, size, table_3)
            size = _cut_ending(word, size, table_4)
            size = _cut_last_letter(word, size)
        same = np.int64(0)
        while same < size and same < n_letters and word[same] == before[same]:
            same += 1
        at = begin
        for _ in range(same):
            at += 1
            while at < end and text[at] & 0xC0 == 0x80:
                at += 1
        for k in range(same, size):
            out[at] = word[k]
            at += 1
        ends[i] = at


def stem_porter(words: list[bytes]) -> list[bytes]:
    """Return the stems of words, UTF-8 with ASCII letters in lower case."""
    text = np.frombuffer(bytearray().join(words) or bytearray(1), np.uint8)
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, len(words)), out=starts[1:])
    out, ends = np.empty_like(text), np.empty(len(words), np.int64)
    stem_words(text, starts, _TABLE_2, _TABLE_3, _TABLE_4, out, ends)
    data = out.tobytes()
    return [data[begin:end] for begin, end in zip(starts.tolist(), ends.tolist(), strict=False)]
