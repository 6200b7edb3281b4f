r"""Lucene's regular expressions, read into a tree.

  union       intersection | union
  intersection  sequence & intersection                      INTERSECTION
  sequence    repeated sequence
  repeated    other ? * + {n} {n,} {n,m}
  other       ~ other                                        COMPLEMENT
  simple      character  .  [..]  [^..]  "text"  (union)  ()  \d \D \s \S \w \W
              #  nothing                                     EMPTY
              @  any string                                  ANYSTRING
              <n-m>  a number, digits as many as n and m have if these are as many  INTERVAL

All of a term must match; there are no anchors. Where an operator cannot be one, it stands for
itself, as in Lucene: in `a||b` the second bar is a character.
"""

from __future__ import annotations

import re
from enum import Flag

from index.automaton.intervals import read_interval
from index.automaton.tree import (
    ANY_CHARACTER,
    EMPTY,
    NOTHING,
    AnyString,
    Both,
    Characters,
    Choice,
    Other,
    Repeat,
    Sequence,
    Tree,
    character,
    complement,
    text,
    united,
)
from index.errors import InvalidQueryError

MAX_LENGTH = 1000
"""Characters of a pattern, as OpenSearch's index.max_regex_length."""
MAX_DEPTH = 50
"""Brackets and complements within each other."""

_DIGITS = re.compile(r"[0-9]*")
_INTERVAL = re.compile(r"([0-9]+)-([0-9]+)")
_CLASSES = {
    "d": ((48, 57),),
    "s": ((9, 10), (13, 13), (32, 32)),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
}


class Syntax(Flag):
    """Which of the optional operators a pattern may use."""

    NONE = 0
    INTERSECTION = 1
    COMPLEMENT = 2
    EMPTY = 4
    ANYSTRING = 8
    AUTOMATON = 16
    INTERVAL = 32
    ALL = 63


def read_syntax(names: str) -> Syntax | None:
    """Return what `INTERSECTION|COMPLEMENT` and the like mean, None for an unknown name."""
    syntax = Syntax.NONE
    for name in names.upper().split("|"):
        found = Syntax.__members__.get(name.strip())
        if found is None:
            return None
        syntax |= found
    return syntax


def read_regexp(pattern: str, *, syntax: Syntax = Syntax.ALL, caseless: bool = False) -> Tree:
    """Raises: InvalidQueryError naming the place, counted in characters from 0."""
    if len(pattern) > MAX_LENGTH:
        raise InvalidQueryError(
            f"regexp may have {MAX_LENGTH} characters at most but has {len(pattern)}"
        )
    if not pattern:
        return EMPTY
    parser = _Parser(pattern, syntax, caseless)
    tree = parser.union(0)
    if parser.at < len(pattern):
        raise parser.error(f"unexpected [{shown(pattern[parser.at])}]")
    return tree


def shown(pattern: str) -> str:
    """Return a pattern as messages show it."""
    begin = pattern if len(pattern) <= 50 else pattern[:50] + ".."
    return begin.encode("utf-8", "replace").decode()


class _Parser:
    def __init__(self, pattern: str, syntax: Syntax, caseless: bool) -> None:
        self._pattern = pattern
        self._syntax = syntax
        self._caseless = caseless
        self.at = 0

    def error(self, reason: str, at: int | None = None) -> InvalidQueryError:
        place = self.at if at is None else at
        return InvalidQueryError(
            f"cannot parse regexp [{shown(self._pattern)}] at character {place}: {reason}"
        )

    # --- characters ----------------------------------------------------------------------
    def _peek(self) -> str:
        return self._pattern[self.at] if self.at < len(self._pattern) else ""

    def _accept(self, char: str) -> bool:
        if self._peek() == char:
            self.at += 1
            return True
        return False

    def _accept_if(self, needed: Syntax, char: str) -> bool:
        return bool(self._syntax & needed) and self._accept(char)

    def _next(self) -> str:
        if self.at == len(self._pattern):
            raise self.error("the pattern ends too soon")
        self.at += 1
        return self._pattern[self.at - 1]

    def _expect(self, char: str) -> None:
        if not self._accept(char):
            raise self.error(f"expected [{char}]")

    # --- grammar -------------------------------------------------------------------------
    def union(self, depth: int) -> Tree:
        if depth > MAX_DEPTH:
            raise self.error(f"may be nested {MAX_DEPTH} deep at most")
        parts = [self._intersection(depth)]
        while self._accept("|"):
            parts.append(self._intersection(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _intersection(self, depth: int) -> Tree:
        parts = [self._sequence(depth)]
        while self._accept_if(Syntax.INTERSECTION, "&"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _sequence(self, depth: int) -> Tree:
        ends = ")|&" if self._syntax & Syntax.INTERSECTION else ")|"
        parts = [self._repeated(depth)]
        while self._peek() and self._peek() not in ends:
            parts.append(self._repeated(depth))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, depth: int) -> Tree:
        part = self._other(depth)
        while self._peek() and self._peek() in "?*+{":
            sign = self._next()
            if sign == "{":
                part = Repeat(part, *self._counts())
            else:
                least, most = {"?": (0, 1), "*": (0, None), "+": (1, None)}[sign]
                part = Repeat(part, least, most)
            depth += 1
            if depth > MAX_DEPTH:
                raise self.error(f"may be nested {MAX_DEPTH} deep at most")
        return part

    def _counts(self) -> tuple[int, int | None]:
        """Read what follows an opening brace."""
        begin = self.at
        least = self._number()
        if least is None:
            raise self.error("expected a number")
        most: int | None = least
        if self._accept(","):
            most = self._number()
        self._expect("}")
        if most is not None and most < least:
            raise self.error(f"the repetition ends at {most}, before it begins at {least}", begin)
        return least, most

    def _number(self) -> int | None:
        match = _DIGITS.match(self._pattern, self.at)
        if match is None or not match[0]:
            return None
        if len(match[0]) > 9:
            raise self.error("the number has more than 9 digits")
        self.at = match.end()
        return int(match[0])

    def _other(self, depth: int) -> Tree:
        if self._accept_if(Syntax.COMPLEMENT, "~"):
            if depth > MAX_DEPTH:
                raise self.error(f"may be nested {MAX_DEPTH} deep at most")
            return Other(self._other(depth + 1))
        return self._class() if self._accept("[") else self._simple(depth)

    def _class(self) -> Tree:
        """Read what follows an opening square bracket."""
        is_negated = self._accept("^")
        ranges = [*self._class_part()]
        while self._peek() not in ("", "]"):
            ranges += self._class_part()
        self._expect("]")
        found = united(ranges)
        return Characters(complement(found) if is_negated else found)

    def _class_part(self) -> tuple[tuple[int, int], ...]:
        named = self._named_class()
        if named is not None:
            return named.ranges
        begin = self.at
        low = self._character()
        if not self._accept("-"):
            return character(low, caseless=self._caseless).ranges
        high = self._character()
        if high < low:
            raise self.error(
                f"the range ends at [{shown(high)}], before it begins at [{shown(low)}]", begin
            )
        span = ((ord(low), ord(high)),)
        return united((*span, *_cases(low, high))) if self._caseless else span

    def _named_class(self) -> Characters | None:
        r"""Accept `\d` and the like."""
        if self._peek() != "\\" or self.at + 1 == len(self._pattern):
            return None
        letter = self._pattern[self.at + 1]
        ranges = _CLASSES.get(letter.lower())
        if ranges is None:
            return None
        self.at += 2
        return Characters(ranges if letter.islower() else complement(ranges))

    def _simple(self, depth: int) -> Tree:
        if self._accept("."):
            return ANY_CHARACTER
        if self._accept_if(Syntax.EMPTY, "#"):
            return NOTHING
        if self._accept_if(Syntax.ANYSTRING, "@"):
            return AnyString()
        if self._accept('"'):
            end = self._pattern.find('"', self.at)
            if end < 0:
                raise self.error('a ["] is missing')
            quoted, self.at = self._pattern[self.at : end], end + 1
            return text(quoted, caseless=self._caseless)
        if self._accept("("):
            if self._accept(")"):
                return EMPTY
            tree = self.union(depth + 1)
            self._expect(")")
            return tree
        if self._accept_if(Syntax.AUTOMATON | Syntax.INTERVAL, "<"):
            return self._interval()
        named = self._named_class()
        return character(self._character(), caseless=self._caseless) if named is None else named

    def _character(self) -> str:
        self._accept("\\")
        return self._next()

    def _interval(self) -> Tree:
        begin = self.at
        end = self._pattern.find(">", begin)
        if end < 0:
            raise self.error("a [>] is missing")
        self.at = end + 1
        match = _INTERVAL.fullmatch(self._pattern[begin:end])
        if match is None or not self._syntax & Syntax.INTERVAL:
            raise self.error("expected numbers as in <1-100>", begin)
        if max(len(match[1]), len(match[2])) > 9:
            raise self.error("the number has more than 9 digits", begin)
        return read_interval(match[1], match[2])


def _cases(low: str, high: str) -> tuple[tuple[int, int], ...]:
    """Return the other cases of the ASCII letters of a range."""
    chars = range(max(ord(low), 65), min(ord(high), 122) + 1)
    return tuple((ord(c), ord(c)) for c in map(str.swapcase, map(chr, chars)) if c.isalpha())
