"""Highlighting: a field's text is analysed again, and what the query asks for is marked."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from index.query.asked import Asked, Wanted
from index.query.fragments import Fragment, cut, first_part
from index.query.marks import find_marks
from index.query.request import HighlightField, SearchRequest
from index.query.source_filter import fields_named, values_at
from index.query.values import keyword_text
from index.schema import Field, Schema


class Highlighter:
    """Highlights the hits of one search: what does not depend on the hit is done once.

    Thread rule: one thread.
    """

    def __init__(self, request: SearchRequest, schema: Schema) -> None:
        self._marked = [*_fields_to_mark(request, schema)]

    def fragments(self, source: bytes) -> dict[str, list[str]]:
        """Return the fragments of each field with a match; a field without one is left out."""
        if not self._marked:
            return {}
        fields = msgspec.json.decode(source)
        found: dict[str, list[str]] = {}
        for each in self._marked:
            values = [keyword_text(value) for value in values_at(fields, each.path)]
            shown = each.fragments(values) if values else []
            if shown:
                found[each.name] = shown
        return found


class _MarkedField:
    """A field to highlight: what to mark in it, and how."""

    def __init__(self, field: Field, schema: Schema, wanted: Wanted, how: HighlightField) -> None:
        self.name = field.name
        self.path = field.parent or field.name
        self._analyzer = schema.index_analyzer(field)
        self._wanted = wanted
        self._how = how
        self._known: dict[str, bytes | None] = {}

    def fragments(self, values: list[str]) -> list[str]:
        how = self._how
        found: list[tuple[str, Fragment]] = []
        for text in values:
            if not text:
                continue  # a keyword may be an empty string, and match: there is nothing to mark
            part = text[: how.max_analyzed]
            tokens = self._analyzer.tokens_among(part, self._known, self._wanted.is_of_use)
            marks = find_marks(tokens, self._wanted) if tokens else []
            if marks:
                found += [(text, fragment) for fragment in cut(text, marks, how)]
        if not found:
            shown = first_part(values[0], how.no_match_size) if how.no_match_size else ""
            return [_encoder(how)(shown)] if shown else []
        return [_marked(text, fragment, how) for text, fragment in _chosen(found, how)]


def _fields_to_mark(request: SearchRequest, schema: Schema) -> Iterator[_MarkedField]:
    """Yield each field to highlight, once."""
    if request.highlight is None:
        return
    own = Asked(schema, request.query)
    seen: set[str] = set()
    for how in request.highlight.fields:
        asked = own if how.query is None else Asked(schema, how.query)
        for field in fields_named(schema, how.pattern):
            if field.name in seen or not (field.is_text or field.is_keyword):
                continue
            seen.add(field.name)
            names = how.matched_fields or (field.name,)
            wanted = asked.of(names) if how.require_field_match else asked.of_all()
            if how.no_match_size or not wanted.is_nothing:
                yield _MarkedField(field, schema, wanted, how)


def _chosen(found: list[tuple[str, Fragment]], how: HighlightField) -> list[tuple[str, Fragment]]:
    """Return the fragments to show: the best, of equals the first, in the order asked for."""
    if how.number_of_fragments and len(found) > how.number_of_fragments:
        best = sorted(range(len(found)), key=lambda at: _place(found[at][1], at))
        chosen = best[: how.number_of_fragments]
        return [found[at] for at in (sorted(chosen) if how.order == "none" else chosen)]
    if how.order == "score":
        return sorted(found, key=lambda entry: _place(entry[1], 0))
    return found


def _place(fragment: Fragment, at: int) -> tuple[int, int, int]:
    n_words, n_marks = fragment.score
    return -n_words, -n_marks, at


def _encoder(how: HighlightField) -> Callable[[str], str]:
    escape: Any = html.escape if how.encoder == "html" else str
    return escape  # type: ignore[no-any-return]


def _marked(text: str, fragment: Fragment, how: HighlightField) -> str:
    escape = _encoder(how)
    numbers: dict[bytes, int] = {}
    out, at = [], fragment.start
    for mark in fragment.marks:
        if mark.start < at:
            continue
        number = numbers.setdefault(mark.term, len(numbers))
        pre = how.pre_tags[number % len(how.pre_tags)]
        post = how.post_tags[number % len(how.post_tags)]
        out += [escape(text[at : mark.start]), pre, escape(text[mark.start : mark.end]), post]
        at = mark.end
    out.append(escape(text[at : max(fragment.end, at)]))
    shown = "".join(out)
    return shown if how.number_of_fragments == 0 else shown.strip()
