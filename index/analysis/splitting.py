"""Tokenizers in Python, which take one text at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from index.analysis.grams import edge_spans, inner_spans
from index.analysis.tokenizers import MAX_TOKEN_CHARS, Tokenizer, standard
from index.analysis.word import Word

MAX_PATH_CHARS = 8_000


def _from_spans(text: str, found: Sequence[tuple[int, int]]) -> list[Word]:
    return [Word(text[start:end], start, end) for start, end in found if start < end]


def pattern(separator: re.Pattern[str], group: int = -1) -> Tokenizer:
    """`group` -1: what stands between the matches; else that group of each match."""

    def split(text: str) -> list[Word]:
        if group >= 0:
            found = [match.span(group) for match in separator.finditer(text)]
            return _from_spans(text, [span for span in found if span[0] >= 0])
        cuts = [match.span() for match in separator.finditer(text)]
        begins = [0, *(end for _, end in cuts)]
        ends = [*(start for start, _ in cuts), len(text)]
        return _from_spans(text, list(zip(begins, ends, strict=True)))

    return Tokenizer(split)


_CLASSES: dict[str, Callable[[str], bool]] = {
    "letter": str.isalpha,
    "digit": str.isdecimal,
    "whitespace": str.isspace,
    "punctuation": lambda char: unicodedata.category(char).startswith("P"),
    "symbol": lambda char: unicodedata.category(char).startswith("S"),
}
CHARACTER_CLASSES = frozenset(_CLASSES) | {"custom"}


def grams(
    least: int, most: int, *, is_edge: bool, classes: Sequence[str], custom: str
) -> Tokenizer:
    """Pieces of `least` to `most` characters of the runs of `classes`; no class: of the text."""
    tests = [_CLASSES[name] for name in classes if name in _CLASSES]
    if "custom" in classes:
        tests.append(lambda char: char in custom)

    def runs(text: str) -> list[tuple[int, int]]:
        if not tests:
            return [(0, len(text))]
        found, begin = [], -1
        for at, char in enumerate(text):
            belongs = any(test(char) for test in tests)
            if belongs and begin < 0:
                begin = at
            elif not belongs and begin >= 0:
                found.append((begin, at))
                begin = -1
        return [*found, (begin, len(text))] if begin >= 0 else found

    pieces = edge_spans if is_edge else inner_spans

    def split(text: str) -> list[Word]:
        return [
            Word(text[begin + a : begin + b], begin + a, begin + b)
            for begin, end in runs(text)
            for a, b in pieces(end - begin, least, most)
        ]

    return Tokenizer(split)


def path_hierarchy(delimiter: str, replacement: str, *, skip: int, is_reversed: bool) -> Tokenizer:
    """A path and the paths above it, all at one position; none longer than MAX_PATH_CHARS."""

    def split(text: str) -> list[Word]:
        cuts = [at for at, char in enumerate(text) if char == delimiter]
        if is_reversed:
            begins = [0, *(at + 1 for at in cuts if at + 1 < len(text))]
            found = [(begin, len(text)) for begin in begins]
            if skip:
                ends = [*(at + 1 for at in cuts), len(text)]
                stop = ends[-1 - skip] if skip < len(ends) else 0
                found = [(begin, stop) for begin in begins if begin < stop]
        else:
            first = 0
            if skip:
                steps = [at for at in cuts if at > 0] if text[:1] == delimiter else cuts
                first = steps[skip - 1] if skip <= len(steps) else len(text)
            found = [(first, at) for at in cuts if at > first] + [(first, len(text))]
        words = [
            Word(text[start:end].replace(delimiter, replacement), start, end, 0)
            for start, end in found
            if start < end <= start + MAX_PATH_CHARS
        ]
        for word in words[:1]:
            word.increment = 1
        return words

    return Tokenizer(split)


_URL_OR_EMAIL = re.compile(
    r"(?P<url>(?:https?|ftp|file)://[^\s<>\"'`{}|\\^]*[^\s<>\"'`{}|\\^.,;:!?()\[\]])"
    r"|(?P<email>[\w.!#$%&*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8})"
)


def uax_url_email(max_chars: int = MAX_TOKEN_CHARS) -> Tokenizer:
    """As `standard`, but URLs and e-mail addresses are words."""
    between = standard(max_chars).split

    def split(text: str) -> list[Word]:
        words: list[Word] = []
        at = 0
        for match in [*_URL_OR_EMAIL.finditer(text), None]:
            begin = len(text) if match is None else match.start()
            for word in between(text[at:begin]):
                word.start += at
                word.end += at
                words.append(word)
            if match is not None:
                kind = "<URL>" if match["url"] else "<EMAIL>"
                words.append(Word(match[0], match.start(), match.end(), 1, kind))
                at = match.end()
        return words

    return Tokenizer(split)
