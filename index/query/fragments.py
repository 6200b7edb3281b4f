"""Cutting a text into the fragments that show its marks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from index.query.marks import Mark
from index.query.request import HighlightField

_SENTENCE_END = re.compile(r"""[.!?…]+["'”’)\]]*\s+|[。！？]+|\n\s*\n""")
_MARGIN = 6
"""Characters of context before the first mark where fragments begin anywhere."""


class Fragment(NamedTuple):
    start: int
    end: int
    marks: Sequence[Mark]

    @property
    def score(self) -> tuple[int, int]:
        """More different words first, then more of them."""
        return len({mark.term for mark in self.marks}), len(self.marks)


def cut(text: str, marks: Sequence[Mark], wanted: HighlightField) -> list[Fragment]:
    """Return the fragments that hold marks, in the order of the text. Requires: marks."""
    if wanted.number_of_fragments == 0 or wanted.fragment_size == 0:
        return [Fragment(0, len(text), marks)]
    if wanted.boundary == "pieces":
        spans = _pieces(text, marks, wanted.fragment_size)
    elif wanted.boundary == "sentence":
        spans = _sentences(text, marks, wanted.fragment_size)
    else:
        spans = _windows(text, marks, wanted)
    starts = [mark.start for mark in marks]
    found = []
    for start, end in spans:
        own = marks[bisect_left(starts, start) : bisect_left(starts, end)]
        if own:
            found.append(Fragment(start, max(end, own[-1].end), own))
    return found


def _sentences(text: str, marks: Sequence[Mark], size: int) -> list[tuple[int, int]]:
    """Return spans of whole sentences, as many as fit; a longer one is cut between words."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if not ends or ends[-1] < len(text):
        ends.append(len(text))
    spans = []
    done = 0
    for mark in marks:
        if mark.start < done:
            continue
        at = bisect_right(ends, mark.start)
        start = max(done, ends[at - 1] if at else 0)
        if mark.end - start > size:
            start = max(start, _word_start(text, mark.start - size // 2, mark.start))
        end = ends[at]
        if end - start > size:
            end = _word_end(text, mark.end, max(start + size, mark.end), end)
        else:
            while at + 1 < len(ends) and ends[at + 1] - start <= size:
                at += 1
                end = ends[at]
        spans.append((start, end))
        done = end
    return spans


def _windows(text: str, marks: Sequence[Mark], wanted: HighlightField) -> list[tuple[int, int]]:
    """Return spans that begin just before a mark, moved to a boundary that is near."""
    is_chars = wanted.boundary == "chars"
    chars = wanted.boundary_chars if is_chars else " \t\n"
    scan = wanted.boundary_max_scan if is_chars else wanted.fragment_size
    spans = []
    done = 0
    for mark in marks:
        if mark.start < done:
            continue
        start = max(done, mark.start - _MARGIN)
        near = [text.rfind(char, max(done, start - scan), start) for char in chars]
        start = max(max(near) + 1, done) if max(near) >= 0 else (done if start <= scan else start)
        end = max(min(start + wanted.fragment_size, len(text)), mark.end)
        after = [at for char in chars if (at := text.find(char, end, end + scan)) >= 0]
        end = min(after) if after else (len(text) if end + scan >= len(text) else end)
        spans.append((start, end))
        done = end
    return spans


def _pieces(text: str, marks: Sequence[Mark], size: int) -> list[tuple[int, int]]:
    """Return pieces of about one size, cut between words whether there are marks or not."""
    spans = []
    start = 0
    while start < len(text):
        end = _word_end(text, start, start + size, len(text))
        if len(text) - end < size // 2:
            end = len(text)
        spans.append((start, end))
        start = end
    return spans


def _word_start(text: str, at: int, limit: int) -> int:
    """Return the first beginning of a word from `at` on, at most `limit`."""
    if at <= 0:
        return 0
    found = re.compile(r"\s\S").search(text, at - 1, limit)
    return limit if found is None else found.start() + 1


def _word_end(text: str, start: int, at: int, limit: int) -> int:
    """Return the last gap between words in `start` .. `at`, where there is none `at`; at most
    `limit`."""
    if at >= limit:
        return limit
    gap = max(text.rfind(" ", start, at + 1), text.rfind("\n", start, at + 1))
    return gap if gap > start else at


def first_part(text: str, size: int) -> str:
    """Return the beginning of a text, whole words of at most `size` characters."""
    if len(text) <= size:
        return text
    end = _word_end(text, 0, size, len(text))
    return text[:end].rstrip()
