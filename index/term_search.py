"""Looking for the terms of one field of a dictionary by patterns and by nearness.

What spares reading terms is made when it is first of use, and kept as long as the segment.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from index.automaton.automaton import Automaton
from index.fuzzy import FuzzyPattern
from index.kernels import grams
from index.kernels.automaton_terms import scan_terms
from index.kernels.front_coding import BLOCK_TERMS
from index.kernels.fuzzy_sketches import scan_sketches, sketch_dictionary
from index.kernels.fuzzy_terms import scan_fuzzy
from index.reader import I64, U64

_REMEMBERED = 256
_LARGEST_REMEMBERED = 1024
"""Answers that are kept, and the most terms of one."""
_FEW = 4096
"""Terms that are walked sooner than passed over by their grams."""
_MOST_SKETCHED = 1 << 18
"""Terms of a field that are passed over by sketches."""

Question = tuple[Automaton | FuzzyPattern, int, int, int]
"""What is looked for, the first ordinal, the one behind the last, the most answers."""


class TermSearch:
    """Thread rule: any thread; two that ask at once may at worst make the same thing twice.

    A dictionary never changes and standing queries ask again with every batch, so the last answers
    are kept.
    """

    def __init__(self, row: I64, first_block: int, n_terms: int, longest: int) -> None:
        """`row`: the dictionary's (kernels/front_coding.py); its owner outlives this."""
        self._row = row
        self._first_block = first_block
        self._n_terms = n_terms
        self._longest = longest
        self._known: dict[Question, I64] = {}
        self._grams: U64 | None = None
        self._sketches: U64 | None = None

    def matching(self, automaton: Automaton, first: int, end: int, limit: int) -> I64:
        """Return the ordinals of the accepted terms among first .. end - 1, at most `limit`."""
        return self._answer((automaton, first, end, limit), self._scan_matching)

    def fuzzy(self, pattern: FuzzyPattern, first: int, end: int, limit: int) -> I64:
        """Return (ordinal, edits, characters) of the near terms among first .. end - 1, at most
        `limit`."""
        return self._answer((pattern, first, end, limit), self._scan_fuzzy)

    def _answer(self, question: Question, scan: Callable[..., I64]) -> I64:
        known = self._known.get(question)
        if known is None:
            known = scan(*question)
            if len(known) <= _LARGEST_REMEMBERED:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[question] = known
        return known

    def _scan_matching(self, automaton: Automaton, first: int, end: int, limit: int) -> I64:
        out = np.empty(max(min(limit, end - first), 0), np.int64)
        span = self._row, self._first_block, first, end
        program = automaton.program, automaton.class_of
        if automaton.roams and end - first > _FEW and len(automaton.grams):
            wanted = np.bitwise_and.reduce(self._marked()[automaton.grams])
            n = grams.scan_blocks(*span, wanted, *program, len(automaton.class_lows), out)
        else:
            n = scan_terms(*span, *program, automaton.class_lows, out)
        return out[:n].copy()

    def _scan_fuzzy(self, pattern: FuzzyPattern, first: int, end: int, limit: int) -> I64:
        out = np.empty((max(min(limit, end - first), 0), 3), np.int64)
        span = self._row, self._first_block, first, end
        asked = pattern.characters, pattern.max_edits, pattern.transposes
        path = np.empty(self._longest + 16, np.uint8)
        if pattern.max_edits == 2 and self._n_terms <= _MOST_SKETCHED:
            n = scan_sketches(*span, self._sketched(), pattern.sketch, *asked, path, out)
        else:
            n = scan_fuzzy(*span, *asked, path, out)
        return out[:n].copy()

    def _marked(self) -> U64:
        """Return which blocks have which grams: 8 bytes a term, and as long to make as a few slow
        searches take."""
        marks = self._grams
        if marks is None:
            n_blocks = -(-self._n_terms // BLOCK_TERMS)
            marks = np.zeros((grams.N_KINDS, (n_blocks + 63) // 64), np.uint64)
            grams.mark_grams(self._row, self._first_block, self._n_terms, marks)
            self._grams = marks
        return marks

    def _sketched(self) -> U64:
        """Return the terms' sketches, 8 bytes each."""
        sketches = self._sketches
        if sketches is None:
            sketches = np.empty(self._n_terms, np.uint64)
            path = np.empty(self._longest, np.uint8)
            sketch_dictionary(self._row, self._first_block, path, sketches)
            self._sketches = sketches
        return sketches
