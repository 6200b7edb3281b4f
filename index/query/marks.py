"""Where in a text stands what a query asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from index.analysis.analyzer import Token
from index.query.asked import Phrase, Wanted


class Mark(NamedTuple):
    """A run of characters to mark."""

    start: int
    end: int
    term: bytes


def find_marks(tokens: Sequence[Token], wanted: Wanted) -> list[Mark]:
    """Return the tokens that the query asks for, in the order of the text, none twice.

    The words of a phrase are marked where they stand as the phrase, and nowhere else.
    """
    chosen: set[int] = set()
    if wanted.patterns:
        known: dict[bytes, bool] = {}
        for at, token in enumerate(tokens):
            is_meant = known.get(token.term)
            if is_meant is None:
                is_meant = known[token.term] = wanted.accepts(token.term)
            if is_meant:
                chosen.add(at)
    elif wanted.terms:
        terms = wanted.terms
        chosen = {at for at, token in enumerate(tokens) if token.term in terms}
    for phrase in wanted.phrases:
        for found in _occurrences(tokens, phrase):
            chosen.update(found)
    return [Mark(tokens[at].start, tokens[at].end, tokens[at].term) for at in sorted(chosen)]


def _occurrences(tokens: Sequence[Token], phrase: Phrase) -> Iterator[tuple[int, ...]]:
    """Yield the tokens of each place of each occurrence of a phrase."""
    known: list[dict[bytes, bool]] = [{} for _ in phrase.places]
    places: list[list[int]] = []
    for (_, accept), answers in zip(phrase.places, known, strict=True):
        own = []
        for at, token in enumerate(tokens):
            is_meant = answers.get(token.term)
            if is_meant is None:
                is_meant = answers[token.term] = accept(token.term)
            if is_meant:
                own.append(at)
        if not own:
            return
        places.append(own)
    heads = [0] * len(places)
    while True:
        found = tuple(own[head] for own, head in zip(places, heads, strict=True))
        moved = [
            tokens[at].position - offset
            for at, (offset, _) in zip(found, phrase.places, strict=True)
        ]
        lowest = min(range(len(moved)), key=moved.__getitem__)
        if max(moved) - moved[lowest] <= phrase.slop and len(set(found)) == len(found):
            yield found
        heads[lowest] += 1
        if heads[lowest] == len(places[lowest]):
            return
