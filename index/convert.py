"""How a JSON value becomes the value of a field, as OpenSearch coerces it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from index.analysis.analyzer import Analyzer
from index.dates import parse_date
from index.errors import MappingError
from index.field import FLOAT_LIMITS, INTEGER_RANGES, Field
from index.options import IndexOptions

Convert = Callable[[Any], Any]

MAX_TERM_BYTES = 0xFFFF
"""A term's length has 16 bits in the memtable, whatever the options say."""

MOST_NEGATIVE = -(2.0**63)
"""As a double, the one for the smallest long and for what is a little below it."""


def converters(field: Field, options: IndexOptions, analyzer: Analyzer) -> dict[type, Convert]:
    """Return a converter for each JSON type, but null, array and object, that the field takes.
    `analyzer`: the schema's `index_analyzer` of the field.

    A converter returns None for a value that is not to be indexed. It raises MappingError for
    one that does not fit, and UnicodeEncodeError for half a surrogate pair.
    """
    if field.type == "text":
        return _text(field, options, analyzer)
    if field.type == "keyword":
        return _strings(_keyword(field, options, analyzer))
    if field.type in INTEGER_RANGES:
        return _integer(field)
    if field.type in FLOAT_LIMITS:
        return _float(field)
    if field.type == "date":
        return _date(field)
    return _boolean(field)


def _strings(encode: Convert) -> dict[type, Convert]:
    return {
        str: encode,
        bool: lambda value: encode("true" if value else "false"),
        int: lambda value: encode(str(value)),
        float: lambda value: encode(repr(value)),
    }


class Limits(NamedTuple):
    """Of the strings that are taken as they are."""

    max_bytes: int | None
    """A longer one is an error."""
    max_chars: int | None
    """A longer one is not indexed."""


def string_limits(field: Field, options: IndexOptions, analyzer: Analyzer) -> Limits | None:
    """Return the limits of a field of strings; None: it takes no string. `analyzer`: the schema's
    `index_analyzer` of the field.

    What `converters` makes of a string is, within the limits, its UTF-8 bytes.
    """
    if field.type == "text" and not field.index:
        return None
    if field.type == "text" and not analyzer.is_whole:
        return Limits(None, None)
    return Limits(min(options.max_term_bytes, MAX_TERM_BYTES), field.ignore_above)


def nothing(value: Any) -> None:
    """Convert to nothing at all."""


def _text(field: Field, options: IndexOptions, analyzer: Analyzer) -> dict[type, Convert]:
    if not field.index:
        return dict.fromkeys((str, bool, int, float), nothing)
    if analyzer.is_whole:
        return _strings(_keyword(field, options, None))
    return _strings(str.encode)


def _keyword(field: Field, options: IndexOptions, normalizer: Analyzer | None) -> Convert:
    max_bytes = min(options.max_term_bytes, MAX_TERM_BYTES)
    ignore_above = field.ignore_above if field.ignore_above is not None else max_bytes
    name = field.name
    changes = field.normalizer is not None

    def encode(value: str) -> bytes | None:
        if field.ignore_above is not None and len(value) > ignore_above:
            return None
        data = value.encode()
        if changes and normalizer is not None:
            data = normalizer.normalized(value)
        if len(data) > max_bytes:
            raise MappingError(
                f"field [{name}] holds an immense term: {len(data)} bytes, at most {max_bytes}"
            )
        return data

    return encode


def _unfit(field: Field, value: Any, reason: str) -> MappingError:
    text = str(value).replace("\n", " ")
    return MappingError(
        f"failed to parse field [{field.name}] of type [{field.type}]: {reason} [{text[:80]}]"
    )


def _integer(field: Field) -> dict[type, Convert]:
    low, high = INTEGER_RANGES[field.type]

    def whole(value: int) -> int:
        if low <= value <= high:
            return value
        raise _unfit(field, value, "out of range")

    def fraction(value: float) -> int:
        if not math.isfinite(value):
            raise _unfit(field, value, "not a number")
        if value <= MOST_NEGATIVE:
            # -9223372036854775809 comes as this double: another number would be stored.
            raise _unfit(field, value, "out of range")
        return whole(int(value))

    def string(value: str) -> int:
        if "_" in value:  # Python's own spelling of numbers
            raise _unfit(field, value, "for input string")
        try:
            return whole(int(value))
        except ValueError:
            pass
        try:
            return fraction(float(value))
        except ValueError as error:
            raise _unfit(field, value, "for input string") from error

    return {int: whole, float: fraction, str: string}


def _float(field: Field) -> dict[type, Convert]:
    limit = FLOAT_LIMITS[field.type]

    def number(value: float) -> float:
        if -limit <= value <= limit:
            return float(value)
        raise _unfit(field, value, "out of range")

    def string(value: str) -> float:
        if "_" in value:
            raise _unfit(field, value, "for input string")
        try:
            return number(float(value))
        except ValueError as error:
            raise _unfit(field, value, "for input string") from error

    return {int: number, float: number, str: string}


def _date(field: Field) -> dict[type, Convert]:
    def convert(value: Any) -> int:
        try:
            return parse_date(value, field.format)
        except MappingError as error:
            raise _unfit(field, value, f"{error} for input") from error

    return dict.fromkeys((str, int, float), convert)


def _boolean(field: Field) -> dict[type, Convert]:
    words = {"true": 1, "false": 0, "": 0}

    def string(value: str) -> int:
        if value in words:
            return words[value]
        raise _unfit(field, value, "only [true] or [false] are allowed, not")

    return {bool: int, str: string}
