"""The `fields` of a hit: values by name, always lists, as their type writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from index.aggregate.formats import Shown, shown_as
from index.aggregate.zones import UTC_ZONE
from index.analysis.analyzer import Analyzer
from index.convert import Convert, converters
from index.errors import TailraceError
from index.options import IndexOptions
from index.query.request import FieldRequest, SortKey
from index.query.source_filter import fields_named, values_at
from index.schema import Field, Schema

_OPTIONS = IndexOptions()


def field_values(
    source: dict[str, Any], requests: Sequence[FieldRequest], schema: Schema
) -> dict[str, list[Any]]:
    """Return the values of the fields that are asked for, those without a value left out.

    A value that its field does not take, or leaves out of the index, is left out here too.
    """
    found: dict[str, list[Any]] = {}
    for request in requests:
        for field in fields_named(schema, request.pattern):
            values = values_at(source, field.parent or field.name)
            shown = (
                list(_shown(field, schema.index_analyzer(field), values, request.format))
                if values
                else []
            )
            if shown:
                found[field.name] = shown
        if request.with_unmapped:
            for name, value in _leaves(source, ""):
                if schema.field(name) is None and fnmatchcase(name, request.pattern):
                    found.setdefault(name, []).append(value)
    return found


def _shown(
    field: Field, analyzer: Analyzer, values: Iterable[Any], format: str | None
) -> Iterator[Any]:
    if field.is_text:
        yield from values
        return
    convert = converters(field, _OPTIONS, analyzer)
    write = shown_as(field, format, UTC_ZONE) if field.type != "boolean" else None
    for value in values:
        shown = _converted(convert, value)
        if shown is None:
            continue
        if field.is_keyword:
            yield shown.decode("utf-8", "replace")
        elif field.type == "boolean":
            yield bool(shown)
        else:
            yield shown if write is None else write(shown)


def _converted(convert: dict[type, Convert], value: Any) -> Any:
    try:
        own = convert.get(type(value))
        return None if own is None else own(value)
    except (TailraceError, UnicodeEncodeError):
        return None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    elif value is not None:
        yield path, value


def sort_values(values: Sequence[Any], keys: Sequence[SortKey], schema: Schema) -> list[Any]:
    """Return a hit's sort values as the answer shows them.

    Dates with a `format` are text; so are infinite sums, which JSON has no numbers for.
    """
    return [_sort_value(value, key, schema) for value, key in zip(values, keys, strict=False)]


def _sort_value(value: Any, key: SortKey, schema: Schema) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if key.format is None or value is None:
        return value
    field = schema.field(key.field)
    write: Shown | None = None if field is None else shown_as(field, key.format, UTC_ZONE)
    is_number = isinstance(value, int | float)
    return value if write is None or not is_number else write(value)
