"""The analyzers that have a name of their own, and how each language's chain is made.

Chains are Lucene's, but that the stemmers are Snowball's where Lucene has lighter ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import cache
from typing import NamedTuple

from index.analysis import english, splitting, tokenizers
from index.analysis.analyzer import Analyzer
from index.analysis.filters import (
    TokenFilter,
    apostrophe,
    decimal_digits,
    each,
    elision,
    lowercase,
    override,
    possessive,
    protect,
    stop,
)
from index.analysis.folding import asciifolding, cjk_width, fold_half_kana
from index.analysis.grams import CJK_KINDS, cjk_bigrams, fingerprint
from index.analysis.normalization import FILTERS, lower_greek, lower_irish, lower_turkish
from index.analysis.stemming import stem
from index.analysis.stop_words import stop_words
from index.analysis.tokenizers import scan_bigrams

ARTICLES: dict[str, tuple[str, ...]] = {
    "catalan": ("d", "l", "m", "n", "s", "t"),
    "french": ("l", "m", "t", "qu", "n", "s", "j", "d", "c", "jusqu", "quoiqu", "lorsqu", "puisqu"),
    "irish": ("d", "m", "b"),
    "italian": (
        "c", "l", "all", "dall", "dell", "nell", "sull", "coll", "pell", "gl", "agl", "dagl",
        "degl", "negl", "sugl", "un", "m", "t", "s", "v", "d",
    ),
}  # fmt: skip
"""What elision cuts off."""
DUTCH_STEMS = {"fiets": "fiets", "bromfiets": "bromfiets", "ei": "eier", "kind": "kinder"}

_NO_WORD = re.compile(r"\W+", re.ASCII)
"""What the pattern analyzer separates words by."""

decimal_digit = each(decimal_digits, keeps_ascii=True, caseless=True, is_letterwise=True)
turkish_lowercase = each(lower_turkish, is_letterwise=True)
greek_lowercase = each(lower_greek, keeps_ascii=True, caseless=True, is_letterwise=True)
irish_lowercase = each(lower_irish, is_letterwise=True)


class Language(NamedTuple):
    stemmer: str | None
    """Algorithm of Snowball."""
    before: tuple[TokenFilter, ...] = (lowercase,)
    """What runs before the stop words are taken out."""
    after: tuple[TokenFilter, ...] = ()
    """What runs between the stop words and the stemmer."""
    separator: str | None = None
    """A character that separates words, though it does not by UAX #29."""


def _elided(language: str, lower: TokenFilter = lowercase) -> tuple[TokenFilter, ...]:
    return (elision(ARTICLES[language]), lower)


_PLAIN = (
    "armenian", "basque", "czech", "danish", "estonian", "finnish", "hungarian", "indonesian",
    "lithuanian", "norwegian", "polish", "portuguese", "romanian", "russian", "serbian", "spanish",
    "swedish", "yiddish",
)  # fmt: skip
LANGUAGES: dict[str, Language] = {
    **{name: Language(name) for name in _PLAIN},
    "arabic": Language(
        "light_arabic", (lowercase, decimal_digit), (FILTERS["arabic_normalization"],)
    ),
    "brazilian": Language("portuguese"),
    "catalan": Language("catalan", _elided("catalan")),
    "dutch": Language("dutch_porter", after=(override(DUTCH_STEMS),)),
    "french": Language("french", _elided("french")),
    "german": Language("german", after=(FILTERS["german_normalization"],)),
    "greek": Language("greek", (greek_lowercase,)),
    "hindi": Language(
        "hindi",
        (
            lowercase,
            decimal_digit,
            FILTERS["indic_normalization"],
            FILTERS["hindi_normalization"],
        ),
    ),
    "irish": Language(
        "irish", (stop(("h", "n", "t"), ignores_case=True), *_elided("irish", irish_lowercase))
    ),
    "italian": Language("italian", _elided("italian")),
    "nepali": Language("nepali", (lowercase, decimal_digit, FILTERS["indic_normalization"])),
    "persian": Language(
        None,
        (
            lowercase,
            decimal_digit,
            FILTERS["arabic_normalization"],
            FILTERS["persian_normalization"],
        ),
        separator="\u200c",
    ),
    "tamil": Language("tamil", (lowercase, decimal_digit, FILTERS["indic_normalization"])),
    "turkish": Language("turkish", (each(apostrophe, caseless=True), turkish_lowercase)),
}


def language_analyzer(
    language: str,
    stops: Collection[str] | None = None,
    exclusions: Collection[str] = (),
) -> Analyzer:
    """Return the analyzer of a language. `stops` None: the language's own; `exclusions`: words
    that are not stemmed."""
    parts = LANGUAGES[language]
    words = stop_words(language) if stops is None else frozenset(stops)
    filters = list(parts.before)
    if words:
        filters.append(stop(words))
    if exclusions:
        kept = frozenset(exclusions)
        filters.append(protect(lambda text: text in kept))
    filters += parts.after
    if parts.stemmer is not None:
        filters.append(stem(parts.stemmer))
    tokenizer = tokenizers.standard()
    if parts.separator is not None:
        tokenizer = tokenizers.separated_also_by(tokenizer, parts.separator)
    return Analyzer(language, tokenizer, filters)


def standard_analyzer(
    name: str, stops: Collection[str] = (), max_chars: int = tokenizers.MAX_TOKEN_CHARS
) -> Analyzer:
    filters = [lowercase, stop(stops)] if stops else [lowercase]
    return Analyzer(name, tokenizers.standard(max_chars), filters)


def stop_analyzer(name: str, stops: Collection[str] | None = None) -> Analyzer:
    words = stop_words("english") if stops is None else stops
    return Analyzer(name, tokenizers.letters(), [lowercase, stop(words)])


def english_analyzer(
    name: str, stops: Collection[str] | None = None, exclusions: Collection[str] = ()
) -> Analyzer:
    """Return Lucene's EnglishAnalyzer: its stemmer is Porter's first."""
    kept = frozenset(exclusions)
    filters = [
        each(possessive, caseless=True),
        lowercase,
        stop(stop_words("english") if stops is None else stops),
        *([protect(lambda text: text in kept)] if kept else []),
        stem("porter"),
    ]
    is_plain = stops is None and not kept
    return Analyzer(
        name, tokenizers.standard(), filters, map_spellings=english.stem if is_plain else None
    )


def cjk_analyzer(name: str, stops: Collection[str] | None = None) -> Analyzer:
    """Return Lucene's CJKAnalyzer: pairs of characters for Chinese, Japanese and Korean.

    The scan pairs characters as they are, so that half-width Kana are made whole before; what
    else is of odd width is no pair's, and is folded as a spelling.
    """
    words = stop_words("cjk") if stops is None else stops
    folded = frozenset(CJK_KINDS.values())
    return Analyzer(
        name,
        tokenizers.standard(),
        [cjk_width, lowercase, cjk_bigrams(folded, unigrams=False), stop(words)],
        scan=scan_bigrams,
        prepare=fold_half_kana,
    )


def chinese_analyzer(name: str) -> Analyzer:
    """Return words of Chinese by a dictionary, all else as `standard`."""
    return Analyzer(name, tokenizers.chinese(), [cjk_width, lowercase])


_MAKERS: dict[str, Callable[[], Analyzer]] = {
    "standard": lambda: standard_analyzer("standard"),
    "simple": lambda: Analyzer("simple", tokenizers.letters(), [lowercase]),
    "whitespace": lambda: Analyzer("whitespace", tokenizers.whitespace()),
    "pattern": lambda: Analyzer("pattern", splitting.pattern(_NO_WORD), [lowercase]),
    "smartcn": lambda: chinese_analyzer("smartcn"),
    "fingerprint": lambda: Analyzer(
        "fingerprint",
        tokenizers.standard(),
        [lowercase, asciifolding, fingerprint(255, " ")],
    ),
    "keyword": lambda: Analyzer("keyword", tokenizers.keyword),
    "stop": lambda: stop_analyzer("stop"),
    "english": lambda: english_analyzer("english"),
    "cjk": lambda: cjk_analyzer("cjk"),
    "chinese": lambda: chinese_analyzer("chinese"),
}


def _maker(language: str) -> Callable[[], Analyzer]:
    return lambda: language_analyzer(language)


_MAKERS.update({language: _maker(language) for language in LANGUAGES})
BUILT_IN = frozenset(_MAKERS)
"""The names of analyzers that every index has."""


@cache
def built_in(name: str) -> Analyzer:
    """Return the analyzer of this name, one for the process. Raises: KeyError."""
    return _MAKERS[name]()
