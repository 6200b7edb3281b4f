"""Analyzers: from text to tokens, the same at index and at query time.

An analyzer is a scan (a kernel: where the tokens are) and a term map (Python: which term a
token's spelling stands for). The map sees each new spelling once, never each token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from index.analysis import characters, english
from index.analysis.terms import Mapped, TermMap, fold
from index.errors import MappingError
from index.kernels.tokenize import lower_ascii, scan_runs, scan_whole, scan_words

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

MAX_TOKEN_CHARS = 255
"""A longer token is split, as in Lucene."""

PADDING = bytes(64)
"""Kernels read blocks of 64 bytes past a text's end."""


class Token(NamedTuple):
    term: bytes
    position: int
    start: int
    """First character in the text."""
    end: int
    """Character after the last."""


Scan = Callable[[U8, I64, U8, U32], int]
"""(text, starts, continues, tokens out) -> number of tokens; see kernels/tokenize.py."""


class Analyzer:
    """Thread rule: any thread."""

    __slots__ = ("_scan", "folds_ascii", "maps_targets", "name", "terms")

    def __init__(
        self,
        name: str,
        scan: Scan,
        terms: TermMap | None,
        *,
        folds_ascii: bool,
        maps_targets: bool = False,
    ) -> None:
        self.name = name
        self._scan = scan
        self.terms = terms
        """What the spellings of marked tokens stand for; None: no token is marked."""
        self.folds_ascii = folds_ascii
        """`scan` wants ASCII letters in lower case."""
        self.maps_targets = maps_targets
        """A term may itself be a spelling of another: stemming is not idempotent."""

    def __repr__(self) -> str:
        return f"Analyzer({self.name})"

    def scan_text(self, text: U8, starts: I64, continues: U8) -> tuple[U8, U32]:
        """Return text and tokens as `scan` does, of texts that lie one after the other, padded;
        `text` may be changed."""
        if self.folds_ascii:
            lower_ascii(text)
        tokens = np.empty((len(text) // 2 + len(starts), 4), np.uint32)
        n = self._scan(text, starts, continues, tokens)
        assert n >= 0, "more tokens than bytes allow"
        return text, tokens[:n]

    def scan(self, texts: Sequence[bytes], continues: U8) -> tuple[U8, U32]:
        """Return the texts as the kernels read them, padded, and their tokens (u32[n, 4]).

        A token that is marked stands for what `terms` says, any other for its bytes.
        """
        joined = bytearray().join((*texts, PADDING))  # kernels take writable arrays only
        if self.folds_ascii:
            joined = joined.lower()
        starts = np.zeros(len(texts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
        text = np.frombuffer(joined, np.uint8)
        tokens = np.empty((len(joined) // 2 + len(texts) + 1, 4), np.uint32)
        n = self._scan(text, starts, continues, tokens)
        assert n >= 0, "more tokens than bytes allow"
        return text, tokens[:n]

    def lookup(self, spellings: Sequence[bytes]) -> Sequence[Mapped]:
        """Return what each spelling of a marked token stands for."""
        return spellings if self.terms is None else self.terms.lookup(spellings)

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of one text; removed ones leave a gap in the positions."""
        data = bytearray(text.encode("utf-8", "replace"))
        size = len(data)
        if self.folds_ascii:
            data = data.lower()
        rows = np.empty((size // 2 + 2, 4), np.uint32)
        padded = np.frombuffer(data + PADDING, np.uint8)
        n = self._scan(padded, np.array((0, size), np.int64), _FIRST, rows)
        found = rows[:n].tolist()
        spans = [(begin, begin + (length >> 1)) for begin, length, _, _ in found]
        spellings = [bytes(data[begin:end]) for begin, end in spans]
        terms = self._terms_of(spellings, [row[1] & 1 for row in found])
        if size != len(text):
            spans = _char_spans(padded[:size], spans)
        return [
            Token(term, row[3], begin, end)
            for term, row, (begin, end) in zip(terms, found, spans, strict=True)
            if term is not None
        ]

    def _terms_of(self, spellings: list[bytes], marks: list[int]) -> Sequence[bytes | None]:
        if self.terms is None or 1 not in marks:
            return spellings
        mapped = self.terms.lookup(spellings)
        return [
            cast("bytes | None", target) if mark else spelling
            for spelling, mark, target in zip(spellings, marks, mapped, strict=True)
        ]


_FIRST = np.zeros(1, np.uint8)


def _char_spans(data: U8, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans of bytes as spans of characters."""
    chars = np.zeros(len(data) + 1, np.int64)
    np.cumsum((data & 0xC0) != 0x80, out=chars[1:])
    return [(int(chars[begin]), int(chars[end])) for begin, end in spans]


# --- the analyzers -------------------------------------------------------------------------
_TABLE = characters.character_table()
_PLAIN = np.uint32(0)
_MARKED = np.uint32(1)


def _words(ascii_mark: np.uint32) -> Scan:
    def scan(text: U8, starts: I64, continues: U8, tokens: U32) -> int:
        return int(
            scan_words(
                text, starts, continues, _TABLE.pages, _TABLE.classes,
                MAX_TOKEN_CHARS, ascii_mark, _MARKED, tokens,
            )
        )  # fmt: skip

    return scan


def _runs(flag: int, wanted: int, ascii_mark: np.uint32, wide_mark: np.uint32) -> Scan:
    def scan(text: U8, starts: I64, continues: U8, tokens: U32) -> int:
        return int(
            scan_runs(
                text, starts, continues, _TABLE.pages, _TABLE.classes,
                MAX_TOKEN_CHARS, flag, wanted, ascii_mark, wide_mark, tokens,
            )
        )  # fmt: skip

    return scan


def _whole(text: U8, starts: I64, continues: U8, tokens: U32) -> int:
    return int(scan_whole(starts, continues, _PLAIN, tokens))


_letters = characters.IS_LETTER
_folded = TermMap(fold)
_ANALYZERS = {
    analyzer.name: analyzer
    for analyzer in (
        Analyzer("standard", _words(_PLAIN), _folded, folds_ascii=True),
        Analyzer("simple", _runs(_letters, _letters, _PLAIN, _MARKED), _folded, folds_ascii=True),
        Analyzer(
            "stop",
            _runs(_letters, _letters, _MARKED, _MARKED),
            TermMap(english.drop_stop_words),
            folds_ascii=True,
        ),
        Analyzer(
            "whitespace", _runs(characters.IS_SPACE, 0, _PLAIN, _PLAIN), None, folds_ascii=False
        ),
        Analyzer("keyword", _whole, None, folds_ascii=False),
        Analyzer(
            "english",
            _words(_MARKED),
            TermMap(english.stem),
            folds_ascii=True,
            maps_targets=True,
        ),
    )
}


def get_analyzer(name: str) -> Analyzer:
    """Raises: MappingError if there is none of this name."""
    analyzer = _ANALYZERS.get(name)
    if analyzer is None:
        raise MappingError(f"analyzer [{name}] has not been configured in mappings")
    return analyzer
