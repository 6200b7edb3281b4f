"""The `highlight` of a search body. Raises everywhere: InvalidQueryError."""

from __future__ import annotations

from typing import Any, Literal

from index.query.body import Body, as_object, fail
from index.query.clauses import ClauseParser
from index.query.request import MAX_ANALYZED, Boundary, Highlight, HighlightField

_HINTS = (
    "boundary_scanner_locale",
    "force_source",
    "fragment_offset",
    "phrase_limit",
)
"""What other engines use, and what changes nothing here."""
_TYPES = {"unified": "unified", "plain": "plain", "fvh": "fvh"}
_SCANNERS: dict[str, Boundary] = {"sentence": "sentence", "word": "word", "chars": "chars"}
_OF_TYPE: dict[str, Boundary] = {"unified": "sentence", "plain": "pieces", "fvh": "chars"}
_ORDERS: dict[str, Literal["none", "score"]] = {"none": "none", "score": "score"}
_ENCODERS: dict[str, Literal["default", "html"]] = {"default": "default", "html": "html"}
_FRAGMENTERS = {"simple": "simple", "span": "span"}
_SCHEMAS = {"styled": True, "default": False}
_STYLED = tuple(f'<em class="hlt{number}">' for number in range(1, 11))


def parse_highlight(value: object) -> Highlight | None:
    """Parse the options for all fields, and of each field those that differ."""
    if value is None:
        return None
    body = Body(value, "highlight")
    fields = body.need("fields")
    shared = dict(body.items())
    listed = fields if isinstance(fields, list) else [fields]
    parsed = []
    for entry in listed:
        for pattern, own in as_object(entry, "highlight.fields").items():
            inner = as_object({} if own is None else own, f"highlight.fields.{pattern}")
            parsed.append(_parse_field(pattern, {**shared, **inner}))
    return Highlight(tuple(parsed))


def _parse_field(pattern: str, options: dict[str, Any]) -> HighlightField:
    body = Body(options, f"highlight.fields.{pattern}")
    body.ignore(*_HINTS)
    kind = body.choice("type", _TYPES, "unified")
    body.choice("fragmenter", _FRAGMENTERS, "span")
    query = body.take("highlight_query")
    pre, post = _parse_tags(body, kind)
    field = HighlightField(
        pattern,
        pre_tags=pre,
        post_tags=post,
        fragment_size=body.natural("fragment_size", 100),
        number_of_fragments=body.natural("number_of_fragments", 5),
        no_match_size=body.natural("no_match_size", 0),
        require_field_match=body.take("require_field_match") not in (False, "false"),
        order=body.choice("order", _ORDERS, "none"),
        encoder=body.choice("encoder", _ENCODERS, "default"),
        query=None if query is None else ClauseParser().parse(query, body.at("highlight_query")),
        boundary=body.choice("boundary_scanner", _SCANNERS, _OF_TYPE[kind]),
        boundary_chars=body.text("boundary_chars", ".,!? \t\n"),
        boundary_max_scan=body.natural("boundary_max_scan", 20),
        matched_fields=body.strings("matched_fields"),
        max_analyzed=body.natural("max_analyzer_offset", MAX_ANALYZED),
    )
    body.done()
    if not field.boundary_chars:
        raise fail(body.at("boundary_chars"), "may not be empty")
    return field


def _parse_tags(body: Body, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tags before and after a mark; only `fvh` tells words apart by them."""
    is_styled = body.choice("tags_schema", _SCHEMAS, False)
    pre = body.strings("pre_tags") or (_STYLED if is_styled else ("<em>",))
    post = body.strings("post_tags") or ("</em>",)
    return (pre, post) if kind == "fvh" or is_styled else (pre[:1], post[:1])
