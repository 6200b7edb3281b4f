"""What a pattern says, as a tree of immutable nodes: languages over characters (code points)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

LAST_CHARACTER = 0x10FFFF

Ranges: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Characters:
    """One character out of `ranges`: rising, both ends included, not touching. None: nothing."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class AnyString:
    """Everything, the empty string too."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """The parts one after the other; no parts: the empty string."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of the parts."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The part `least` to `most` times; None: without end."""

    part: Tree
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Both:
    """What all of the parts are."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """Every string but those of the part."""

    part: Tree


Tree: TypeAlias = "Characters | AnyString | Sequence | Choice | Repeat | Both | Other"

NOTHING = Characters(())
ANY_CHARACTER = Characters(((0, LAST_CHARACTER),))
EMPTY = Sequence(())


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in any order as a node has them."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], high)
        else:
            out.append((low, high))
    return tuple(out)


def complement(ranges: Ranges) -> Ranges:
    """Return all other characters."""
    out = []
    at = 0
    for low, high in ranges:
        if at < low:
            out.append((at, low - 1))
        at = high + 1
    if at <= LAST_CHARACTER:
        out.append((at, LAST_CHARACTER))
    return tuple(out)


def character(char: str, *, caseless: bool = False) -> Characters:
    """Return this character alone; `caseless`: also its upper and its lower case, where these are
    one character each."""
    found = {char}
    if caseless:
        found |= {other for other in (char.lower(), char.upper()) if len(other) == 1}
    return Characters(united((ord(each), ord(each)) for each in found))


def text(chars: str, *, caseless: bool = False) -> Sequence:
    return Sequence(tuple(character(char, caseless=caseless) for char in chars))
