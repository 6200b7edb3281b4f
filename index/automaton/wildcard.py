"""The plain patterns: wildcards, prefixes and words, as trees."""

from __future__ import annotations

from index.automaton.tree import ANY_CHARACTER, AnyString, Sequence, Tree, character, text


def read_wildcard(pattern: str, *, caseless: bool = False) -> Tree:
    """Read a pattern of `*`, any run of characters, `?`, any one, and characters; a backslash
    takes the next one as it is, and at the very end stands for itself."""
    parts: list[Tree] = []
    chars = iter(pattern)
    for char in chars:
        if char == "*":
            if not parts or not isinstance(parts[-1], AnyString):
                parts.append(AnyString())
        elif char == "?":
            parts.append(ANY_CHARACTER)
        else:
            literal = next(chars, char) if char == "\\" else char
            parts.append(character(literal, caseless=caseless))
    return Sequence(tuple(parts))


def read_prefix(prefix: str, *, caseless: bool = False) -> Tree:
    """Return what begins so."""
    return Sequence((*text(prefix, caseless=caseless).parts, AnyString()))
