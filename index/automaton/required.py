"""What every string of a tree has in it, to pass over terms without walking them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from index.automaton.nfa import encoded
from index.automaton.tree import Both, Characters, Repeat, Sequence, Tree
from index.kernels.grams import BEGIN, END, NONE, number_of, sketch_text

I64 = npt.NDArray[np.int64]

_BREAK = -1
"""Anything may stand here."""


def required_grams(tree: Tree) -> I64:
    """Return the numbers of grams that all strings of the tree have."""
    run = [BEGIN, *_bytes(tree), END]
    pairs = ((first, second, NONE) for first, second in pairwise(run))
    found = {
        number_of(*gram)
        for gram in (*pairs, *zip(run, run[1:], run[2:], strict=False))
        if _BREAK not in gram
    }
    return np.array(sorted(found), np.int64)


def required_sketch(tree: Tree) -> np.uint64:
    """Return the bits of the characters that all strings of the tree have."""
    whole = [byte for byte in _bytes(tree) if byte != _BREAK]
    return np.uint64(sketch_text(np.array(whole, np.uint8)))


def _bytes(tree: Tree) -> Iterator[int]:
    """Yield the bytes that stand in every string, in their order, and breaks between those that
    need not be beside each other. The bytes of a character are together."""
    if isinstance(tree, Sequence):
        for part in tree.parts:
            yield from _bytes(part)
    elif isinstance(tree, Characters) and (char := _single(tree)) is not None:
        more = (char > 0x7F) + (char > 0x7FF) + (char > 0xFFFF)
        yield from encoded(char, more)
    elif isinstance(tree, Repeat) and tree.least > 0:
        yield from _bytes(tree.part)
        if tree.least > 1 or tree.most != 1:
            yield _BREAK
    elif isinstance(tree, Both):
        yield _BREAK
        for part in tree.parts:
            yield from _bytes(part)
            yield _BREAK
    else:
        yield _BREAK


def _single(tree: Characters) -> int | None:
    """Return the character, of an ASCII letter in both cases the small one, or None."""
    ones = [low for low, high in tree.ranges if low == high]
    if len(ones) != len(tree.ranges):
        return None
    if len(ones) == 1:
        return ones[0]
    if len(ones) == 2 and 65 <= ones[0] <= 90 and ones[1] == ones[0] + 32:
        return ones[1]
    return None
