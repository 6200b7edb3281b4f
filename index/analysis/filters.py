"""Token filters that look at one word at a time: case, length, stop words, affixes.

A filter says how far it looks. Where no filter of an analyzer looks beyond a word, each spelling
goes through them once, whatever the number of texts that it stands in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from index.analysis.word import Word

Reach = Literal["word", "spelling", "stream"]
"""`word`: gives one word, or none, for each. `spelling`: may give several, but by the spelling
alone. `stream`: also looks at the words around."""


MapTexts = Callable[[list[str | None]], list[str | None]]


class TokenFilter(NamedTuple):
    """Thread rule: any thread."""

    apply: Callable[[list[Word]], list[Word]]
    reach: Reach = "word"
    keeps_ascii: bool = False
    """Gives back ASCII words in lower case as they are."""
    caseless: bool = False
    """Treats capitals and small letters of ASCII alike, so that letters may be made small before
    it as well as after."""
    is_letterwise: bool = False
    """Does to a part of a word what it does to the whole, so that prefixes can go through it."""
    map_texts: MapTexts | None = None
    """The same for texts alone, faster; only where that is all that the filter looks at."""


def each(
    change: Callable[[str], str | None],
    *,
    keeps_ascii: bool = False,
    caseless: bool = False,
    is_letterwise: bool = False,
) -> TokenFilter:
    """Return the filter that puts `change(text)` for each text; None takes the word out."""

    def apply(words: list[Word]) -> list[Word]:
        for word in words:
            if word.text is not None:
                word.text = change(word.text)
        return words

    def map_texts(texts: list[str | None]) -> list[str | None]:
        return [None if text is None else change(text) for text in texts]

    return TokenFilter(
        apply,
        keeps_ascii=keeps_ascii,
        caseless=caseless,
        is_letterwise=is_letterwise,
        map_texts=map_texts,
    )


lowercase = each(str.lower, keeps_ascii=True, caseless=True, is_letterwise=True)
uppercase = each(str.upper, is_letterwise=True)
trim = each(str.strip, caseless=True)
reverse = each(lambda text: text[::-1], caseless=True)


def length(least: int, most: int) -> TokenFilter:
    return each(lambda text: text if least <= len(text) <= most else None, caseless=True)


def truncate(n_chars: int) -> TokenFilter:
    return each(lambda text: text[:n_chars], caseless=True)


def stop(words: Collection[str], *, ignores_case: bool = False) -> TokenFilter:
    """Take words out; their positions stay."""
    if ignores_case:
        lowered = frozenset(word.lower() for word in words)
        return each(lambda text: None if text.lower() in lowered else text, caseless=True)
    unwanted = frozenset(words)
    return each(lambda text: None if text in unwanted else text)


def keep(words: Collection[str], *, ignores_case: bool) -> TokenFilter:
    """Take all other words out."""
    if ignores_case:
        lowered = frozenset(word.lower() for word in words)
        return each(lambda text: text if text.lower() in lowered else None, caseless=True)
    wanted = frozenset(words)
    return each(lambda text: text if text in wanted else None)


_APOSTROPHES = "'’"
_POSSESSIVES = ("'s", "’s", "＇s", "'S", "’S", "＇S")


def possessive(text: str) -> str:
    """Cut an English possessive."""
    return text[:-2] if text.endswith(_POSSESSIVES) else text


def apostrophe(text: str) -> str:
    """Cut at the first apostrophe: Turkish sets suffixes off from names by one."""
    return re.split("['’]", text, maxsplit=1)[0]


def classic(text: str) -> str:
    """Cut an English possessive, and the dots of an acronym."""
    text = possessive(text)
    return text.replace(".", "") if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]?", text) else text


def elision(articles: Collection[str], *, ignores_case: bool = True) -> TokenFilter:
    """Cut an article that ends in an apostrophe: l'avion."""
    wanted = frozenset(word.lower() for word in articles) if ignores_case else frozenset(articles)

    def change(text: str) -> str:
        at = min((i for mark in _APOSTROPHES if (i := text.find(mark)) >= 0), default=-1)
        if at < 0:
            return text
        article = text[:at].lower() if ignores_case else text[:at]
        return text[at + 1 :] if article in wanted else text

    return each(change, caseless=ignores_case)


def _ascii_digit(char: str) -> str:
    return str(unicodedata.decimal(char)) if not char.isascii() and char.isdecimal() else char


def decimal_digits(text: str) -> str:
    """Write the digits of all scripts as 0 to 9."""
    return text if text.isascii() else "".join(map(_ascii_digit, text))


def pattern_replace(
    pattern: re.Pattern[str], replacement: str, *, replaces_all: bool
) -> TokenFilter:
    count = 0 if replaces_all else 1
    return each(lambda text: pattern.sub(replacement, text, count=count))


# --- protection against stemming -----------------------------------------------------------
def protect(is_protected: Callable[[str], bool], *, caseless: bool = False) -> TokenFilter:
    """Keep stemmers from words."""

    def apply(words: list[Word]) -> list[Word]:
        for word in words:
            if word.text is not None and is_protected(word.text):
                word.is_protected = True
        return words

    return TokenFilter(apply, caseless=caseless)


def override(stems: dict[str, str], *, ignores_case: bool = False) -> TokenFilter:
    """Give stems that no stemmer after may change."""
    known = {word.lower(): stem for word, stem in stems.items()} if ignores_case else stems

    def apply(words: list[Word]) -> list[Word]:
        for word in words:
            if word.text is None or word.is_protected:
                continue
            stem = known.get(word.text.lower() if ignores_case else word.text)
            if stem is not None:
                word.text = stem
                word.is_protected = True
        return words

    return TokenFilter(apply, caseless=ignores_case)


# --- several words for one -----------------------------------------------------------------
def with_original(change: Callable[[str], str]) -> TokenFilter:
    """Put `change(text)` for a word, and the word itself beside it where they differ."""

    def apply(words: list[Word]) -> list[Word]:
        out = []
        for word in words:
            out.append(word)
            if word.text is not None and (changed := change(word.text)) != word.text:
                out.append(word.with_text(word.text, 0))
                word.text = changed
        return out

    return TokenFilter(apply, "spelling", keeps_ascii=True, caseless=True)


def repeat_keywords(words: list[Word]) -> list[Word]:
    """Put every word twice: first protected against stemming, then not."""
    out = []
    for word in words:
        out.append(word)
        if word.text is not None:
            out.append(word.with_text(word.text, 0))
            word.is_protected = True
    return out


def remove_duplicates(words: list[Word]) -> list[Word]:
    """Take out a word that stands at the same position already."""
    out: list[Word] = []
    here: set[str] = set()
    for word in words:
        if word.increment:
            here.clear()
        if word.text is None:
            out.append(word)
        elif word.text not in here:
            here.add(word.text)
            out.append(word)
    return out
