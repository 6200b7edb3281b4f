"""Tokenizers: where in a text the words are.

These are kernels, which take a batch of texts; splitting.py has the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.analysis import characters
from index.analysis.chinese import cut
from index.analysis.grams import CJK_KINDS
from index.analysis.word import WORD, Word
from index.kernels.cjk import pair_characters
from index.kernels.tokenize import scan_runs, scan_whole, scan_words

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

MAX_TOKEN_CHARS = 255
"""A longer word is split, as in Lucene."""
PADDING = bytes(64)
"""Kernels load words past a token's end."""

Scan = Callable[[U8, I64, U8, np.uint32, np.uint32], U32]
"""(text, starts, continues, mark of ASCII tokens, mark of others) -> tokens; see
kernels/tokenize.py."""
Split = Callable[[str], list[Word]]


class Tokenizer(NamedTuple):
    """Thread rule: any thread."""

    split: Split
    scan: Scan | None = None
    """The same by a kernel; None: there is none."""
    is_whole: bool = False
    """Gives the text as one word."""
    takes_plain_words: bool = False
    """ASCII letters and digits between single spaces, at most 255 of them, are its words."""


_TABLE = characters.character_table()
_FIRST = np.zeros(1, np.uint8)
_MARK = np.uint32(0)


def spans(scan: Scan, text: str) -> list[tuple[int, int, int]]:
    """Return (first character, the one after the last, position) of each word that `scan` finds."""
    data = text.encode("utf-8", "replace")
    padded = np.frombuffer(bytearray(data) + PADDING, np.uint8)
    rows = scan(padded, np.array((0, len(data)), np.int64), _FIRST, _MARK, _MARK).tolist()
    found = [(begin, begin + (length >> 1), place) for begin, length, _, place in rows]
    if len(data) == len(text):
        return found
    chars = np.zeros(len(data) + 1, np.int64)
    np.cumsum((padded[: len(data)] & 0xC0) != 0x80, out=chars[1:])
    return [(int(chars[begin]), int(chars[end]), place) for begin, end, place in found]


def _scanned(scan: Scan, kind_of: Callable[[str], str]) -> Split:
    def split(text: str) -> list[Word]:
        words, last = [], -1
        for start, end, position in spans(scan, text):
            found = text[start:end]
            words.append(Word(found, start, end, position - last, kind_of(found)))
            last = position
        return words

    return split


# --- by kernels ----------------------------------------------------------------------------
def _room(text: U8, starts: I64) -> U32:
    """Return as many rows as there can be tokens."""
    return np.empty((len(text) // 2 + len(starts), 4), np.uint32)


def _words(max_chars: int) -> Scan:
    def scan(text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32) -> U32:
        tokens = _room(text, starts)
        n = scan_words(
            text, starts, continues, _TABLE.pages, _TABLE.classes,
            max_chars, ascii_mark, mark, tokens,
        )  # fmt: skip
        assert n >= 0, "more tokens than bytes allow"
        return tokens[:n]

    return scan


def _runs(flag: int, wanted: int, max_chars: int) -> Scan:
    def scan(text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32) -> U32:
        tokens = _room(text, starts)
        n = scan_runs(
            text, starts, continues, _TABLE.pages, _TABLE.classes,
            max_chars, flag, wanted, ascii_mark, mark, tokens,
        )  # fmt: skip
        assert n >= 0, "more tokens than bytes allow"
        return tokens[:n]

    return scan


def _scan_whole(
    text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32
) -> U32:
    tokens = np.empty((len(starts) - 1, 4), np.uint32)
    scan_whole(starts, continues, mark, tokens)
    return tokens


def scan_bigrams(
    text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32
) -> U32:
    """Words, and pairs of characters for runs of CJK, which are not marked."""
    words = _words(MAX_TOKEN_CHARS)(text, starts, continues, ascii_mark, mark)
    tokens = _room(text, starts)
    n = pair_characters(text, words, continues, _TABLE.pages, _TABLE.classes, np.uint32(0), tokens)
    return tokens[:n]


def _scan_chinese(
    text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32
) -> U32:
    words = _words(MAX_TOKEN_CHARS)(text, starts, continues, ascii_mark, mark)
    return cut(text, words, continues)


_KIND_OF_CLASS = {
    characters.IDEOGRAPH: CJK_KINDS["han"],
    characters.HIRAGANA: CJK_KINDS["hiragana"],
    characters.KATAKANA: CJK_KINDS["katakana"],
    characters.SOUTH_EAST_ASIAN: "<SOUTHEAST_ASIAN>",
    characters.EMOJI: "<EMOJI>",
    characters.REGIONAL: "<EMOJI>",
}


def is_hangul(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3" or "\u1100" <= char <= "\u11ff" or "ㄱ" <= char <= "ㆎ"


def kind_of_word(text: str) -> str:
    """Return what Lucene's StandardTokenizer calls a word."""
    kind = _KIND_OF_CLASS.get(characters.character_class(text[0]) & characters.CLASS_MASK)
    if kind == CJK_KINDS["katakana"]:
        return kind if all(map(_is_kana, text)) else "<ALPHANUM>"
    if kind is not None:
        return kind
    if text[0].isdigit() and not any(map(str.isalpha, text)):
        return "<NUM>"
    return CJK_KINDS["hangul"] if all(map(is_hangul, text)) else "<ALPHANUM>"


def _is_kana(char: str) -> bool:
    return characters.character_class(char) & characters.CLASS_MASK in (
        characters.KATAKANA,
        characters.EXTEND,
        characters.JOINER,
    )


def _word(text: str) -> str:
    return WORD


def standard(max_chars: int = MAX_TOKEN_CHARS) -> Tokenizer:
    """Words by UAX #29."""
    scan = _words(max_chars)
    is_plain = max_chars >= MAX_TOKEN_CHARS
    return Tokenizer(_scanned(scan, kind_of_word), scan, takes_plain_words=is_plain)


def letters(max_chars: int = MAX_TOKEN_CHARS) -> Tokenizer:
    scan = _runs(characters.IS_LETTER, characters.IS_LETTER, max_chars)
    return Tokenizer(_scanned(scan, _word), scan)


def whitespace(max_chars: int = MAX_TOKEN_CHARS) -> Tokenizer:
    scan = _runs(characters.IS_SPACE, 0, max_chars)
    is_plain = max_chars >= MAX_TOKEN_CHARS
    return Tokenizer(_scanned(scan, _word), scan, takes_plain_words=is_plain)


def chinese() -> Tokenizer:
    """Words by UAX #29, but runs of ideographs by a dictionary of Chinese."""
    return Tokenizer(_scanned(_scan_chinese, kind_of_word), _scan_chinese)


def separated_also_by(tokenizer: Tokenizer, separator: str) -> Tokenizer:
    """Return a tokenizer that takes `separator`, one character, for a blank."""
    assert tokenizer.scan is not None
    inner = tokenizer.scan
    found = separator.encode()
    blank = b" " * len(found)

    def scan(text: U8, starts: I64, continues: U8, ascii_mark: np.uint32, mark: np.uint32) -> U32:
        data = bytearray(text.data)
        if found in data:
            text = np.frombuffer(data.replace(found, blank), np.uint8)
        return inner(text, starts, continues, ascii_mark, mark)

    return Tokenizer(_scanned(scan, kind_of_word), scan)


keyword = Tokenizer(_scanned(_scan_whole, _word), _scan_whole, is_whole=True)


def lowercased(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that also lower-cases."""

    def split(text: str) -> list[Word]:
        words = tokenizer.split(text)
        for word in words:
            word.text = word.text and word.text.lower()
        return words

    return Tokenizer(split)
