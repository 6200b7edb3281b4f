"""The values of a field, pair by pair: what every aggregation reads its columns through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from index.aggregate.level import NO_U32, Level, Pairs, Place, Scope
from index.errors import InvalidQueryError, InvalidRequestError
from index.field import Field
from index.kernels import aggregate as kernels
from index.memtable_reader import MemtableReader
from index.query.ast import Scalar
from index.query.values import exact_bounds
from index.reader import U32, U64, Column

NO_U64: U64 = np.empty(0, np.uint64)
_GATHER = {
    "int64": kernels.gather_i64,
    "float64": kernels.gather_f64,
    "uint32": kernels.gather_ord,
}


class Gathered(NamedTuple):
    """A pair for each value of each pair of a level, in one view."""

    docs: U32
    owners: U32
    values: np.ndarray
    is_multi: bool
    """Whether a pair may be there several times, one after the other."""


class Source:
    """A field as an aggregation finds it in all views. Raises: InvalidRequestError for text."""

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope = scope
        self.name = name
        self.fields = [place.field(name) for place in scope.places]
        found = [
            field
            for searcher in scope.searchers
            if (field := searcher.schema.field(name)) is not None
        ]
        for field in found:
            if field.is_text:
                raise InvalidRequestError(
                    "text fields are not optimised for operations that require per-document field "
                    "data like aggregations and sorting, so these operations are disabled by "
                    f"default, use a keyword field instead of [{name}]"
                )
        if len({field.is_keyword for field in found}) > 1:
            raise InvalidRequestError(
                f"field [{name}] is a keyword in one index and a number in another, "
                "they cannot be aggregated together"
            )
        self.field: Field | None = found[0] if found else None
        """The field of the first index that has it; None: no index has it."""
        self.is_keyword = bool(found) and found[0].is_keyword
        self.is_float = any(field.column_kind == "f64" for field in found)

    def column(self, number: int) -> Column | None:
        """Return the column of view `number`, None where no document has a value."""
        field = self.fields[number]
        return None if field is None else self.scope.places[number].view.reader.column(field.no)

    def terms(self, number: int) -> Column | None:
        """Return the column of a keyword in view `number`: of a segment ordinals, of a memtable
        term ids, whose order means nothing."""
        field, reader = self.fields[number], self.scope.places[number].view.reader
        if field is not None and isinstance(reader, MemtableReader):
            return reader.term_column(field.no)
        return self.column(number)

    def gather(self, level: Level, missing: float | int | None = None) -> list[Gathered]:
        """Return the values of all views as they lie in the columns.

        `missing` is what a document without a value has instead.
        """
        return [
            gather(self.column(number), pairs, missing, self.dtype)
            for number, pairs in enumerate(level.pairs)
        ]

    @property
    def dtype(self) -> type[np.generic]:
        if self.is_keyword:
            return np.uint32
        return np.float64 if self.is_float else np.int64

    def number(self, value: Scalar | None, path: str) -> float | int | None:
        """Return a value of the request as the column holds it; as a float, if it holds whole
        numbers and this is none. Raises: InvalidQueryError."""
        if value is None:
            return None
        if self.field is None:
            return float(_plain_number(value, path))
        bounds = exact_bounds(self.field, value, self.scope.now_ms)
        if bounds is None:
            return float(value)
        return float(bounds[0]) if self.is_float else bounds[0]

    def held(self, value: Scalar | None, path: str) -> float | int | None:
        """Return the same. Raises: InvalidQueryError where the column cannot hold it."""
        number = self.number(value, path)
        if isinstance(number, float) and not self.is_float:
            raise InvalidQueryError(f"[{path}] [{value}] is no whole number, as [{self.name}] has")
        return number


def numeric(scope: Scope, name: str, kind: str) -> Source:
    """Return a field that holds numbers. Raises: InvalidRequestError where it does not."""
    source = Source(scope, name)
    if source.is_keyword:
        raise InvalidRequestError(
            f"field [{name}] of type [keyword] is not supported for aggregation [{kind}]"
        )
    return source


def numbers(source: Source, level: Level, missing: Scalar | None, path: str) -> list[Gathered]:
    """Return all values as f64."""
    own = source.number(missing, path)
    if isinstance(own, float) and not source.is_float:
        # a fraction for documents of an integer field: only as f64 it can be among them
        return [
            gather(_as_floats(source.column(i)), pairs, own, np.float64)
            for i, pairs in enumerate(level.pairs)
        ]
    return [
        found._replace(values=found.values.astype(np.float64, copy=False))
        for found in source.gather(level, own)
    ]


def _as_floats(column: Column | None) -> Column | None:
    if column is None:
        return None
    return Column("f64", column.values.astype(np.float64), column.present, column.starts)


def gather(
    column: Column | None, pairs: Pairs, missing: float | int | None, dtype: type[np.generic]
) -> Gathered:
    """Return the values of one view's pairs; `dtype` is what views without a column have."""
    docs, owners = pairs.docs, pairs.owners
    if column is None:
        if missing is None:
            return Gathered(NO_U32, NO_U32, np.empty(0, dtype), False)
        return Gathered(docs, owners, np.full(len(docs), missing, dtype), False)
    values = column.values
    if column.starts is None and column.present is None:
        # without owners no document comes twice, so as many as there are means all of them
        is_all = not len(owners) and len(docs) == len(values)
        found = values if is_all else values[docs]
        return Gathered(docs, owners, found.astype(dtype, copy=False), False)
    starts = NO_U32 if column.starts is None else column.starts
    n = len(docs)
    if column.starts is not None:
        n += kernels.count_values(docs, starts)
    out_docs, out_values = np.empty(n, np.uint32), np.empty(n, values.dtype)
    out_owners = np.empty(n if len(owners) else 0, np.uint32)
    n = _GATHER[values.dtype.name](
        docs,
        owners,
        values,
        NO_U64 if column.present is None or column.starts is not None else column.present,
        starts,
        np.array([] if missing is None else [missing], values.dtype),
        out_docs,
        out_owners,
        out_values,
    )
    found = out_values[:n].astype(dtype, copy=False)
    owners = out_owners[:n] if len(owners) else NO_U32
    return Gathered(out_docs[:n], owners, found, column.starts is not None)


def without_value(scope: Scope, name: str) -> list[U64]:
    """Return, of each view, the bitset of the documents that have no value in a field."""
    return [_absent(place, name) for place in scope.places]


def _absent(place: Place, name: str) -> U64:
    reader = place.view.reader
    words = np.full((reader.n_docs + 63) // 64, np.iinfo(np.uint64).max, np.uint64)
    field = place.field(name)
    present = None if field is None else reader.present(field.no)
    return words if present is None else ~present


def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the arrays, at least one, one after the other; a single one as it is."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _plain_number(value: Scalar, path: str) -> float | int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise InvalidQueryError(f"[{path}] expected a number but got [{value}]") from None
    return value
