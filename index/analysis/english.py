"""The English of Lucene's EnglishAnalyzer, for many spellings at once."""

from __future__ import annotations

from collections.abc import Sequence

from index.analysis.filters import possessive
from index.analysis.stop_words import ENGLISH
from index.kernels.porter import stem_porter

_STOP_WORDS = frozenset(word.encode() for word in ENGLISH)


def stem(spellings: Sequence[bytes]) -> list[bytes | None]:
    """Cut a possessive, lower-case, take the stop words out, stem by Porter's first algorithm."""
    words = [word if word.isascii() and word[-2:] != b"'s" else _plain(word) for word in spellings]
    return [
        None if word in _STOP_WORDS or not word else stemmed
        for word, stemmed in zip(words, stem_porter(words), strict=True)
    ]


def _plain(spelling: bytes) -> bytes:
    return possessive(spelling.decode().lower()).encode()
