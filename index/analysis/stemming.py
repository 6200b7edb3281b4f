"""Stemmers: the algorithms of Snowball, and which of them a setting names."""

from __future__ import annotations

import Stemmer

from index.analysis.filters import TokenFilter, each, possessive
from index.analysis.word import Word
from index.errors import InvalidRequestError
from index.kernels.porter import stem_porter

ALGORITHMS: dict[str, str] = {
    **{
        name: name
        for name in (
            "arabic", "armenian", "basque", "catalan", "czech", "danish", "esperanto", "estonian",
            "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish",
            "italian", "lithuanian", "nepali", "norwegian", "persian", "polish", "porter",
            "portuguese", "romanian", "russian", "serbian", "sesotho", "spanish", "swedish",
            "tamil", "turkish", "yiddish",
        )
    },
    "english": "porter",
    "porter2": "english",
    "dutch": "dutch_porter",
    "kp": "dutch",
    "dutch_kp": "dutch",
    "german2": "german",
    "brazilian": "portuguese",
}  # fmt: skip
"""What `language` of a `stemmer` filter names: OpenSearch's names, and for each the Snowball
algorithm that is taken. OpenSearch's `english` is Porter's first algorithm."""

SNOWBALL: dict[str, str] = {
    **{algorithm.capitalize(): algorithm for algorithm in ALGORITHMS.values()},
    "German2": "german",
    "Kp": "dutch",
    "Dutch": "dutch_porter",
    "English": "english",
}
"""What `language` of a `snowball` filter names: its `English` is Porter's second algorithm."""


def stem(algorithm: str) -> TokenFilter:
    """Return the filter that puts the stem for each word that is not protected."""

    def stems(texts: list[str]) -> list[str]:
        if algorithm == "porter":
            return [each.decode() for each in stem_porter([text.encode() for text in texts])]
        # A stemmer has state of its own and is not for two threads; making one is cheap.
        return list(Stemmer.Stemmer(algorithm, 0).stemWords(texts))

    def apply(words: list[Word]) -> list[Word]:
        changing = [word for word in words if word.text and not word.is_protected]
        for word, stemmed in zip(changing, stems([w.text or "" for w in changing]), strict=True):
            word.text = stemmed
        return words

    def map_texts(texts: list[str | None]) -> list[str | None]:
        found = iter(stems([text for text in texts if text is not None]))
        return [None if text is None else next(found) for text in texts]

    return TokenFilter(apply, map_texts=map_texts)


def stemmer_named(language: str) -> TokenFilter:
    """Return what a `stemmer` filter of this language does. Raises: InvalidRequestError."""
    if language.lower() in ("possessive_english", "english_possessive"):
        return each(possessive, caseless=True)
    algorithm = ALGORITHMS.get(language.lower())
    if algorithm is None:
        raise InvalidRequestError(f"there is no stemmer for the language [{language}]")
    return stem(algorithm)
