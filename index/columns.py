"""Columns of a segment: the values of one field, document by document, as they are mapped.

A column on disk has one form, whatever its writer held: `present` always there, zeros where a
document has no value, `starts` only where some document has several.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import CorruptionError
from index.format import Kind, Section, Sections, section
from index.kernels.zones import ZONE_DOCS, find_zones_f64, find_zones_i64
from index.reader import U64, Column, bitset

ColumnKind: TypeAlias = Literal["i64", "f64", "ord"]

DTYPES: dict[str, type[np.generic]] = {"i64": np.int64, "f64": np.float64, "ord": np.uint32}

Mask: TypeAlias = npt.NDArray[np.bool_]


def mask_of(words: U64 | None, n_docs: int) -> Mask:
    """Return the first `n_docs` bits as booleans; None stands for all set."""
    if words is None:
        return np.ones(n_docs, np.bool_)
    return np.unpackbits(words.view(np.uint8), count=n_docs, bitorder="little").view(np.bool_)


def bits_of(mask: Mask) -> U64:
    """Return booleans as a bitset."""
    words = bitset(len(mask))
    packed = np.packbits(mask, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def counts_of(column: Column, n_docs: int) -> npt.NDArray[np.int64]:
    """Return how many values each document has."""
    if column.starts is not None:
        starts = column.starts.astype(np.int64)
        return starts[1:] - starts[:-1]
    return mask_of(column.present, n_docs).astype(np.int64)


def canonical(column: Column, n_docs: int) -> Column:
    """Return the column in the form it has on disk."""
    counts = counts_of(column, n_docs)
    has = counts > 0
    values = np.ascontiguousarray(column.values, DTYPES[column.kind])
    if column.starts is None:
        values = np.where(has, values[:n_docs], values.dtype.type(0))
        return Column(column.kind, values, bits_of(has), None)
    begins = column.starts.astype(np.int64)
    if counts.max(initial=0) > 1:
        starts = (begins - begins[0]).astype(np.uint32)
        return Column(column.kind, values[begins[0] : begins[-1]], bits_of(has), starts)
    dense = np.zeros(n_docs, values.dtype)
    dense[has] = values[begins[:-1][has]]
    return Column(column.kind, dense, bits_of(has), None)


def encode_column(field_no: int, column: Column, n_docs: int) -> Iterator[Section]:
    """Yield the sections of a column. Requires: it is `canonical`."""
    assert column.present is not None, "not canonical"
    yield section(Kind.PRESENT, column.present, field_no)
    yield section(Kind.VALUES, column.values, field_no)
    if column.starts is not None:
        yield section(Kind.VALUE_STARTS, column.starts, field_no)
    if column.kind != "ord":
        yield section(Kind.ZONES, zones_of(column, n_docs), field_no)


def zones_of(column: Column, n_docs: int) -> npt.NDArray[Any]:
    """Return the zone map of a column of numbers. Requires: it is `canonical`."""
    assert column.present is not None, "not canonical"
    starts = column.starts if column.starts is not None else np.empty(0, np.uint32)
    zones = np.empty(2 * n_zones(n_docs), column.values.dtype)
    find = find_zones_i64 if column.kind == "i64" else find_zones_f64
    find(column.values, column.present, starts, n_docs, zones)
    return zones


def n_zones(n_docs: int) -> int:
    return -(-n_docs // ZONE_DOCS)


def open_present(sections: Sections, field_no: int, n_docs: int) -> U64:
    """Raises: CorruptionError where it is not there or of another length."""
    return sections.array(Kind.PRESENT, np.uint64, field_no, n=(n_docs + 63) // 64)


def check_column(sections: Sections, field_no: int, column: Column, n_terms: int) -> None:
    """Raises: CorruptionError where a start is not among the values or an ordinal has no term."""
    starts, values = column.starts, column.values
    if starts is not None and (
        starts[0] != 0 or starts[-1] != len(values) or bool((starts[1:] < starts[:-1]).any())
    ):
        at = sections.offset(Kind.VALUE_STARTS, field_no)
        raise CorruptionError(sections.name, at, "values do not follow each other")
    if column.kind == "ord" and len(values) and int(values.max()) >= max(n_terms, 1):
        at = sections.offset(Kind.VALUES, field_no)
        raise CorruptionError(sections.name, at, f"ordinal {values.max()} of {n_terms} terms")


def open_column(
    sections: Sections, field_no: int, kind: ColumnKind, n_docs: int, n_present: int, n_values: int
) -> Column:
    """Return a mapped column. Raises: CorruptionError where its sections do not fit together."""
    starts: npt.NDArray[Any] | None = None
    if sections.has(Kind.VALUE_STARTS, field_no):
        starts = sections.array(Kind.VALUE_STARTS, np.uint32, field_no, n=n_docs + 1)
    n = n_docs if starts is None else n_values
    values = sections.array(Kind.VALUES, DTYPES[kind], field_no, n=n)
    present = open_present(sections, field_no, n_docs)
    zones: npt.NDArray[Any] | None = None
    if kind != "ord":
        zones = sections.array(Kind.ZONES, DTYPES[kind], field_no, n=2 * n_zones(n_docs))
    return Column(kind, values, None if n_present == n_docs else present, starts, zones)
