"""Fuzzy queries: how many edits are asked, and which terms of the dictionary stand for the word.

The terms are chosen over the whole searcher and among those that a live document has, so that
the choice changes with neither flushes nor merges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from index.fuzzy import FuzzyPattern, FuzzyTerms
from index.query.leaves import UNLIMITED
from index.query.statistics import Statistics
from index.reader import F64, I64, Reader

_AUTO = re.compile(r"AUTO(?::(\d{1,9}),(\d{1,9}))?")
_EDITS = re.compile(r"([012])(?:\.0)?")
_MOST_TERMS = 1024
"""However many expansions are asked."""
_SHORTEST, _FARTHEST = 1e-9, 1e6
"""An empty term or word is farther from the other than any that has characters."""


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
    found: list[tuple[Reader, I64, F64]] = []
    for view in statistics.views:
        if field_no in view.reader.field_nos:
            terms = view.reader.fuzzy_terms(field_no, pattern, UNLIMITED)
            if len(terms.ids):
                found.append((view.reader, terms.ids, _distances(pattern, terms)))
    chosen: list[Expansion] = []
    # What is equally close is so in every view, and seldom must more than the closest be read.
    for low, high in _bands([distances for _, _, distances in found], limit):
        near: dict[bytes, float] = {}
        for reader, ids, distances in found:
            here = (distances > low) & (distances <= high)
            names = reader.term_names(ids[here], field_no)
            near.update(zip(names, distances[here].tolist(), strict=True))
        ordered = sorted(near, key=lambda term: (near[term], term))
        for first in range(0, len(ordered), limit):
            some = ordered[first : first + limit]
            for term, stats in zip(some, statistics.terms(field_no, some), strict=True):
                if stats.doc_freq > 0:
                    closeness = max(1.0 - near[term], 0.0)
                    chosen.append(Expansion(term, stats.doc_freq, closeness))
            if len(chosen) >= limit:
                return chosen[:limit]
    return chosen


def _distances(pattern: FuzzyPattern, terms: FuzzyTerms) -> F64:
    """Return edits / length of the shorter one, at most `_FARTHEST`."""
    shorter = np.minimum(terms.lengths, pattern.n_characters)
    distances: F64 = np.minimum(terms.edits / np.maximum(shorter, _SHORTEST), _FARTHEST)
    return distances


def _bands(distances: list[F64], limit: int) -> Iterator[tuple[float, float]]:
    """Yield (above, up to) for ever greater distances, each time for about `limit` terms or all
    that are equally far."""
    ordered = np.sort(np.concatenate(distances)) if distances else np.empty(0)
    low, at = -1.0, 0
    while at < len(ordered):
        high = float(ordered[min(at + limit, len(ordered)) - 1])
        yield low, high
        low, at = high, int(np.searchsorted(ordered, high, side="right"))
