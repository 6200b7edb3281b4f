"""Stemmers: the algorithms of Snowball, and which of them a setting names."""

from __future__ import annotations

import Stemmer

from index.analysis.filters import TokenFilter, each, possessive
from index.analysis.word import Word
from index.errors import InvalidRequestError
from index.kernels.porter import stem_porter

_NAMES = (
    "arabic", "armenian", "basque", "catalan", "czech", "danish", "esperanto", "estonian",
    "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian",
    "lithuanian", "nepali", "norwegian", "persian", "polish", "porter", "portuguese", "romanian",
    "russian", "serbian", "sesotho", "spanish", "swedish", "tamil", "turkish", "yiddish",
)  # fmt: skip
ALGORITHMS: dict[str, str] = {
    **{name: name for name in _NAMES},
    "arabic": "light_arabic",
    "english": "porter",
    "porter2": "english",
    "dutch": "dutch_porter",
    "kp": "dutch",
    "dutch_kp": "dutch",
    "german2": "german",
    "brazilian": "portuguese",
}
"""What `language` of a `stemmer` filter names: OpenSearch's names, and for each the algorithm
that is taken. OpenSearch's `english` is Porter's first algorithm."""

SNOWBALL: dict[str, str] = {
    **{name.capitalize(): name for name in _NAMES},
    "German2": "german",
    "Kp": "dutch",
    "Dutch": "dutch_porter",
    "English": "english",
}
"""What `language` of a `snowball` filter names: its `English` is Porter's second algorithm."""


def stem(algorithm: str) -> TokenFilter:
    """Return the filter that puts the stem for each word that is not protected. `algorithm`: of
    Snowball, or a key of `LIGHT`."""

    light = LIGHT.get(algorithm)

    def stems(texts: list[str]) -> list[str]:
        if light is not None:
            return list(map(light, texts))
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


_ARABIC_PREFIXES = ("ال", "وال", "بال", "كال", "فال", "لل", "و")
_ARABIC_SUFFIXES = ("ها", "ان", "ات", "ون", "ين", "يه", "ية", "ه", "ة", "ي")


def _light_arabic(text: str) -> str:
    """Cut one prefix and the suffixes, as "light10" of Larkey, Ballesteros and Connell (2007) and
    Lucene do. Requires: a word after arabic_normalization."""
    for prefix in _ARABIC_PREFIXES:
        least = len(prefix) + (3 if len(prefix) == 1 else 2)
        if len(text) >= least and text.startswith(prefix):
            text = text[len(prefix) :]
            break
    for suffix in _ARABIC_SUFFIXES:
        if len(text) >= len(suffix) + 2 and text.endswith(suffix):
            text = text[: -len(suffix)]
    return text


LIGHT = {"light_arabic": _light_arabic}
"""Stemmers of our own, by language."""


def stemmer_named(language: str) -> TokenFilter:
    """Return what a `stemmer` filter of this language does. Raises: InvalidRequestError."""
    if language.lower() in ("possessive_english", "english_possessive"):
        return each(possessive, caseless=True)
    algorithm = ALGORITHMS.get(language.lower())
    if algorithm is None:
        raise InvalidRequestError(f"there is no stemmer for the language [{language}]")
    return stem(algorithm)
