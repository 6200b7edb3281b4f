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
    sweep = _Sweep(tokens, phrase, places)
    while not sweep.is_over:
        if sweep.width <= phrase.slop:
            yield sweep.found
        sweep.advance()


class _Sweep:
    """All places of a phrase moving through a text, step by step the ones that search takes
    (`kernels.phrase.count_sloppy`), so that what it matches is what is found here.
    """

    def __init__(
        self, tokens: Sequence[Token], phrase: Phrase, places: Sequence[Sequence[int]]
    ) -> None:
        """`places`: for each place of the phrase the tokens that may stand there, rising."""
        self._tokens = tokens
        self._places = places
        self._offsets = [offset for offset, _ in phrase.places]
        every = range(len(places))
        # without moves places are apart by their offsets
        groups = phrase.groups if phrase.slop else every
        self._twins = [[u for u in every if u != t and groups[u] == groups[t]] for t in every]
        self._heads = [groups[:t].count(groups[t]) for t in every]
        self.is_over = any(head >= len(own) for head, own in zip(self._heads, places, strict=True))
        if not self.is_over:
            self._moved = [self._position(t) - self._offsets[t] for t in every]
            self._lowest = self._least()

    @property
    def found(self) -> tuple[int, ...]:
        """The tokens at which the places are now."""
        return tuple(own[head] for own, head in zip(self._places, self._heads, strict=True))

    @property
    def width(self) -> int:
        """How many moves bring the places together."""
        return max(self._moved) - self._moved[self._lowest]

    def advance(self) -> None:
        """Move the lowest place on; equal ones get out of each other's way."""
        t = self._lowest
        while self._step(t):
            here = self._position(t)
            other = next((u for u in self._twins[t] if self._position(u) == here), None)
            if other is None:
                break
            t = min(t, other, key=lambda place: (self._moved[place], place))
        # of places that are level the one that moves goes first
        if t != self._lowest or self._moved[t] > min(self._moved):
            self._lowest = self._least()

    def _step(self, t: int) -> bool:
        """Move one place on; return whether it had where to go."""
        self._heads[t] += 1
        self.is_over = self._heads[t] == len(self._places[t])
        if not self.is_over:
            self._moved[t] = self._position(t) - self._offsets[t]
        return not self.is_over

    def _position(self, t: int) -> int:
        return self._tokens[self._places[t][self._heads[t]]].position

    def _least(self) -> int:
        return min(range(len(self._moved)), key=self._moved.__getitem__)
