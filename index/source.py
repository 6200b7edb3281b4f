"""The JSON text of a document: what is taken as one, and what is said of what is not."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from index.errors import MappingError
from index.kernels.documents import LARGEST

MAX_SOURCE_BYTES: Final = LARGEST
"""Largest document in bytes of JSON."""
MAX_JSON_DEPTH: Final = 32
"""Deepest nesting of objects and arrays that is parsed at all."""

_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A string is one match, closed or not, so that looking through a value is linear."""


def parse_object(value: bytes) -> dict[str, Any]:
    """Return the one JSON object that `value` holds. Raises: MappingError saying why not."""
    if len(value) > MAX_SOURCE_BYTES:
        raise MappingError(
            f"document of {len(value)} bytes, at most {MAX_SOURCE_BYTES} are allowed"
        )
    if is_nested_deeper(value, MAX_JSON_DEPTH):
        raise MappingError(f"json is nested deeper than {MAX_JSON_DEPTH}")
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise MappingError(f"not json: {_first_line(str(error))}") from error
    if not isinstance(fields, dict):
        raise MappingError("not a json object")
    return fields


def is_nested_deeper(value: bytes, depth: int) -> bool:
    """Return whether objects and arrays nest deeper than `depth` in a JSON text, without parsing
    it. Linear in the bytes."""
    # Counting is 50 times cheaper than looking, and nearly every document has few brackets.
    if value.count(b"{") + value.count(b"[") <= depth:
        return False
    level = 0
    for match in _BRACKETS.finditer(value):
        first = value[match.start()]
        if first in b"{[":
            level += 1
            if level > depth:
                return True
        elif first in b"}]":
            level -= 1
    return False


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].lower()
