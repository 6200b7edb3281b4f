"""The queries of the benchmarks: classes of them, made of the words of a corpus.

A query is neutral here; `engines` says it to each engine in its own way.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

SEED = 20
HIGH, MID, LOW = "high", "mid", "low"
HIGH_SHARE, MID_SHARE = 0.02, 0.001
LEAST_DOCS = 10
N_WORDS_OF_BAND = 4_000
WORD = re.compile(r"[a-z0-9]+")

Kind = Literal[
    "match_all",
    "term",
    "or",
    "and",
    "phrase",
    "prefix",
    "wildcard",
    "regexp",
    "fuzzy",
    "range",
    "text",
]


class Query(NamedTuple):
    kind: Kind
    words: tuple[str, ...]
    """Of a wildcard the pattern with `*`; of a regexp the pattern; of a text the text."""
    edits: int = 0
    bounds: tuple[int, int] = (0, 0)
    """Of the number, both included."""


class QueryClass(NamedTuple):
    name: str
    queries: list[Query]
    is_extra: bool = False
    """Outside the goals: shown, not judged."""


class Words(NamedTuple):
    """What queries are made of."""

    bands: dict[str, list[str]]
    """high: in more than 2% of the documents, mid: 0.1% to 2%, low: from 10 documents up."""
    texts: list[str]
    """Some documents' texts."""
    numbers: list[int]
    """The same documents' numbers, rising."""


def band_of(doc_freq: int, n_docs: int) -> str | None:
    if doc_freq > n_docs * HIGH_SHARE:
        return HIGH
    if doc_freq > n_docs * MID_SHARE:
        return MID
    return LOW if doc_freq >= LEAST_DOCS else None


def choose_words(
    texts: Sequence[str], numbers: Sequence[int], n_docs: int, doc_freq: Callable[[str], int]
) -> Words:
    """Sort the words of some documents into bands by how many of all documents have them."""
    vocabulary = {word for text in texts for word in WORD.findall(text.lower())}
    chance = random.Random(SEED)
    bands: dict[str, list[str]] = {HIGH: [], MID: [], LOW: []}
    candidates = sorted(word for word in vocabulary if 2 < len(word) < 20)
    chance.shuffle(candidates)
    for word in candidates:
        band = band_of(doc_freq(word), n_docs)
        if band is not None and len(bands[band]) < N_WORDS_OF_BAND:
            bands[band].append(word)
    return Words(bands, list(texts), sorted(numbers))


def make_classes(words: Words, n_queries: int) -> list[QueryClass]:
    """Return the classes of the goals, `n_queries` each or as many different ones as there are."""
    chance = random.Random(SEED)
    draw = _Draw(words, chance)
    makers: list[tuple[str, Callable[[], Query | None]]] = [
        ("term high", lambda: draw.words("term", HIGH)),
        ("term mid", lambda: draw.words("term", MID)),
        ("term low", lambda: draw.words("term", LOW)),
        ("or h+h", lambda: draw.words("or", HIGH, HIGH)),
        ("or h+m", lambda: draw.words("or", HIGH, MID)),
        ("or h+m+l", lambda: draw.words("or", HIGH, MID, LOW)),
        ("or m+m+m", lambda: draw.words("or", MID, MID, MID)),
        ("or h+h+h", lambda: draw.words("or", HIGH, HIGH, HIGH)),
        ("or h+h+m+m+l", lambda: draw.words("or", HIGH, HIGH, MID, MID, LOW)),
        ("and h+h", lambda: draw.words("and", HIGH, HIGH)),
        ("and h+m", lambda: draw.words("and", HIGH, MID)),
        ("and h+m+l", lambda: draw.words("and", HIGH, MID, LOW)),
        ("and m+m", lambda: draw.words("and", MID, MID)),
        ("and m+m+m", lambda: draw.words("and", MID, MID, MID)),
        ("and m+l", lambda: draw.words("and", MID, LOW)),
        ("and h+h+h", lambda: draw.words("and", HIGH, HIGH, HIGH)),
        ("and h+h+m+m+l", lambda: draw.words("and", HIGH, HIGH, MID, MID, LOW)),
        ("phrase 2", lambda: draw.phrase(2)),
        ("phrase 3", lambda: draw.phrase(3)),
        ("prefix 3", lambda: draw.prefix(3)),
        ("prefix 4", lambda: draw.prefix(4)),
        ("wildcard suffix", draw.suffix),
        ("wildcard infix", draw.infix),
        ("regexp", draw.regexp),
        ("fuzzy 1", lambda: draw.fuzzy(1)),
        ("fuzzy 2", lambda: draw.fuzzy(2)),
        ("range + term high", lambda: draw.range(HIGH)),
        ("range + term mid", lambda: draw.range(MID)),
    ]
    return [QueryClass(name, _distinct(make, n_queries)) for name, make in makers]


def _distinct(make: Callable[[], Query | None], n_queries: int) -> list[Query]:
    found: dict[Query, None] = {}
    for _ in range(n_queries * 20):
        query = make()
        if query is not None:
            found[query] = None
        if len(found) == n_queries:
            break
    return list(found)


class _Draw:
    """Queries by chance; None where a try came to nothing."""

    def __init__(self, words: Words, chance: random.Random) -> None:
        self._words = words
        self._chance = chance
        self._any = [word for band in (HIGH, MID, LOW) for word in words.bands[band]]

    def words(self, kind: Kind, *bands: str) -> Query | None:
        chosen = [self._chance.choice(self._words.bands[band]) for band in bands]
        return Query(kind, tuple(chosen)) if len(set(chosen)) == len(chosen) else None

    def phrase(self, n_words: int) -> Query | None:
        """Take neighbouring words of a text, without any punctuation between."""
        words = self._chance.choice(self._words.texts).split()
        if len(words) < n_words:
            return None
        at = self._chance.randrange(len(words) - n_words + 1)
        taken = [word.lower() for word in words[at : at + n_words]]
        is_plain = all(WORD.fullmatch(word) for word in taken)
        return Query("phrase", tuple(taken)) if is_plain else None

    def _letters(self, least: int) -> str | None:
        word = self._chance.choice(self._any)
        return word if word.isalpha() and len(word) >= least else None

    def prefix(self, length: int) -> Query | None:
        word = self._letters(length + 1)
        return Query("prefix", (word[:length],)) if word else None

    def suffix(self) -> Query | None:
        word = self._letters(5)
        return Query("wildcard", (f"*{word[-4:]}",)) if word else None

    def infix(self) -> Query | None:
        word = self._letters(6)
        return Query("wildcard", (f"*{word[1:5]}*",)) if word else None

    def regexp(self) -> Query | None:
        """One letter in the middle may be any, another may be missing: `com[a-z]ute?r.*`."""
        word = self._letters(7)
        if not word:
            return None
        return Query("regexp", (f"{word[:3]}[a-z]{word[4:6]}?{word[6:]}.*",))

    def fuzzy(self, edits: int) -> Query | None:
        """Misspell a word: one letter is another."""
        word = self._letters(5)
        if not word or len(word) > 12:
            return None
        at = self._chance.randrange(1, len(word))
        letter = self._chance.choice("abcdefghijklmnopqrstuvwxyz")
        return Query("fuzzy", (word[:at] + letter + word[at + 1 :],), edits=edits)

    def range(self, band: str) -> Query | None:
        """A term, and a tenth of the numbers."""
        numbers = self._words.numbers
        first = self._chance.randrange(len(numbers) * 9 // 10)
        bounds = numbers[first], numbers[first + len(numbers) // 10]
        return Query("range", (self._chance.choice(self._words.bands[band]),), bounds=bounds)
