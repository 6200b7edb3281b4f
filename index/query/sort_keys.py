"""What to sort by: each key as arrays that compare within a view and values across views.

In a view a key is two arrays, `ranks` and `values`: the smaller pair comes first, whatever
the order asked for. A rank of -1 or 1 is a document without a value, put first or last.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

import numpy as np

from index.dates import resolve_date
from index.errors import InvalidQueryError, InvalidRequestError
from index.query.ast import Scalar
from index.query.leaves import first_ordinal, ord_count
from index.query.request import SortKey, SortMode
from index.query.sort_modes import one_value
from index.query.stop import NEVER, Stop, check_stop
from index.reader import View
from index.schema import Field, Schema

_KEYS_AT_ONCE = 1_024
_FLOATS = ("double", "float", "half_float")


@dataclass(slots=True)
class KeyColumn:
    """One sort key over some documents of one view."""

    ranks: np.ndarray
    """i8[n]"""
    values: np.ndarray
    """i64[n] or f64[n], smaller = earlier."""
    answer: Callable[[int], Scalar | None]
    """The sort value of document i, as the hit shows it."""
    place: Callable[[Scalar | None], tuple[int, float | int]]
    """(rank, value) of a `search_after` value among these."""


@total_ordering
class _Falling:
    """Compares the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Falling) and bool(self.value == other.value)

    def __lt__(self, other: _Falling) -> bool:
        return bool(other.value < self.value)


class Key:
    """A sort key for a whole search."""

    is_float = False
    stop: Stop = NEVER
    """What takes long raises `StoppedError` once it is set."""

    def __init__(self, key: SortKey) -> None:
        self.is_falling = key.order == "desc"
        self.missing_rank = -1 if key.missing == "_first" else 1

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        raise NotImplementedError

    def comparable(self, value: Scalar | None) -> tuple[int, Any]:
        """Return what orders sort values of all views."""
        if value is None:
            return self.missing_rank, 0
        return 0, _Falling(value) if self.is_falling else value

    def _column(self, docs_values: np.ndarray, ranks: np.ndarray | None = None) -> KeyColumn:
        """Return the column of plain numbers."""
        values = docs_values
        if self.is_falling:
            values = -values if values.dtype.kind == "f" else ~values
        if ranks is None:
            ranks = np.zeros(len(values), np.int8)

        def answer(i: int) -> Scalar | None:
            found: Scalar | None = None if ranks[i] else docs_values[i].item()
            return found

        return KeyColumn(ranks, values, answer, self._place_number)

    def _place_number(self, value: Scalar | None) -> tuple[int, float | int]:
        if value is None:
            return self.missing_rank, 0
        if isinstance(value, str):
            raise InvalidQueryError(f"[search_after] expected a number but got [{value}]")
        if not self.is_falling:
            return 0, value
        return 0, -value if self.is_float else -value - 1


class ScoreKey(Key):
    is_float = True

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        return self._column(scores.astype(np.float64))


class DocKey(Key):
    """Log order within a shard: view by view."""

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        return self._column(docs.astype(np.int64) | (view_no << 32))


class NumberKey(Key):
    def __init__(self, key: SortKey, field: Field) -> None:
        super().__init__(key)
        self._field = field
        self._mode: SortMode = key.mode or ("max" if self.is_falling else "min")
        self.is_float = field.type in _FLOATS
        self._format = key.format or field.format
        self._missing: float | int | None = None
        if key.missing not in ("_last", "_first"):
            where = f"sort.{field.name}.missing"
            value = key.missing
            self._missing = self._read(value, where) if isinstance(value, str) else value
            if not self.is_float and not -(2**63) <= self._missing < 2**63:
                raise InvalidQueryError(f"[{where}] is out of range")

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        column = view.reader.column(self._field.no)
        kind = np.float64 if self.is_float else np.int64
        if column is None:
            values, has_value = np.zeros(len(docs), kind), np.zeros(len(docs), bool)
        else:
            values, has_value = one_value(column, docs, self._mode)
        if self._missing is not None:
            values = np.where(has_value, values, np.array(self._missing).astype(values.dtype))
            has_value = np.ones(len(docs), bool)
        ranks = np.where(has_value, 0, self.missing_rank).astype(np.int8)
        return self._column(np.where(has_value, values, np.zeros(1, values.dtype)), ranks)

    def _place_number(self, value: Scalar | None) -> tuple[int, float | int]:
        if isinstance(value, str):
            value = self._read(value, "search_after")
        return super()._place_number(value)

    def _read(self, value: str, where: str) -> float | int:
        """Return the number of a text as hits show it. Raises: InvalidQueryError."""
        if self._field.type == "date":
            return resolve_date(value, now_ms=0, format=self._format)
        try:
            number = float(value) if self.is_float else int(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise InvalidQueryError(
                f"[{where}] expected a number for [{self._field.name}] but got [{value[:80]}]"
            )
        return number


class TermKey(Key):
    """Base of keys whose values are terms: numbered in byte order within a view."""

    def _terms_column(
        self,
        ordinals: np.ndarray,
        has_value: np.ndarray,
        term_of: Callable[[int], bytes],
        first_not_below: Callable[[bytes], int],
        n_terms: int,
    ) -> KeyColumn:
        ranks = np.where(has_value, 0, self.missing_rank).astype(np.int8)
        # doubled, so that a term that is not here has a place between two that are
        doubled = np.where(has_value, ordinals.astype(np.int64) * 2, 0)
        values = ~doubled if self.is_falling else doubled

        def answer(i: int) -> Scalar | None:
            return None if ranks[i] else term_of(int(ordinals[i])).decode("utf-8", "replace")

        def place(value: Scalar | None) -> tuple[int, float | int]:
            if value is None:
                return self.missing_rank, 0
            term = str(value).encode("utf-8", "surrogatepass")
            ordinal = first_not_below(term)
            is_here = ordinal < n_terms and term_of(ordinal) == term
            at = ordinal * 2 if is_here else ordinal * 2 - 1
            return 0, ~at if self.is_falling else at

        return KeyColumn(ranks, values, answer, place)

    def comparable(self, value: Scalar | None) -> tuple[int, Any]:
        if value is None:
            return self.missing_rank, 0
        term = str(value).encode("utf-8", "surrogatepass")
        return 0, _Falling(term) if self.is_falling else term


class KeywordKey(TermKey):
    def __init__(self, key: SortKey, field: Field) -> None:
        super().__init__(key)
        self._field = field
        self._mode: SortMode = key.mode or ("max" if self.is_falling else "min")
        if self._mode not in ("min", "max"):
            raise InvalidRequestError(
                f"sort mode [{self._mode}] needs a number, not [{field.name}]"
            )
        if key.missing not in ("_last", "_first"):
            raise InvalidRequestError(
                f"[sort.{field.name}.missing] of a keyword is _last or _first, not [{key.missing}]"
            )

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        reader, no = view.reader, self._field.no
        column = reader.column(no)
        if column is None:
            nothing = np.zeros(len(docs), bool)
            return self._terms_column(nothing, nothing, lambda _: b"", lambda _: 0, 0)
        ordinals, has_value = one_value(column, docs, self._mode)
        n_terms = ord_count(column)
        return self._terms_column(
            ordinals,
            has_value,
            lambda ordinal: reader.ord_term(no, ordinal),
            lambda term: first_ordinal(reader, no, term, n_terms),
            n_terms,
        )


class IdKey(TermKey):
    """The document's key. Reads every match's key, so it is slow."""

    def column(self, view_no: int, view: View, docs: np.ndarray, scores: np.ndarray) -> KeyColumn:
        keys: list[bytes] = []
        for first in range(0, len(docs), _KEYS_AT_ONCE):
            check_stop(self.stop)
            keys += map(view.reader.key, docs[first : first + _KEYS_AT_ONCE].tolist())
        terms = sorted(set(keys))
        number = {term: i for i, term in enumerate(terms)}
        ordinals = np.array([number[key] for key in keys], np.int64)
        has_value = np.ones(len(keys), bool)
        return self._terms_column(
            ordinals,
            has_value,
            terms.__getitem__,
            lambda term: bisect_left(terms, term),
            len(terms),
        )


def make_key(key: SortKey, schema: Schema, stop: Stop = NEVER) -> Key:
    """Return the key for a sort entry. Raises: InvalidQueryError, InvalidRequestError."""
    made = _make_key(key, schema)
    made.stop = stop
    return made


def _make_key(key: SortKey, schema: Schema) -> Key:
    special = {"_score": ScoreKey, "_doc": DocKey, "_shard_doc": DocKey, "_id": IdKey}
    if key.field in special:
        return special[key.field](key)
    field = schema.field(key.field)
    if field is None:
        if key.unmapped_type is None:
            raise InvalidQueryError(f"no mapping found for [{key.field}] in order to sort on")
        field = Field(no=-1, name=key.field, type=key.unmapped_type)
    if field.is_text:
        raise InvalidRequestError(
            f"text field [{field.name}] cannot be sorted by, use a keyword field instead"
        )
    return KeywordKey(key, field) if field.is_keyword else NumberKey(key, field)
