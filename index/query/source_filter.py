"""Parts of a document's source: `_source` filtering, and the values at a path."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from index.query.request import SourceFilter
from index.query.rewrite import match_names
from index.schema import Field, Schema

_Match = Callable[[str], bool]


def filter_source(source: bytes, chosen: SourceFilter) -> bytes:
    """Return the chosen parts of a source, JSON text in and out. Requires: `enabled`."""
    if chosen.is_whole:
        return source
    return msgspec.json.encode(filter_fields(msgspec.json.decode(source), chosen))


def filter_fields(fields: dict[str, Any], chosen: SourceFilter) -> dict[str, Any]:
    """Return the chosen parts of a parsed source.

    A pattern that names an object names all that is in it; `*` is any run of characters,
    dots too. A part is kept if `includes` (empty: all) names it and `excludes` does not.
    """
    includes, excludes = _matcher(chosen.includes), _matcher(chosen.excludes)
    kept = _filter(fields, "", not chosen.includes, includes, excludes)
    return kept if isinstance(kept, dict) else {}


_NOTHING = object()


def _filter(value: Any, path: str, is_in: bool, includes: _Match, excludes: _Match) -> Any:
    if isinstance(value, dict):
        kept = {}
        for name, inner in value.items():
            inner_path = f"{path}.{name}" if path else name
            if excludes(inner_path):
                continue
            part = _filter(inner, inner_path, is_in or includes(inner_path), includes, excludes)
            if part is not _NOTHING:
                kept[name] = part
        return kept if kept or is_in else _NOTHING
    if isinstance(value, list):
        parts = [_filter(inner, path, is_in, includes, excludes) for inner in value]
        left = [part for part in parts if part is not _NOTHING]
        return left if left or is_in else _NOTHING
    return value if is_in else _NOTHING


@lru_cache(maxsize=256)
def _matcher(patterns: tuple[str, ...]) -> _Match:
    if not patterns:
        return lambda path: False
    regex = "|".join(
        ".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns
    )
    match = re.compile(regex, re.DOTALL).fullmatch
    return lambda path: match(path) is not None


def fields_named(schema: Schema, pattern: str) -> list[Field]:
    """Return the fields, of any type, that a name or a pattern names."""
    if "*" in pattern:
        return match_names(schema, pattern)
    field = schema.field(pattern)
    return [] if field is None else [field]


def values_at(value: Any, path: str) -> list[Any]:
    """Return all values at a dotted path, through objects and arrays; null is no value."""
    if isinstance(value, list):
        return [found for inner in value for found in values_at(inner, path)]
    if not path:
        return [] if value is None or isinstance(value, dict) else [value]
    if not isinstance(value, dict):
        return []
    if path in value:
        return values_at(value[path], "")
    found = []
    for name, inner in value.items():
        if path.startswith(f"{name}."):
            found += values_at(inner, path[len(name) + 1 :])
    return found
