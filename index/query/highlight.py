"""Highlighting: a field's text is analysed again, and what the query asks for is marked."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from index.analysis.analyzer import Analyzer
from index.query.asked import Asked, Wanted
from index.query.fragments import Fragment, cut, first_part
from index.query.marks import find_marks
from index.query.request import HighlightField, SearchRequest
from index.query.source_filter import fields_named, values_at
from index.schema import Field, Schema


class Highlighter:
    """Highlights the hits of one search: what does not depend on the hit is done once.

    Thread rule: any thread.
    """

    def __init__(self, request: SearchRequest, schema: Schema) -> None:
        self._jobs = [*_jobs_of(request, schema)]

    def fragments(self, source: bytes) -> dict[str, list[str]]:
        """Return the fragments of each field with a match; a field without one is left out."""
        if not self._jobs:
            return {}
        fields = msgspec.json.decode(source)
        found: dict[str, list[str]] = {}
        for field, analyzer, wanted, how in self._jobs:
            values = [str(value) for value in values_at(fields, field.parent or field.name)]
            shown = _highlight(analyzer, values, wanted, how) if values else []
            if shown:
                found[field.name] = shown
        return found


def _jobs_of(
    request: SearchRequest, schema: Schema
) -> Iterator[tuple[Field, Analyzer, Wanted, HighlightField]]:
    """Yield each field to highlight, once, with what to mark in it and how."""
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
                yield field, schema.index_analyzer(field), wanted, how


def _highlight(
    analyzer: Analyzer, values: list[str], wanted: Wanted, how: HighlightField
) -> list[str]:
    found: list[tuple[str, Fragment]] = []
    for text in values:
        marks = find_marks(analyzer.tokens(text[: how.max_analyzed]), wanted)
        if marks:
            found += [(text, fragment) for fragment in cut(text, marks, how)]
    if not found:
        shown = first_part(values[0], how.no_match_size) if how.no_match_size else ""
        return [_encoder(how)(shown)] if shown else []
    if how.number_of_fragments and len(found) > how.number_of_fragments:
        # the best of them, of equals the first
        best = sorted(range(len(found)), key=lambda at: _place(found[at][1], at))
        chosen = best[: how.number_of_fragments]
        found = [found[at] for at in (sorted(chosen) if how.order == "none" else chosen)]
    elif how.order == "score":
        found.sort(key=lambda entry: _place(entry[1], 0))
    return [_marked(text, fragment, how) for text, fragment in found]


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
