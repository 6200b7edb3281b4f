"""Tokens of a query text that stand beside each other: synonyms, and runs of words that one word
stands for.

A token leads from its position to the one `span` further on; what a text can be read as are the
paths through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from index.analysis.analyzer import Token
from index.errors import InvalidQueryError

MAX_PATHS = 256


class Path(NamedTuple):
    """One way to read a part of a text."""

    places: tuple[tuple[int, bytes], ...]
    """(position within the path, term), in order."""
    length: int
    """Positions that the path takes."""


def in_a_row(tokens: Sequence[Token]) -> bool:
    """Return whether every token stands after the one before it, with a span of 1."""
    before = -1
    for token in tokens:
        if token.span != 1 or token.position <= before:
            return False
        before = token.position
    return True


def is_flat(tokens: Sequence[Token]) -> bool:
    """Return whether no token spans more than one position."""
    return all(token.span == 1 for token in tokens)


def segments(tokens: Sequence[Token]) -> list[list[Token]]:
    """Cut the tokens where no token spans; each part is read on its own."""
    found: list[list[Token]] = []
    reach = -1
    for token in sorted(tokens, key=lambda each: each.position):
        if not found or token.position >= reach:
            found.append([])
        found[-1].append(token)
        reach = max(reach, token.position + token.span)
    return found


def paths(segment: Sequence[Token]) -> list[Path]:
    """Return all ways to read a part. Raises: InvalidQueryError if there are too many."""
    begin = segment[0].position
    end = max(token.position + token.span for token in segment)
    at: dict[int, list[Token]] = {}
    for token in segment:
        at.setdefault(token.position, []).append(token)
    found: list[Path] = []
    open_paths: list[tuple[int, Path]] = [(begin, Path((), 0))]
    while open_paths:
        position, path = open_paths.pop()
        if position >= end:
            found.append(path)
            continue
        _check(len(found) + len(open_paths))
        if position not in at:  # a word was taken out
            open_paths.append((position + 1, Path(path.places, path.length + 1)))
        for token in reversed(at.get(position, [])):
            longer = Path((*path.places, (path.length, token.term)), path.length + 1)
            open_paths.append((position + token.span, longer))
    return found


def whole_paths(tokens: Sequence[Token]) -> list[Path]:
    """Return all ways to read a text. Raises: InvalidQueryError if there are too many."""
    found = [Path((), 0)]
    reach: int | None = None
    for segment in segments(tokens):
        gap = 0 if reach is None else segment[0].position - reach
        ways = paths(segment)
        _check(len(found) * len(ways))
        found = [_joined(path, gap, way) for path in found for way in ways]
        reach = max(token.position + token.span for token in segment)
    return found


def _joined(path: Path, gap: int, way: Path) -> Path:
    base = path.length + gap
    moved = tuple((base + place, term) for place, term in way.places)
    return Path((*path.places, *moved), base + way.length)


def _check(n_paths: int) -> None:
    if n_paths > MAX_PATHS:
        raise InvalidQueryError(
            f"a text and its synonyms can be read in more than {MAX_PATHS} ways"
        )
