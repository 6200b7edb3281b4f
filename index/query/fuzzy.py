"""Fuzzy queries: how many edits are asked, and which terms of the dictionary stand for the word.

The terms are chosen over the whole searcher and among those that a live document has, so that
the choice changes with neither flushes nor merges.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.fuzzy import FuzzyPattern, FuzzyTerms
from index.query.leaves import UNLIMITED
from index.query.statistics import Statistics
from index.reader import I64

_AUTO = re.compile(r"AUTO(?::(\d{1,9}),(\d{1,9}))?")
_EDITS = re.compile(r"([012])(?:\.0)?")
_MOST_TERMS = 1024
"""However many expansions are asked."""


class Expansion(NamedTuple):
    term: bytes
    doc_freq: int
    """Live documents with the term."""
    closeness: float
    """1 for the word itself, less the more edits a character; never below 0."""


def read_fuzziness(text: str) -> str | None:
    """Return `0`, `1`, `2`, `AUTO` or `AUTO:low,high` as it is kept, None for anything else."""
    word = text.upper().replace(" ", "")
    edits = _EDITS.fullmatch(word)
    if edits is not None:
        return edits[1]
    auto = _AUTO.fullmatch(word)
    if auto is None or (auto[1] is not None and int(auto[1]) > int(auto[2])):
        return None
    return word


def max_edits(fuzziness: str, text: str) -> int:
    """Return how many edits are allowed to a word of this many characters.

    Requires: what `read_fuzziness` gave.
    """
    auto = _AUTO.fullmatch(fuzziness)
    if auto is None:
        return int(fuzziness)
    low, high = (3, 6) if auto[1] is None else (int(auto[1]), int(auto[2]))
    return (len(text) >= low) + (len(text) >= high)


def expand(
    statistics: Statistics, field_no: int, pattern: FuzzyPattern, limit: int
) -> list[Expansion]:
    """Return at most `limit` terms, the closest; of equally close ones the first in byte order."""
    limit = min(limit, _MOST_TERMS)
    found: list[tuple[int, I64, npt.NDArray[np.float64]]] = []
    for view_no, view in enumerate(statistics.views):
        if field_no in view.reader.field_nos:
            terms = view.reader.fuzzy_terms(field_no, pattern, UNLIMITED)
            if len(terms.ids):
                found.append((view_no, terms.ids, _closeness(pattern, terms)))
    if not found:
        return []
    chosen: list[Expansion] = []
    # What is equally close is so in every view, and seldom must more than the closest be read.
    for level in np.unique(np.concatenate([own for _, _, own in found]))[::-1].tolist():
        level_ids = {view_no: ids[own == level] for view_no, ids, own in found}
        for term, stats in sorted(statistics.know_terms(field_no, level_ids).items()):
            if stats.doc_freq > 0:
                chosen.append(Expansion(term, stats.doc_freq, max(level, 0.0)))
                if len(chosen) == limit:
                    return chosen
    return chosen


def _closeness(pattern: FuzzyPattern, terms: FuzzyTerms) -> npt.NDArray[np.float64]:
    """Return 1 - edits / length of the shorter one, which may be below 0."""
    shorter = np.minimum(terms.lengths, pattern.n_characters)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(terms.edits == 0, 1.0, 1.0 - terms.edits / shorter)
