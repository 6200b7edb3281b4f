"""Deterministic automata over bytes, and how a tree becomes one.

A character is its UTF-8 bytes. Terms are UTF-8, so `AnyString` may be any bytes at all, and any
character whatever a first byte and its length allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.automaton.nfa import Fragments, TooComplexError, check_size
from index.automaton.tree import ANY_CHARACTER, Both, Other, Repeat, Tree
from index.kernels import determinize as kernels

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]

_WORK = 60_000_000
"""What may be spent on one automaton: about a tenth of a second."""
_WORK_OF_ONE = 400_000
"""What making the smallest automaton costs, in the same measure."""
_STATES_OF_A_CHARACTER = 4
"""The limit is one of states between characters; between bytes there are more."""
_MOST_PAIRS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Deterministic:
    """As kernels/determinize.py has it, without states from which no term ends but state 0."""

    table: I32
    class_lows: npt.NDArray[np.uint8]

    @property
    def n_classes(self) -> int:
        return len(self.class_lows)


class Builder:
    """Makes automata within limits that hold for all of one pattern."""

    def __init__(self, max_states: int) -> None:
        self._asked = max_states
        self._max_states = max_states * _STATES_OF_A_CHARACTER
        self._budget = np.array([_WORK], np.int64)
        self._known: dict[int, Deterministic] = {}
        """Of parts that stand for themselves many times over, by identity."""

    def build(self, tree: Tree) -> Deterministic:
        """Raises: TooComplexError."""
        self._spend(_WORK_OF_ONE)
        check_size(tree)
        fragments = Fragments(self._embedded)
        end = fragments.place(tree, fragments.start)
        return self._determinize(fragments, end)

    def _embedded(self, tree: Other | Both) -> Deterministic:
        """Return the automaton of a part that cannot be built of states and steps alone."""
        known = self._known.get(id(tree))
        if known is None:
            known = self._known[id(tree)] = self._made(tree)
        return known

    def _made(self, tree: Other | Both) -> Deterministic:
        if isinstance(tree, Other):
            return self._both(_flipped(self.build(tree.part)), self.build(_CHARACTERS))
        first, *rest = map(self.build, tree.parts)
        for other in rest:
            first = self._both(first, other)
        return first

    def _determinize(self, fragments: Fragments, end: int) -> Deterministic:
        n = fragments.n_states
        n_words = (n + 63) >> 6
        steps, step_starts = _grouped(fragments.steps, 2, n)
        edges, edge_starts = _grouped(fragments.edges, 4, n)
        closures = np.zeros((n, n_words), np.uint64)
        self._spend(kernels.close(steps, step_starts, closures, self._budget[0]))
        ends = np.zeros(n_words, np.uint64)
        ends[end >> 6] = np.uint64(1) << np.uint64(end & 63)
        bounds = np.unique(np.concatenate([[0], edges[:, 1], edges[:, 2] + 1]))
        class_lows = bounds[bounds < 256].astype(np.uint8)
        most = 64
        while True:
            rows = min(most, self._max_states) + 1
            table = np.zeros((rows, len(class_lows) + 1), np.int32)
            found = kernels.determinize(
                edges, edge_starts, closures, ends, classes_of(class_lows), len(class_lows),
                self._budget, np.zeros((rows, n_words), np.uint64),
                np.full(1 << int(2 * rows).bit_length(), -1, np.int64), table,
            )  # fmt: skip
            if found == kernels.TOO_MANY_STATES and most < self._max_states:
                most *= 8
                continue
            if found == kernels.TOO_MANY_STATES:
                raise TooComplexError(f"it needs more than {self._asked} states")
            if found == kernels.TOO_MUCH_WORK:
                raise TooComplexError("it would take too long to build")
            return _pruned(table[:found], class_lows)

    def _spend(self, work: int) -> None:
        if work < 0 or work > self._budget[0]:
            raise TooComplexError("it would take too long to build")
        self._budget[0] -= work

    def _both(self, left: Deterministic, right: Deterministic) -> Deterministic:
        if len(left.table) * len(right.table) > _MOST_PAIRS:
            raise TooComplexError(f"it needs more than {self._asked} states")
        lows = np.union1d(left.class_lows, right.class_lows)
        most = min(self._max_states, len(left.table) * len(right.table)) + 1
        pairs = np.zeros((most, len(lows) + 3), np.int64)
        n = kernels.intersect(
            left.table, classes_of(left.class_lows)[lows],
            right.table, classes_of(right.class_lows)[lows],
            np.zeros((len(left.table), len(right.table)), np.int32), pairs, len(lows),
        )  # fmt: skip
        if n == kernels.TOO_MANY_STATES:
            raise TooComplexError(f"it needs more than {self._asked} states")
        self._spend(n * len(lows))
        return _pruned(pairs[:n, 2:].astype(np.int32), lows)


_CHARACTERS = Repeat(ANY_CHARACTER, 0, None)
"""Every string, but no bytes that end within a character: what `Other` leaves must be none."""


def classes_of(class_lows: npt.NDArray[np.uint8]) -> I64:
    """Return the class of each byte."""
    return np.searchsorted(class_lows, np.arange(256), side="right") - 1


def _grouped(rows: list[tuple[int, ...]], width: int, n_states: int) -> tuple[I64, I64]:
    """Return the rows by their first column, and where each of its values begins."""
    array = np.array(sorted(rows), np.int64).reshape(-1, width)
    return array, np.searchsorted(array[:, 0], np.arange(n_states + 1)).astype(np.int64)


def _flipped(automaton: Deterministic) -> Deterministic:
    """Return what accepts all bytes that this one does not."""
    table = np.vstack([automaton.table, automaton.table[:1]])
    dead = len(table) - 1
    steps = table[:, :-1]
    steps[steps == 0] = dead
    table[:, -1] = 1 - table[:, -1]
    table[0] = 0
    return Deterministic(table, automaton.class_lows)


def _pruned(table: I32, class_lows: npt.NDArray[np.uint8]) -> Deterministic:
    """Return the automaton with the states from which no term ends made one, and neighbouring
    classes that always lead to the same made one."""
    is_living = np.zeros(len(table), np.bool_)
    kernels.mark_living(np.ascontiguousarray(table), is_living)
    is_living[:2] = False, True
    numbers = np.where(is_living, np.cumsum(is_living), 0).astype(np.int32)
    steps = numbers[table[:, :-1]][is_living]
    differs = np.ones(len(class_lows), np.bool_)
    differs[1:] = (steps[:, 1:] != steps[:, :-1]).any(axis=0)
    kept = np.zeros((len(steps) + 1, int(differs.sum()) + 1), np.int32)
    kept[1:, :-1] = steps[:, differs]
    kept[1:, -1] = table[is_living, -1]
    return Deterministic(kept, class_lows[differs])
