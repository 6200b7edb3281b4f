"""Trees as nondeterministic automata over bytes: states, edges that take a byte, free steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from index.automaton.tree import (
    LAST_CHARACTER,
    AnyString,
    Both,
    Characters,
    Choice,
    Other,
    Ranges,
    Repeat,
    Sequence,
    Tree,
)

if TYPE_CHECKING:
    from index.automaton.deterministic import Deterministic

MAX_STATES = 10_000
"""States before it is made deterministic."""

_LAST_OF_SIZE = (0x7F, 0x7FF, 0xFFFF, LAST_CHARACTER)
_LEADS = (0x00, 0xC0, 0xE0, 0xF0)

Bytes = tuple[tuple[int, int], ...]
"""A range for each of some bytes."""


class TooComplexError(Exception):
    """The pattern needs more states or work than it may."""


def check_size(tree: Tree) -> None:
    """Raises: TooComplexError for a tree that needs more states than there may be."""
    if _size(tree) > MAX_STATES:
        raise TooComplexError(f"it has more than {MAX_STATES} places")


def _size(tree: Tree) -> int:
    """Return about how many states a tree needs."""
    if isinstance(tree, Sequence | Choice):
        return 1 + sum(map(_size, tree.parts))
    if isinstance(tree, Repeat):
        times = tree.least + 1 if tree.most is None else tree.most
        return 2 + _size(tree.part) * times
    if isinstance(tree, Both):
        return max(map(_size, tree.parts))
    if isinstance(tree, Other):
        return _size(tree.part)
    return 1


class Fragments:
    """States and what leads from one to another. State 0 is the first one."""

    start = 0

    def __init__(self, embed: Callable[[Other | Both], Deterministic]) -> None:
        self._embed = embed
        self.n_states = 1
        self.edges: list[tuple[int, ...]] = []
        """(from, least byte, greatest byte, to)"""
        self.steps: list[tuple[int, ...]] = []
        """(from, to), taking no byte"""

    def place(self, tree: Tree, begin: int) -> int:
        """Add what takes the strings of `tree` from state `begin` to a new one; return that."""
        if isinstance(tree, Sequence):
            return self._sequence(tree, begin)
        if isinstance(tree, Choice):
            return self._choice(tree, begin)
        if isinstance(tree, Repeat):
            return self._repeat(tree, begin)
        end = self._state()
        if isinstance(tree, Characters):
            self._characters(tree.ranges, begin, end)
        elif isinstance(tree, AnyString):
            self.steps.append((begin, end))
            self.edges.append((end, 0, 255, end))
        else:
            self._deterministic(self._embed(tree), begin, end)
        return end

    def _state(self) -> int:
        if self.n_states == MAX_STATES:
            raise TooComplexError(f"it has more than {MAX_STATES} places")
        self.n_states += 1
        return self.n_states - 1

    def _sequence(self, tree: Sequence, begin: int) -> int:
        at = self._state()
        self.steps.append((begin, at))
        for part in tree.parts:
            at = self.place(part, at)
        return at

    def _choice(self, tree: Choice, begin: int) -> int:
        ends = [self.place(part, begin) for part in tree.parts]
        end = self._state()
        self.steps += [(each, end) for each in ends]
        return end

    def _repeat(self, tree: Repeat, begin: int) -> int:
        at = self._state()
        self.steps.append((begin, at))
        for _ in range(tree.least):
            at = self.place(tree.part, at)
        if tree.most is None:
            inner = self._state()
            self.steps.append((at, inner))
            self.steps.append((self.place(tree.part, inner), inner))
            return inner
        end = self._state()
        for _ in range(tree.most - tree.least):
            self.steps.append((at, end))
            at = self.place(tree.part, at)
        self.steps.append((at, end))
        return end

    def _characters(self, ranges: Ranges, begin: int, end: int) -> None:
        tails: dict[Bytes, int] = {(): end}
        for run in byte_runs(ranges):
            at = end
            # states for the bytes after the first are shared by all that go on alike
            for i in range(len(run) - 1, 0, -1):
                tail = run[i:]
                known = tails.get(tail)
                if known is None:
                    known = tails[tail] = self._state()
                    self.edges.append((known, *run[i], at))
                at = known
            self.edges.append((begin, *run[0], at))

    def _deterministic(self, automaton: Deterministic, begin: int, end: int) -> None:
        table = automaton.table.tolist()
        lows = automaton.class_lows.tolist()
        highs = [low - 1 for low in lows[1:]] + [255]
        states = [-1] + [self._state() for _ in table[1:]]
        if len(states) > 1:
            self.steps.append((begin, states[1]))
        for state, (*leads, is_end) in enumerate(table):
            if state and is_end:
                self.steps.append((states[state], end))
            for low, high, to in zip(lows, highs, leads, strict=True):
                if to:
                    self.edges.append((states[state], low, high, states[to]))


def byte_runs(ranges: Ranges) -> list[Bytes]:
    """Return the UTF-8 bytes of some characters, as runs of ranges of bytes."""
    if ranges == ((0, LAST_CHARACTER),):
        any_more = ((0x80, 0xBF),)
        leads = ((0, 0x7F), (0xC2, 0xDF), (0xE0, 0xEF), (0xF0, 0xF4))
        return [(lead, *any_more * more) for more, lead in enumerate(leads)]
    found: list[Bytes] = []
    for low, high in ranges:
        first = 0
        for more, last in enumerate(_LAST_OF_SIZE):
            if low <= last and high >= first:
                found += _runs_of_size(max(low, first), min(high, last), more)
            first = last + 1
    return found


def _runs_of_size(low: int, high: int, more: int) -> list[Bytes]:
    """Return the runs of characters that all have `more` bytes after the first."""
    for i in range(more, 0, -1):
        # the last i bytes of each run must be free, or the bytes before them fixed
        below = (1 << 6 * i) - 1
        if low & ~below != high & ~below:
            if low & below:
                return _runs_of_size(low, low | below, more) + _runs_of_size(
                    (low | below) + 1, high, more
                )
            if high & below != below:
                return _runs_of_size(low, (high & ~below) - 1, more) + _runs_of_size(
                    high & ~below, high, more
                )
    return [tuple(zip(encoded(low, more), encoded(high, more), strict=True))]


def encoded(char: int, more: int) -> list[int]:
    """Return the bytes of a character that has `more` after the first; surrogates too."""
    rest = [0x80 | (char >> 6 * i) & 0x3F for i in range(more - 1, -1, -1)]
    return [_LEADS[more] | char >> 6 * more, *rest]
