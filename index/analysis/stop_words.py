"""Lists of stop words, by language."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from index.errors import InvalidRequestError

ENGLISH = frozenset(
    [
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is",
        "it", "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there",
        "these", "they", "this", "to", "was", "will", "with",
    ]
)  # fmt: skip
"""Lucene's EnglishAnalyzer.ENGLISH_STOP_WORDS_SET."""
CJK = frozenset(
    [
        "a", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
        "no", "not", "of", "on", "or", "s", "such", "t", "that", "the", "their", "then", "there",
        "these", "they", "this", "to", "was", "will", "with", "www",
    ]
)  # fmt: skip
"""Lucene's CJKAnalyzer: what stands between Chinese, Japanese and Korean."""

LANGUAGES = frozenset(
    [
        "arabic", "armenian", "basque", "brazilian", "catalan", "czech", "danish", "dutch",
        "estonian", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian",
        "irish", "italian", "lithuanian", "nepali", "norwegian", "persian", "portuguese",
        "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish",
    ]
)  # fmt: skip
"""Those with a file in data/."""


@cache
def stop_words(language: str) -> frozenset[str]:
    """Return the list of a language; none where we have none."""
    if language == "english":
        return ENGLISH
    if language == "cjk":
        return CJK
    if language not in LANGUAGES:
        return frozenset()
    path = Path(__file__).parent / "data" / f"stop_words.{language}.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def resolve_stop_words(words: list[str]) -> frozenset[str]:
    """Return the words of a setting, `_french_` and the like put for what they name.

    Raises: InvalidRequestError for a list that there is none of.
    """
    found: set[str] = set()
    for word in words:
        if not (len(word) > 2 and word.startswith("_") and word.endswith("_")):
            found.add(word)
        elif word != "_none_":
            language = word[1:-1]
            if language not in LANGUAGES and language not in ("english", "cjk"):
                raise InvalidRequestError(f"there is no list of stop words [{word}]")
            found |= stop_words(language)
    return frozenset(found)
