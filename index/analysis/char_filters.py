"""Character filters: a text made another before it is cut into words, with the way back.

A filter keeps for each new character where in the original it comes from, so that what is
found in the new text is marked in the original.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple


class Filtered(NamedTuple):
    text: str
    starts: list[int]
    """Where in the original the characters of `text` begin."""
    ends: list[int]
    """Where they end."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original text[start:end] comes from. Requires: start <= end."""
        if start == end:
            at = self.starts[start] if start < len(self.starts) else (self.ends or [0])[-1]
            return at, at
        return self.starts[start], self.ends[end - 1]


class Edit(NamedTuple):
    """Text put for a part of another."""

    start: int
    end: int
    new: str


CharFilter = Callable[[str], Iterable[Edit]]
"""Returns the edits to a text; their parts rise and do not overlap."""


def unfiltered(text: str) -> Filtered:
    return Filtered(text, list(range(len(text))), list(range(1, len(text) + 1)))


def edited(text: str, change: CharFilter) -> str:
    """Return a text as the filter makes it, without the way back."""
    parts: list[str] = []
    at = 0
    for start, end, new in change(text):
        parts += (text[at:start], new)
        at = end
    return "".join((*parts, text[at:])) if at or parts else text


def filtered(source: Filtered, change: CharFilter) -> Filtered:
    """Return what the filter makes of a text that others may have changed before."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for start, end, new in change(source.text):
        parts += (source.text[at:start], new)
        starts += source.starts[at:start]
        ends += source.ends[at:start]
        begin, stop = source.span(start, end)
        as_long = end - start == len(new)
        starts += source.starts[start:end] if as_long else [begin] * len(new)
        ends += source.ends[start:end] if as_long else [stop] * len(new)
        at = end
    parts.append(source.text[at:])
    starts += source.starts[at:]
    ends += source.ends[at:]
    return Filtered("".join(parts), starts, ends)


def mapping(rules: dict[str, str]) -> CharFilter:
    """Put text for text: of several that fit at a place, the longest."""
    lengths: dict[str, list[int]] = {}
    for key in sorted(rules, key=len, reverse=True):
        of_first = lengths.setdefault(key[0], [])
        if len(key) not in of_first:
            of_first.append(len(key))
    firsts = re.compile(f"[{re.escape(''.join(lengths))}]")

    def edits(text: str) -> Iterable[Edit]:
        at = 0
        while (match := firsts.search(text, at)) is not None:
            begin = match.start()
            at = begin + 1
            for length in lengths[match[0]]:
                new = rules.get(text[begin : begin + length])
                if new is not None:
                    at = begin + length
                    yield Edit(begin, at, new)
                    break

    return edits if rules else lambda text: ()


def pattern_replace(pattern: re.Pattern[str], replacement: str) -> CharFilter:
    """`replacement` as Python's `re` has it."""

    def edits(text: str) -> Iterable[Edit]:
        return (Edit(*match.span(), match.expand(replacement)) for match in pattern.finditer(text))

    return edits


_BLOCKS = frozenset(
    [
        "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "col",
        "colgroup", "dd", "dir", "div", "dl", "dt", "fieldset", "footer", "form", "frame", "h1",
        "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "iframe", "isindex", "legend",
        "li", "main", "menu", "nav", "noframes", "noscript", "ol", "optgroup", "option", "p", "pre",
        "script", "section", "select", "style", "table", "tbody", "td", "textarea", "tfoot", "th",
        "thead", "title", "tr", "ul",
    ]
)  # fmt: skip
"""Elements that set their text apart: a line break is put for their tags."""
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style)\b[^<>]*>.*?(?:</\1\s*>|\Z)"
    r"|</?([A-Za-z_][\w:.-]*)(?:[\s/](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*)?>"
    r"|</?([A-Za-z_][\w:.-]*)[\s/][^<>]*>"
    r"|<[?!][^<>]*>"
    r"|&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?",
    re.DOTALL | re.IGNORECASE,
)
"""No part but comments and scripts goes past a `<`, so that broken markup costs no more time."""


def html_strip(escaped_tags: Collection[str] = ()) -> CharFilter:
    """Take markup away but for `escaped_tags`, and write entities as their characters."""
    kept = frozenset(tag.lower() for tag in escaped_tags)

    def put_for(match: re.Match[str]) -> str:
        found = match[0]
        if found[0] == "&":
            return html.unescape(found)
        tag = (match[1] or match[2] or match[3] or "").lower()
        if tag in kept:
            return found
        return "\n" if tag in _BLOCKS else ""

    def edits(text: str) -> Iterable[Edit]:
        if "<" not in text and "&" not in text:
            return ()
        return (Edit(*match.span(), put_for(match)) for match in _MARKUP.finditer(text))

    return edits
