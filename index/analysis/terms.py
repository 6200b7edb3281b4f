"""From spellings to terms, once for each spelling that the process has not seen lately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple
from weakref import WeakSet

MAX_REMEMBERED = 500_000
"""Spellings that all maps together remember before they start anew: about 100 MB when full."""
MAX_REMEMBERED_BYTES = 64
"""A longer spelling hardly comes again."""


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

    __slots__ = ("__weakref__", "_map_spellings", "_memo")

    def __init__(self, map_spellings: Callable[[Sequence[bytes]], Sequence[Mapped]]) -> None:
        self._map_spellings = map_spellings
        self._memo: dict[bytes, Mapped] = {}
        _maps.add(self)

    def lookup(self, spellings: Sequence[bytes]) -> list[Mapped]:
        """Return what each spelling stands for; None: a stop word.

        Requires: UTF-8, ASCII letters as the analyzer's scan gives them.
        """
        memo = self._memo
        new = [spelling for spelling in spellings if spelling not in memo]
        if not new:
            return [memo[spelling] for spelling in spellings]
        found = dict(zip(new, self._map_spellings(new), strict=True))
        terms = [found[spelling] if spelling in found else memo[spelling] for spelling in spellings]
        self._remember(found)
        return terms

    def _remember(self, found: dict[bytes, Mapped]) -> None:
        if sum(len(each._memo) for each in list(_maps)) + len(found) > MAX_REMEMBERED:
            for each in list(_maps):
                each._memo = {}
        self._memo.update(
            (spelling, term)
            for spelling, term in found.items()
            if len(spelling) <= MAX_REMEMBERED_BYTES
        )


_maps: WeakSet[TermMap] = WeakSet()
