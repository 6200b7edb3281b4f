"""Analyzers: from text to tokens, the same at index and at query time.

An analyzer is a chain: character filters, a tokenizer, token filters. Where the tokenizer is a
kernel and no filter looks beyond a word, a whole batch is scanned at once, and the filters see
each new spelling once, never each token. Any other chain walks through the texts word by word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.analysis.char_filters import CharFilter, edited, filtered, unfiltered
from index.analysis.filters import TokenFilter, lowercase
from index.analysis.terms import Expansion, Mapped, TermMap
from index.analysis.tokenizers import PADDING as PADDING
from index.analysis.tokenizers import Scan, Tokenizer, spans
from index.analysis.word import Word, n_positions, present
from index.kernels.tokenize import POSITION_GAP, lower_ascii

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]

MAX_TERM_BYTES = 32_766
"""A longer one is left out; its position stays."""

_PLAIN = np.uint32(0)
_MARKED = np.uint32(1)


class Token(NamedTuple):
    term: bytes
    position: int
    start: int
    """First character in the text."""
    end: int
    """Character after the last."""
    span: int = 1
    """Positions that it covers: more than 1 for the short side of a synonym."""


class PartNames(NamedTuple):
    """What the parts of a chain are called in the settings."""

    char_filters: tuple[str, ...]
    tokenizer: str
    filters: tuple[str, ...]


MapSpellings = Callable[[Sequence[bytes]], Sequence[Mapped]]


class Analyzer:
    """Thread rule: any thread."""

    __slots__ = (
        "_ascii_mark",
        "_n_words",
        "_prepare",
        "_scan",
        "_takes_plain_words",
        "char_filters",
        "filters",
        "folds_ascii",
        "maps_targets",
        "name",
        "part_names",
        "terms",
        "tokenizer",
    )

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        filters: Sequence[TokenFilter] = (),
        char_filters: Sequence[CharFilter] = (),
        *,
        map_spellings: MapSpellings | None = None,
        scan: Scan | None = None,
        prepare: Callable[[bytes], bytes] | None = None,
        part_names: PartNames | None = None,
    ) -> None:
        """Where there is a faster way to do the same: `map_spellings` does what the filters do;
        `scan`, on texts made ready by `prepare`, what the tokenizer and filters that look beyond
        a word do."""
        self.name = name
        self.part_names = part_names
        self.char_filters = tuple(char_filters)
        self._prepare = self._change if self.char_filters else prepare
        self.tokenizer = tokenizer
        self.filters = tuple(filters)
        is_local = all(each.reach != "stream" for each in filters)
        self._scan = scan or (tokenizer.scan if is_local else None)
        """None: texts are walked through word by word."""
        self._takes_plain_words = tokenizer.takes_plain_words and self._scan is tokenizer.scan
        is_scanned = self._scan is not None
        self._n_words = next(
            (i for i, each in enumerate(self.filters) if each.reach != "word"), len(self.filters)
        )
        """So many filters from the first on give one word, or none, for each."""
        self.folds_ascii = is_scanned and _lowers_first(self.filters)
        """The scan wants ASCII letters in lower case."""
        keeps_ascii = self.folds_ascii and all(each.keeps_ascii for each in filters)
        self._ascii_mark = _PLAIN if keeps_ascii or not filters else _MARKED
        self.terms = TermMap(map_spellings or self._map) if is_scanned and filters else None
        """What the spellings of marked tokens stand for; None: no token is marked."""
        self.maps_targets = not all(each is lowercase for each in filters)
        """A term may itself be a spelling of another: stemming is not idempotent."""

    def __repr__(self) -> str:
        return f"Analyzer({self.name})"

    @property
    def overlaps(self) -> bool:
        """True where `scan_text` itself may give several tokens at one position, none marked."""
        return self._scan is None

    @property
    def is_whole(self) -> bool:
        """True where a text is one term, and its length that of the text."""
        return self.tokenizer.is_whole

    def scan_text(self, text: U8, starts: I64, continues: U8) -> tuple[U8, U32]:
        """Return text as the kernels read it, padded, and its tokens (u32[n, 4]); a token that is
        marked stands for what `lookup` says, any other for its bytes.

        `text`: texts one after the other, text i from starts[i] to starts[i + 1], and padding; it
        may be changed.
        """
        if self._scan is None:
            return self._walk(_texts(text, starts), continues)
        if self._prepare is not None and self._prepare(data := text.tobytes()) != data:
            text, starts = _joined([self._prepare(each) for each in _texts(text, starts)])
        if self.folds_ascii:
            lower_ascii(text)
        wide_mark = _PLAIN if self.terms is None else _MARKED
        return text, self._scan(text, starts, continues, self._ascii_mark, wide_mark)

    def lookup(self, spellings: Sequence[bytes]) -> Sequence[Mapped]:
        """Return what each spelling of a marked token stands for."""
        return spellings if self.terms is None else self.terms.lookup(spellings)

    def tokens(self, text: str) -> list[Token]:
        """Return the tokens of one text; removed ones leave a gap in the positions."""
        if self._scan is None or self._must_walk(text):
            return [
                Token(term, position, word.start, word.end, word.span)
                for word, term, position in settled(self.words(text))
            ]
        if self._takes_plain_words and _is_plain(text):
            return self._plain_tokens(text)
        rows = spans(self._scan, text)
        data = [text[start:end].encode("utf-8", "replace") for start, end, _ in rows]
        if self.folds_ascii:
            data = [each.lower() for each in data]
        return [
            Token(term, position, start, end)
            for term, (start, end, position) in zip(self.lookup(data), rows, strict=True)
            if isinstance(term, bytes)
        ]

    def _plain_tokens(self, text: str) -> list[Token]:
        data = text.encode()
        words = (data.lower() if self.folds_ascii else data).split()
        terms = words if self._ascii_mark == _PLAIN else self.lookup(words)
        tokens = []
        start = 0
        for position, word in enumerate(words):
            end = start + len(word)
            term = terms[position]
            if isinstance(term, bytes):
                tokens.append(Token(term, position, start, end))
            start = end + 1
        return tokens

    def tokens_among(
        self, text: str, known: dict[str, bytes | None], is_wanted: Callable[[bytes], bool]
    ) -> list[Token]:
        """Return those of the tokens whose term is wanted; most texts have few.

        `known`: of spellings that were met the term, None where it is not wanted. It is filled
        here: hand in the same one with the next text.
        """
        if self._scan is None or self._must_walk(text):
            return [token for token in self.tokens(text) if is_wanted(token.term)]
        rows = spans(self._scan, text)
        met = {text[start:end] for start, end, _ in rows}
        new = [spelling for spelling in met if spelling not in known]
        if new:
            data = [spelling.encode("utf-8", "replace") for spelling in new]
            if self.folds_ascii:
                data = [each.lower() for each in data]
            for spelling, term in zip(new, self.lookup(data), strict=True):
                is_term = isinstance(term, bytes) and is_wanted(term)
                known[spelling] = term if is_term else None  # type: ignore[assignment]
        return [
            Token(term, position, start, end)
            for start, end, position in rows
            if (term := known[text[start:end]]) is not None
        ]

    def _must_walk(self, text: str) -> bool:
        if self.char_filters:
            return True
        if self._prepare is None:
            return self._n_words < len(self.filters)
        data = text.encode("utf-8", "replace")
        return self._prepare(data) != data

    def normalized(self, text: str) -> bytes:
        """Return the one term that a normalizer makes of a text."""
        words = self.words(text)
        return "".join(word.text or "" for word in words).encode()

    def normalized_part(self, text: str) -> str:
        """Return a part of a term, such as a prefix or a pattern, as terms are written: in their
        case and without accents where they have none."""
        words = [Word(text, 0, len(text))]
        for each in self.filters:
            if each.is_letterwise:
                words = each.apply(words)
        return words[0].text or ""

    def words(self, text: str) -> list[Word]:
        """Return the words of a text, those that were taken out among them, without kernels'
        shortcuts."""
        if not self.char_filters:
            return reduce(_applied, self.filters, self.tokenizer.split(text))
        source = reduce(filtered, self.char_filters, unfiltered(text))
        words = reduce(_applied, self.filters, self.tokenizer.split(source.text))
        for word in words:
            word.start, word.end = source.span(word.start, word.end)
        return words

    def _change(self, data: bytes) -> bytes:
        """Return a text as the character filters make it."""
        text = data.decode("utf-8", "replace")
        return reduce(edited, self.char_filters, text).encode("utf-8", "replace")

    def _map(self, spellings: Sequence[bytes]) -> list[Mapped]:
        texts = [spelling.decode() for spelling in spellings]
        if all(each.map_texts for each in self.filters):
            found: list[str | None] = [*texts]
            for each in self.filters:
                assert each.map_texts is not None
                found = each.map_texts(found)
            return list(map(_encoded, found))
        words = [Word(text, 0, len(text)) for text in texts]
        words = reduce(_applied, self.filters[: self._n_words], words)
        others = self.filters[self._n_words :]
        if not others:
            return list(map(_term, words))
        return [_expansion(reduce(_applied, others, [word])) for word in words]

    def _walk(self, texts: Sequence[bytes], continues: U8) -> tuple[U8, U32]:
        terms: list[bytes] = []
        rows: list[tuple[int, int, int, int]] = []
        at = base = 0
        for no, text in enumerate(texts):
            base = base + POSITION_GAP if continues[no] else 0
            words = self.words(text.decode("utf-8", "replace"))
            places = [(term, position) for _, term, position in settled(words)]
            for term, position in dict.fromkeys(places):
                rows.append((at, len(term) << 1, no, base + position))
                terms.append(term)
                at += len(term)
            base += n_positions(words)
        return _joined(terms)[0], np.array(rows, np.uint32).reshape(-1, 4)


_is_plain = re.compile(r"[A-Za-z0-9]{1,255}(?: [A-Za-z0-9]{1,255})*").fullmatch
"""What most people type into a search box: needs no kernel to be cut into words."""


def _texts(text: U8, starts: I64) -> list[bytes]:
    bounds = starts.tolist()
    data = text[: bounds[-1]].tobytes()
    return [data[begin:end] for begin, end in pairwise(bounds)]


def _joined(texts: Sequence[bytes]) -> tuple[U8, I64]:
    """Return texts one after the other, padded, and where each begins and the last ends."""
    joined = bytearray().join((*texts, PADDING))  # kernels take writable arrays only
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
    return np.frombuffer(joined, np.uint8), starts


def settled(words: list[Word]) -> list[tuple[Word, bytes, int]]:
    """Return the words that stay, their terms and positions, each term once from a position to
    another."""
    found: dict[tuple[bytes, int, int], Word] = {}
    for word, position in present(words):
        term = _term(word)
        if term is not None:
            found.setdefault((term, position, word.span), word)
    return [(word, term, position) for (term, position, _), word in found.items()]


def _expansion(words: list[Word]) -> Mapped:
    terms = tuple((term, position) for _, term, position in settled(words))
    advance = n_positions(words)
    if advance == 1 and len(terms) <= 1:
        return terms[0][0] if terms else None
    return Expansion(terms, advance)


def _applied(words: list[Word], each: TokenFilter) -> list[Word]:
    return each.apply(words)


def _term(word: Word) -> bytes | None:
    return _encoded(word.text)


def _encoded(text: str | None) -> bytes | None:
    """Return the term of a word; None: it was taken out, or nothing is left of it."""
    if not text:
        return None
    term = text.encode("utf-8", "replace")
    return term if len(term) <= MAX_TERM_BYTES else None


def _lowers_first(filters: Sequence[TokenFilter]) -> bool:
    """Return whether letters may be made small before all filters."""
    for each in filters:
        if each is lowercase:
            return True
        if not each.caseless:
            break
    return False
