"""A pattern ready to be looked for: the program that kernels run, and what spares them running it.

Thread rule: immutable; any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from index.automaton.deterministic import Builder, classes_of
from index.automaton.nfa import TooComplexError
from index.automaton.regexp import Syntax, read_regexp, shown
from index.automaton.required import required_grams, required_sketch
from index.automaton.tree import Tree, text
from index.automaton.wildcard import read_prefix, read_wildcard
from index.errors import InvalidQueryError
from index.kernels import automaton_terms as kernels

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

MAX_STATES = 10_000
"""What OpenSearch's max_determinized_states is where nothing is asked, and the most there are."""
_MAX_PREFIX = 64
_WIDE = 100
"""A state that goes on with so many bytes goes on with nearly any."""
_REMEMBERED = 256
_LARGEST_REMEMBERED = 1 << 16
"""Automata that are kept, and the most places of one's program."""

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Automaton:
    """Equal where the patterns are."""

    key: Key
    program: I32 = field(compare=False, repr=False)
    """As kernels/automaton_terms.py has it."""
    class_of: U8 = field(compare=False, repr=False)
    class_lows: U8 = field(compare=False, repr=False)
    prefix: bytes = field(compare=False)
    """What all terms that it accepts begin with."""
    is_prefix: bool = field(compare=False)
    """Whether it accepts all that begins so."""
    roams: bool = field(compare=False)
    """Whether nearly any bytes, as many as there are, may stand at the beginning."""
    grams: I64 = field(compare=False, repr=False)
    """Numbers of grams (kernels/grams.py) that all terms have that it accepts."""
    sketch: np.uint64 = field(compare=False, repr=False)
    """Bits of characters that all of them have."""

    @property
    def is_nothing(self) -> bool:
        return len(self.program) <= 2 * (len(self.class_lows) + 1) and not self.program.any()

    def accepts(self, term: bytes) -> bool:
        found: bool = kernels.accepts(
            np.frombuffer(bytearray(term), np.uint8),
            self.program,
            self.class_of,
            len(self.class_lows),
        )
        return found


def regexp(
    pattern: str,
    *,
    syntax: Syntax = Syntax.ALL,
    caseless: bool = False,
    max_states: int = MAX_STATES,
) -> Automaton:
    """Raises: InvalidQueryError for a pattern that is none, or that needs too many states."""
    return _remembered(
        ("regexp", pattern, syntax, caseless, max_states),
        lambda: read_regexp(pattern, syntax=syntax, caseless=caseless),
        pattern,
        min(max_states, MAX_STATES),
    )


def wildcard(pattern: str, *, caseless: bool = False) -> Automaton:
    """Raises: InvalidQueryError for a pattern that needs too many states."""
    key = ("wildcard", pattern, caseless)
    return _remembered(key, lambda: read_wildcard(pattern, caseless=caseless), pattern)


def prefix(value: str, *, caseless: bool = False) -> Automaton:
    key = ("prefix", value, caseless)
    return _remembered(key, lambda: read_prefix(value, caseless=caseless), value)


def word(value: str, *, caseless: bool = False) -> Automaton:
    return _remembered(("word", value, caseless), lambda: text(value, caseless=caseless), value)


_known: dict[Key, Automaton] = {}


def _remembered(
    key: Key, read: Callable[[], Tree], pattern: str, max_states: int = MAX_STATES
) -> Automaton:
    """Build an automaton once: standing queries ask with every batch, and every view does."""
    known = _known.get(key)
    if known is None:
        known = _build(key, read(), pattern, max_states)
        if len(known.program) <= _LARGEST_REMEMBERED:
            if len(_known) >= _REMEMBERED:
                _known.clear()
            _known[key] = known
    return known


def _build(key: Key, tree: Tree, pattern: str, max_states: int) -> Automaton:
    try:
        built = Builder(max_states).build(tree)
    except TooComplexError as error:
        raise InvalidQueryError(f"pattern [{shown(pattern)}] is too complex: {error}") from None
    prefix, is_prefix = _common_prefix(built.table, built.class_lows)
    width = built.n_classes + 1
    program = built.table * np.int32(width)
    program[:, -1] = built.table[:, -1]
    return Automaton(
        key,
        np.ascontiguousarray(program.ravel()),
        classes_of(built.class_lows).astype(np.uint8),
        built.class_lows,
        prefix,
        is_prefix,
        _roams(built.table, built.class_lows),
        required_grams(tree),
        required_sketch(tree),
    )


def _common_prefix(table: I32, class_lows: U8) -> tuple[bytes, bool]:
    """Return the bytes that all accepted terms begin with, and whether all that do are accepted."""
    highs = np.append(class_lows[1:].astype(np.int64) - 1, 255)
    prefix = bytearray()
    state = 1
    while len(prefix) < _MAX_PREFIX:
        ways = np.flatnonzero(table[state, :-1])
        if table[state, -1]:
            loops = table[state, :-1] == state
            return bytes(prefix), bool(loops.all())
        if len(ways) != 1 or class_lows[ways[0]] != highs[ways[0]]:
            break
        prefix.append(int(class_lows[ways[0]]))
        state = int(table[state, ways[0]])
    return bytes(prefix), False


def _roams(table: I32, class_lows: U8) -> bool:
    """Return whether a way along wide states alone comes back to itself."""
    sizes = np.diff(np.append(class_lows.astype(np.int64), 256))
    is_wide = (table[:, :-1] != 0) @ sizes >= _WIDE
    seen: set[int] = set()
    open_ = [1]
    while open_ and len(seen) <= _WIDE:
        state = open_.pop()
        if is_wide[state] and state not in seen:
            seen.add(state)
            open_ += set(table[state, :-1].tolist()) - seen
    while seen:
        kept = {state for state in seen if not seen.isdisjoint(table[state, :-1].tolist())}
        if len(kept) == len(seen):
            return True
        seen = kept
    return False
