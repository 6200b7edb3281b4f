"""What a fuzzy query looks for in a dictionary: the terms at most some edits away from its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.kernels.fuzzy import MARGIN, PADDING, count_edits
from index.kernels.grams import sketch_text

I64 = npt.NDArray[np.int64]

_CHARACTER = re.compile(rb"[\xc0-\xdf].?|[\xe0-\xef].{0,2}|[\xf0-\xff].{0,3}|.", re.DOTALL)


class FuzzyTerms(NamedTuple):
    """The terms of one reader that are near enough."""

    ids: I64
    edits: I64
    lengths: I64
    """Of the terms, in characters."""


@dataclass(frozen=True, slots=True)
class FuzzyPattern:
    """A term, and how far others may be from it. Thread rule: any thread."""

    term: bytes
    n_characters: int
    characters: I64 = field(compare=False, repr=False)
    """As kernels/fuzzy.py has them."""
    max_edits: int
    """1 or 2."""
    prefix: bytes
    """All terms must start so."""
    sketch: np.uint64 = field(compare=False, repr=False)
    """Of the term (kernels/grams.py)."""
    transposes: bool
    """Whether swapping two neighbouring characters is one edit, else it is two."""

    @classmethod
    def of(
        cls, term: bytes, max_edits: int, prefix_length: int = 0, *, transposes: bool = True
    ) -> FuzzyPattern:
        """`prefix_length`: how many of the first characters must be the same."""
        split = _CHARACTER.findall(term)
        behind = PADDING - MARGIN
        characters = np.array(
            [*(-1,) * MARGIN, *map(int.from_bytes, split), *(-1,) * behind], np.int64
        )
        prefix = b"".join(split[:prefix_length])
        sketch = np.uint64(sketch_text(np.frombuffer(bytearray(term), np.uint8)))
        return cls(term, len(split), characters, max_edits, prefix, sketch, transposes)

    def accepts(self, term: bytes) -> bool:
        return term.startswith(self.prefix) and self.edits(term) <= self.max_edits

    def edits(self, term: bytes) -> int:
        """Return the edits between the two, `max_edits` + 1 where they are more."""
        text = np.frombuffer(bytearray(term), np.uint8)
        return int(count_edits(text, self.characters, self.max_edits, self.transposes))


def split_found(found: I64) -> FuzzyTerms:
    """Return the columns that the scanning kernels wrote."""
    return FuzzyTerms(found[:, 0], found[:, 1], found[:, 2])
