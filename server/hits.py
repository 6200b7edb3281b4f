"""From hits to what an answer shows of them: ids, scores, sources or parts of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import orjson

from index.query.request import FieldRequest, SearchRequest, SourceFilter
from index.searcher import Hit, Searcher

NODE = "tailrace"
"""The one node that answers, where OpenSearch names one of many."""


def hit_body(index: str, searcher: Searcher, hit: Hit, request: SearchRequest) -> dict[str, Any]:
    """Return one hit in OpenSearch's shape. Fetches the source: any thread but the loop's is
    better where there are many."""
    reader = searcher.views[hit.view_no].reader
    body: dict[str, Any] = {
        "_index": index,
        "_id": reader.key(hit.doc_id).decode(),
        "_score": hit.score,
    }
    if request.version:
        body["_version"] = reader.version(hit.doc_id)
    if request.seq_no_primary_term:
        body |= {"_seq_no": reader.offset(hit.doc_id), "_primary_term": 1}
    if request.source.enabled or request.fields:
        source = reader.source(hit.doc_id)
        if request.source.enabled:
            body["_source"] = filter_source(source, request.source)
        if request.fields:
            body["fields"] = field_values(orjson.loads(source), request.fields)
    if request.highlight is not None and (marked := searcher.highlight(request, hit)):
        body["highlight"] = marked
    if request.explain:
        shard = searcher.views[hit.view_no].shard
        explanation = searcher.explain(request.query, hit.view_no, hit.doc_id)
        body |= {"_shard": f"[{index}][{shard}]", "_node": NODE, "_explanation": explanation.body()}
    if hit.sort is not None:
        body["sort"] = list(hit.sort)
    return body


def filter_source(source: bytes, keep: SourceFilter) -> Any:
    """Return the source as it came, or the part that `keep` keeps.

    The whole source is never parsed: its bytes go out as they are.
    """
    if not keep.includes and not keep.excludes:
        return orjson.Fragment(source)
    return filter_fields(orjson.loads(source), keep.includes, keep.excludes)


def filter_fields(
    value: dict[str, Any], includes: Sequence[str], excludes: Sequence[str]
) -> dict[str, Any]:
    """Return the fields whose dotted names match; a pattern takes all below its match."""
    return _filter(value, "", includes, excludes)


def _filter(
    value: dict[str, Any], path: str, includes: Sequence[str], excludes: Sequence[str]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, inner in value.items():
        full = f"{path}{name}"
        if _matches(full, excludes):
            continue
        is_chosen = not includes or _matches(full, includes)
        below = () if is_chosen else includes
        part = _filter_value(inner, f"{full}.", below, excludes)
        if is_chosen or part not in ({}, [], None):
            kept[name] = part
    return kept


def _filter_value(value: Any, path: str, includes: Sequence[str], excludes: Sequence[str]) -> Any:
    if isinstance(value, dict):
        return _filter(value, path, includes, excludes)
    if isinstance(value, list):
        parts = [_filter_value(inner, path, includes, excludes) for inner in value]
        return parts if not includes else [part for part in parts if part not in ({}, [], None)]
    return None if includes else value


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def field_values(source: dict[str, Any], requests: Sequence[FieldRequest]) -> dict[str, list[Any]]:
    """Return the values of the fields that `fields` asks for, always as lists."""
    values: dict[str, list[Any]] = {}
    for name, value in _leaves(source, ""):
        if any(fnmatchcase(name, request.pattern) for request in requests):
            values.setdefault(name, []).append(value)
    return values


def _leaves(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    elif value is not None:
        yield path, value
