"""The word delimiter: words cut where case, kind of character or punctuation changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from index.analysis.filters import TokenFilter
from index.analysis.word import Word

_LOWER, _UPPER, _DIGIT, _MARK = 1, 2, 4, 8
_ALPHA = _LOWER | _UPPER


class Delimiting(NamedTuple):
    """What to cut and what to give, as the parameters of OpenSearch's filter."""

    generate_word_parts: bool = True
    generate_number_parts: bool = True
    catenate_words: bool = False
    catenate_numbers: bool = False
    catenate_all: bool = False
    split_on_case_change: bool = True
    split_on_numerics: bool = True
    preserve_original: bool = False
    stem_english_possessive: bool = True


class _Part(NamedTuple):
    begin: int
    end: int
    is_number: bool


class _Piece(NamedTuple):
    """Text that a word gives: between two positions, and where it comes from."""

    first: int
    after: int
    text: str
    begin: int
    end: int


_KINDS = {"Lu": _UPPER, "Ll": _LOWER, "L": _ALPHA, "M": _ALPHA, "N": _DIGIT}


class _Placed(NamedTuple):
    part: _Part
    position: int
    is_given: bool
    """It is a word by itself."""


def _kind(char: str) -> int:
    category = unicodedata.category(char)
    return _KINDS.get(category) or _KINDS.get(category[0], _MARK)


def _is_cut(before: int, after: int, options: Delimiting) -> bool:
    if before & after:
        return False
    if before & _ALPHA and after & _ALPHA:
        return options.split_on_case_change and before != _UPPER
    if (before | after) & _MARK:
        return True
    return options.split_on_numerics


def _parts(text: str, options: Delimiting) -> Iterator[_Part]:
    at, size = 0, len(text)
    while at < size:
        kind = _kind(text[at])
        if kind == _MARK:
            at += 1
            continue
        begin = at
        is_number = kind == _DIGIT
        at += 1
        while at < size and not _is_cut(kind, _kind(text[at]), options):
            kind = _kind(text[at])
            at += 1
        yield _Part(begin, at, is_number)
        if options.stem_english_possessive and not is_number and _is_possessive(text, at):
            at += 2


def _is_possessive(text: str, at: int) -> bool:
    return (
        text[at : at + 1] == "'"
        and text[at + 1 : at + 2] in ("s", "S")
        and (at + 2 == len(text) or _kind(text[at + 2]) == _MARK)
    )


def _pieces(text: str, options: Delimiting) -> tuple[list[_Piece], int]:
    """Return what a word gives, and how many positions that covers."""
    pieces: list[_Piece] = []
    n = 0

    def catenate(run: list[_Placed]) -> None:
        nonlocal n
        if not run or (len(run) == 1 and run[0].is_given):
            return
        joined = "".join(text[each.part.begin : each.part.end] for each in run)
        after = max(run[-1].position + run[-1].is_given, run[0].position + 1)
        n = max(n, after)
        begin, end = run[0].part.begin, run[-1].part.end
        pieces.append(_Piece(run[0].position, after, joined, begin, end))

    whole: list[_Placed] = []
    for is_number, parts in groupby(_parts(text, options), key=lambda part: part.is_number):
        is_given = options.generate_number_parts if is_number else options.generate_word_parts
        run = []
        for part in parts:
            run.append(_Placed(part, n, is_given))
            if is_given:
                pieces.append(_Piece(n, n + 1, text[part.begin : part.end], part.begin, part.end))
                n += 1
        if options.catenate_numbers if is_number else options.catenate_words:
            catenate(run)
        whole += run
    if options.catenate_all:
        catenate(whole)
    if options.preserve_original:
        n = max(n, 1)
        pieces.append(_Piece(0, n, text, 0, len(text)))
    distinct = dict.fromkeys(sorted(pieces, key=lambda piece: (piece.first, -piece.after)))
    return list(distinct), n


def word_delimiter(
    options: Delimiting, protected: frozenset[str], *, is_graph: bool
) -> TokenFilter:
    """Return the filter. `protected`: words to leave whole. `is_graph`: what spans several
    positions says so."""

    def apply(words: list[Word]) -> list[Word]:
        out: list[Word] = []
        for word in words:
            if word.text is None or word.text in protected:
                out.append(word)
            else:
                out += _cut(word, word.text, options, is_graph=is_graph)
        return out

    return TokenFilter(apply, "spelling")


def _cut(word: Word, text: str, options: Delimiting, *, is_graph: bool) -> list[Word]:
    pieces, n = _pieces(text, options)
    if not pieces:
        word.text = None
        return [word]
    if len(pieces) == 1 and pieces[0].text == text:
        return [word]
    is_as_written = word.end - word.start == len(text)
    out: list[Word] = []
    last = 0
    for piece in pieces:
        given = word.with_text(piece.text, piece.first - last if out else word.increment)
        if is_as_written:
            given.start, given.end = word.start + piece.begin, word.start + piece.end
        if is_graph:
            given.span = piece.after - piece.first
        out.append(given)
        last = piece.first
    if n - 1 > last:
        out.append(Word(None, word.end, word.end, n - 1 - last))
    return out
