"""Regular expressions as settings have them, in Java's notation, for Python's `re`."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import groupby

FLAGS = {
    "CASE_INSENSITIVE": re.IGNORECASE,
    "MULTILINE": re.MULTILINE,
    "DOTALL": re.DOTALL,
    "COMMENTS": re.VERBOSE,
    "UNICODE_CASE": re.UNICODE,
    "UNICODE_CHARACTER_CLASS": re.UNICODE,
}
_POSIX = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x00-\x7f",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Cntrl": r"\x00-\x1f\x7f",
    "XDigit": "0-9a-fA-F",
    "Space": r" \t\n\x0b\f\r",
}
_ALIASES = {"IsAlphabetic": "L", "IsDigit": "Nd", "IsPunctuation": "P", "IsLetter": "L"}
_CODES = 0x110000


def as_python(pattern: str) -> str:
    """Return the same for `re`.

    Raises: re.error for what it has no like of, and for a repetition within a repetition: that
    can take longer than anyone lives.
    """
    out: list[str] = []
    at, depth = 0, 0
    groups = Groups()
    while at < len(pattern):
        step = 2 if pattern[at] == "\\" else 1
        part = pattern[at : at + step]
        if part in (r"\p", r"\P"):
            match = re.compile(r"\{(\w+)\}|(\w)").match(pattern, at + 2)
            if match is None:
                raise re.error(f"[{part}] needs the name of a class")
            inside = _members(match[1] or match[2], is_negated=part == r"\P")
            out.append(inside if depth else f"[{inside}]")
            at = match.end()
            continue
        if part == "[":
            if depth:
                raise re.error("a class within a class is not supported")
            depth = 1
            # a bracket that comes first stands for itself
            head = re.compile(r"\[\^?\]?").match(pattern, at)
            assert head is not None
            part = head[0]
        elif part == "]":
            depth = 0
        elif depth and pattern[at : at + 2] == "&&":
            raise re.error("[&&] is not supported")
        if not depth and part != "]":
            groups.take(pattern, at, part)
        out.append(part)
        at += len(part)
    return "".join(out)


_ENDLESS = re.compile(r"(?:[*+]|\{\d*,\})(\+?)")


class Groups:
    """Which of the groups that are open repeat something without end, and can give it back."""

    def __init__(self) -> None:
        self._repeats = [False]
        self._is_atomic = [False]
        self._possessive_end = -1

    def take(self, pattern: str, at: int, part: str) -> None:
        """Look at the next part. Raises: re.error."""
        if part == "(":
            self._repeats.append(False)
            self._is_atomic.append(pattern.startswith("(?>", at))
        elif part == ")" and len(self._repeats) > 1:
            is_atomic = self._is_atomic.pop()
            repeats = self._repeats.pop() and not is_atomic
            after = _ENDLESS.match(pattern, at + 1)
            if repeats and after is not None and not after[1]:
                raise re.error("a repetition within a repetition is not supported")
            self._repeats[-1] = self._repeats[-1] or repeats
        elif part in ("*", "+", "{") and at != self._possessive_end:
            match = _ENDLESS.match(pattern, at)
            if match is not None and match[1]:
                self._possessive_end = match.end() - 1
            elif match is not None:
                self._repeats[-1] = True


@cache
def _members(name: str, *, is_negated: bool) -> str:
    """Return what stands in brackets for the characters of a class."""
    if name in _POSIX and not is_negated:
        return _POSIX[name]
    if name in _POSIX:
        test = re.compile(f"[{_POSIX[name]}]").match
        belongs = [test(chr(code)) is None for code in range(_CODES)]
    else:
        category = _ALIASES.get(name, name.removeprefix("Is"))
        if not re.fullmatch("[CLMNPSZ][a-z]?", category):
            raise re.error(f"class [{name}] is not supported")
        belongs = [
            unicodedata.category(chr(code)).startswith(category) != is_negated
            for code in range(_CODES)
        ]
    ranges, at = [], 0
    for is_in, group in groupby(belongs):
        size = sum(1 for _ in group)
        if is_in:
            ranges.append(f"\\U{at:08x}-\\U{at + size - 1:08x}")
        at += size
    if not ranges:
        raise re.error(f"class [{name}] is empty")
    return "".join(ranges)
