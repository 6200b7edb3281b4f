"""Values of a query as a field's column or dictionary holds them.

Raises everywhere: InvalidQueryError, naming the field.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from index.dates import resolve_date, resolve_date_up
from index.errors import InvalidQueryError
from index.query.ast import Range, Scalar
from index.schema import Field

_LEAST, _MOST = -(2**63), 2**63 - 1
_FLOATS = ("double", "float", "half_float")


def keyword_text(value: Scalar) -> str:
    """Return a value as a keyword field holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def keyword_term(value: Scalar) -> bytes:
    return keyword_text(value).encode("utf-8", "surrogatepass")


def exact_bounds(
    field: Field, value: Scalar, now_ms: int
) -> tuple[int | float, int | float] | None:
    """Return the lowest and highest column value that a `term` means; None: no document's."""
    if field.type == "date":
        date = _date_text(value)
        low = resolve_date(date, now_ms=now_ms, format=field.format)
        return low, max(low, resolve_date_up(date, now_ms=now_ms, format=field.format))
    if field.type == "boolean":
        flag = _boolean(field, value)
        return flag, flag
    number = _number(field, value)
    if field.type in _FLOATS:
        return float(number), float(number)
    if number != int(number) or not _LEAST <= number <= _MOST:
        return None
    return int(number), int(number)


def range_bounds(query: Range, field: Field, now_ms: int) -> tuple[int | float, int | float] | None:
    """Return the lowest and highest column value of a range; None: it is empty."""
    if field.type == "date":
        low, high = _date_bounds(query, field, now_ms)
    elif field.type == "boolean":
        low, high = _whole_bounds(query, lambda value: _boolean(field, value))
    elif field.type in _FLOATS:
        return _float_bounds(query, field)
    else:
        low, high = _whole_bounds(query, lambda value: _number(field, value))
    low, high = max(low, _LEAST), min(high, _MOST)
    return None if low > high else (low, high)


def _whole_bounds(query: Range, read: Callable[[Scalar], int | float]) -> tuple[int, int]:
    low, high = _LEAST, _MOST
    if query.gte is not None:
        low = max(low, math.ceil(read(query.gte)))
    if query.gt is not None:
        low = max(low, math.floor(read(query.gt)) + 1)
    if query.lte is not None:
        high = min(high, math.floor(read(query.lte)))
    if query.lt is not None:
        high = min(high, math.ceil(read(query.lt)) - 1)
    return low, high


def _float_bounds(query: Range, field: Field) -> tuple[float, float] | None:
    low, high = -np.inf, np.inf
    if query.gte is not None:
        low = float(_number(field, query.gte))
    if query.gt is not None:
        low = max(low, float(np.nextafter(float(_number(field, query.gt)), np.inf)))
    if query.lte is not None:
        high = float(_number(field, query.lte))
    if query.lt is not None:
        high = min(high, float(np.nextafter(float(_number(field, query.lt)), -np.inf)))
    return None if low > high else (low, high)


def _date_bounds(query: Range, field: Field, now_ms: int) -> tuple[int, int]:
    form = query.format or field.format

    def read(value: Scalar, resolve: Callable[..., int]) -> int:
        date = _date_text(value)
        return resolve(date, now_ms=now_ms, format=form, time_zone=query.time_zone)

    low, high = _LEAST, _MOST
    if query.gte is not None:
        low = max(low, read(query.gte, resolve_date))
    if query.gt is not None:
        low = max(low, read(query.gt, resolve_date_up) + 1)
    if query.lte is not None:
        high = min(high, read(query.lte, resolve_date_up))
    if query.lt is not None:
        high = min(high, read(query.lt, resolve_date) - 1)
    return low, high


def _date_text(value: Scalar) -> str | int | float:
    """Return what `resolve_date` reads: never a boolean."""
    if isinstance(value, bool):
        raise InvalidQueryError(f"failed to parse date [{value}]")
    return value


def _boolean(field: Field, value: Scalar) -> int:
    if isinstance(value, bool):
        return int(value)
    if value in ("true", "false", ""):
        return int(value == "true")
    raise InvalidQueryError(f"can't parse boolean [{value}] for field [{field.name}]")


def _number(field: Field, value: Scalar) -> int | float:
    if isinstance(value, bool):
        raise _not_a_number(field, value)
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text) if len(text) <= 20 else float(text)
        except ValueError:
            value = _float(field, text)
    if not math.isfinite(_float(field, value)):
        raise _not_a_number(field, value)
    return value


def _float(field: Field, value: str | int | float) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise _not_a_number(field, value) from None


def _not_a_number(field: Field, value: object) -> InvalidQueryError:
    text = str(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge number"
    return InvalidQueryError(f"failed to parse number [{text}] for field [{field.name}]")
