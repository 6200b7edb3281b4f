"""The English of Lucene's EnglishAnalyzer: possessives, stop words, Porter's stemmer."""

from __future__ import annotations

from collections.abc import Sequence

import Stemmer

STOP_WORDS = frozenset(
    [
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is",
        "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there",
        "these", "they", "this", "to", "was", "will", "with",
    ]
)  # fmt: skip
"""Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET."""

_POSSESSIVES = ("'s", "’s", "＇s")


def drop_stop_words(spellings: Sequence[bytes]) -> list[bytes | None]:
    """Lower-case, and take the stop words out."""
    words = [spelling.decode().lower() for spelling in spellings]
    return [None if word in STOP_WORDS else word.encode() for word in words]


def stem(spellings: Sequence[bytes]) -> list[bytes | None]:
    """Cut a possessive, lower-case, take the stop words out, stem by Porter's first algorithm."""
    words = [_cut_possessive(spelling.decode().lower()) for spelling in spellings]
    # A stemmer has state of its own and is not for two threads; making one is cheap.
    stems = Stemmer.Stemmer("porter", 0).stemWords(words)
    return [
        None if word in STOP_WORDS else stemmed.encode()
        for word, stemmed in zip(words, stems, strict=True)
    ]


def _cut_possessive(word: str) -> str:
    return word[:-2] if word.endswith(_POSSESSIVES) else word
