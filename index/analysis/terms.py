"""From spellings to terms, once for each spelling that the process has not seen lately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

MAX_REMEMBERED = 500_000
"""Spellings that a map remembers before it starts anew: about 100 MB when full."""


class Expansion(NamedTuple):
    """What a spelling stands for that is not just one term, or none."""

    terms: tuple[tuple[bytes, int], ...]
    """(term, position counted from the token's own); the positions never fall."""
    advance: int = 1
    """How many positions the token takes: where the next one is."""


Mapped = bytes | Expansion | None
"""One term in the token's place, or several, or nothing (its position stays empty)."""


class TermMap:
    """A memo over `map_spellings`, shared by all indexes. Thread rule: any thread; two threads may
    both work out the same spelling, with the same result."""

    __slots__ = ("_map_spellings", "_memo")

    def __init__(self, map_spellings: Callable[[Sequence[bytes]], Sequence[Mapped]]) -> None:
        self._map_spellings = map_spellings
        self._memo: dict[bytes, Mapped] = {}

    def lookup(self, spellings: Sequence[bytes]) -> list[Mapped]:
        """Return what each spelling stands for; None: a stop word.

        Requires: UTF-8, ASCII letters in lower case.
        """
        memo = self._memo
        new = [spelling for spelling in spellings if spelling not in memo]
        if new:
            if len(memo) + len(new) > MAX_REMEMBERED:
                memo = self._memo = {}
                new = list(spellings)
            memo.update(zip(new, self._map_spellings(new), strict=True))
        return [memo[spelling] for spelling in spellings]


def fold(spellings: Sequence[bytes]) -> list[bytes | None]:
    """Lower-case what is not ASCII."""
    return [spelling.decode().lower().encode() for spelling in spellings]
