"""A word on its way from a text to a term, which filters change as it passes."""

from __future__ import annotations

from collections.abc import Iterable

WORD = "word"


class Word:
    """Filters may change a word that they are given, or return others for it."""

    __slots__ = ("end", "increment", "is_protected", "kind", "span", "start", "text")

    def __init__(
        self, text: str | None, start: int, end: int, increment: int = 1, kind: str = WORD
    ) -> None:
        self.text = text
        """None: taken out; its position stays."""
        self.start = start
        """First character in the text."""
        self.end = end
        self.increment = increment
        """Positions from the word before; 0: at the same."""
        self.kind = kind
        """What `_analyze` shows as `type`."""
        self.span = 1
        """Positions that it covers: more than 1 for the short side of a synonym."""
        self.is_protected = False
        """Stemmers leave it alone."""

    def __repr__(self) -> str:
        return f"Word({self.text!r}, {self.start}, {self.end}, +{self.increment})"

    def with_text(self, text: str, increment: int) -> Word:
        """Return another word at the same place of the text."""
        other = Word(text, self.start, self.end, increment, self.kind)
        other.is_protected = self.is_protected
        return other


def present(words: Iterable[Word]) -> list[tuple[Word, int]]:
    """Return the words that were not taken out, with their positions."""
    found, position = [], -1
    for word in words:
        position += word.increment
        if word.text is not None:
            found.append((word, position))
    return found


def n_positions(words: Iterable[Word]) -> int:
    return sum(word.increment for word in words)
