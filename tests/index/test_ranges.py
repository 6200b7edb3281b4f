from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.columns import canonical, n_zones, zones_of
from index.kernels import ranges
from index.kernels.leaves import dense_next
from index.kernels.rows import ROW_WIDTH
from index.live_columns import LiveColumn
from index.reader import Column
from tests.index.storage_world import starts

DTYPES: dict[str, Any] = {"i64": np.int64, "f64": np.float64}
INT_MOST, NAN = 2**63 - 1, float("nan")

numbers: dict[str, Any] = {
    "i64": st.integers(-4, 4) | st.sampled_from([-(2**63), INT_MOST]),
    "f64": st.integers(-4, 4).map(float) | st.sampled_from([NAN, math.inf, -math.inf, 0.5]),
}


def column_of(kind: str, values: list[list[Any]]) -> Column:
    flat = np.array([value for of_doc in values for value in of_doc], DTYPES[kind])
    counts = starts([len(of_doc) for of_doc in values], np.uint32)
    column = canonical(Column(kind, flat, None, counts), len(values))  # type: ignore[arg-type]
    zones = zones_of(column, len(values))
    return Column(column.kind, column.values, column.present, column.starts, zones)


def row_of(column: Column, n_docs: int, low: Any, high: Any, zones: bool) -> np.ndarray:
    row = np.zeros(ROW_WIDTH, np.int64)
    row[0] = ranges.RANGE_I64 if column.kind == "i64" else ranges.RANGE_F64
    row[1] = n_docs
    row[ranges.VALUES] = column.values.ctypes.data
    row[ranges.N_VALUES] = len(column.values)
    bounds = struct.unpack("<qq", struct.pack("<qq" if column.kind == "i64" else "<dd", low, high))
    row[ranges.LOW : ranges.HIGH + 1] = bounds
    row[ranges.PRESENT] = column.present.ctypes.data if column.present is not None else 0
    row[ranges.STARTS] = column.starts.ctypes.data if column.starts is not None else 0
    row[ranges.ZONES] = column.zones.ctypes.data if zones and column.zones is not None else 0
    return row


def documents_in(row: np.ndarray, n_docs: int) -> list[int]:
    """Walk as a query does."""
    found = []
    doc = dense_next(row, 0, n_docs)
    while doc < n_docs:
        found.append(doc)
        doc = dense_next(row, doc + 1, n_docs)
    return found


def stretched(values: list[list[Any]], by: int) -> list[list[Any]]:
    """Repeat every document, so that few drawn ones fill several zones."""
    return [of_doc for of_doc in values for _ in range(by)]


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(sorted(DTYPES)), st.sampled_from([1, 2]), st.sampled_from([1, 300, 1024]),
    st.booleans(), st.data(),
)  # fmt: skip
def test_a_range_is_a_comparison_of_each_value(
    kind: str, most: int, by: int, zones: bool, data: st.DataObject
) -> None:
    of_doc = st.lists(numbers[kind], max_size=most)
    values = stretched(data.draw(st.lists(of_doc, min_size=1, max_size=9)), by)
    low, high = data.draw(numbers[kind]), data.draw(numbers[kind])
    column = column_of(kind, values)
    row = row_of(column, len(values), low, high, zones)
    expected = [doc for doc, vs in enumerate(values) if any(low <= v <= high for v in vs)]
    assert documents_in(row, len(values)) == expected
    assert ranges.count_range(row) == len(expected)
    words = [ranges.range_word(row, word) for word in range((len(values) + 63) // 64)]
    assert sum(int(word).bit_count() for word in words) == len(expected)


def test_zones_without_a_match_are_skipped() -> None:
    values = [[doc] for doc in range(5000)]
    column = column_of("i64", values)
    row = row_of(column, 5000, 3000, 3010, True)
    column.values[:2048] = 3005  # what lies in a zone outside the range is not looked at
    assert documents_in(row, 5000) == list(range(3000, 3011))
    assert ranges.next_range_word(row, 0) == 32
    assert ranges.next_range_word(row, 48) == 79


def test_zones_inside_the_range_are_taken_as_they_are() -> None:
    values: list[list[Any]] = [[1.5] if doc % 3 else [] for doc in range(3000)]
    column = column_of("f64", values)
    row = row_of(column, 3000, 1.0, 2.0, True)
    column.values[:] = 9.0
    assert ranges.count_range(row) == 2000


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 4999, 5000), (5000, 6000, 0), (1024, 2047, 1024), (0, 9, 512)]
)
def test_an_estimate_counts_zones(low: int, high: int, expected: int) -> None:
    column = column_of("i64", [[doc] for doc in range(5000)])
    assert ranges.estimate_range(row_of(column, 5000, low, high, True)) == expected
    assert ranges.estimate_range(row_of(column, 5000, low, high, False)) == 5000


def test_there_are_two_bounds_a_zone() -> None:
    column = column_of("i64", [[doc, -doc] for doc in range(1500)])
    assert n_zones(1500) == 2
    assert column.zones is not None
    assert column.zones.tolist() == [-1023, 1023, -1499, 1499]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(sorted(DTYPES)), st.booleans(), st.data())
def test_the_zone_map_of_a_memtable_grows_with_it(
    kind: Any, has_many: bool, data: st.DataObject
) -> None:
    of_doc = st.lists(numbers[kind], min_size=1, max_size=3 if has_many else 1)
    batches = data.draw(st.lists(st.lists(of_doc, min_size=1, max_size=5), min_size=1, max_size=4))
    live = LiveColumn(kind, 1024)
    doc, values = 0, []
    for batch in batches:
        # every 400th document has a value, so that few fill several zones
        docs = doc + 400 * np.arange(len(batch), dtype=np.uint32)
        live.grow(int(docs[-1]) + 1025)
        flat = np.array([value for vs in batch for value in vs], DTYPES[kind])
        live.append(docs.astype(np.uint32), flat, np.array([len(vs) for vs in batch], np.int64))
        values += [of for vs in batch for of in [vs, *[[]] * 399]]
        doc += 400 * len(batch)
        live.pad(doc)
        column = live.snapshot().column(doc)
        assert column.zones is not None
        expected = zones_of(canonical(column, doc), doc)
        found = column.zones[: len(expected)]
        assert np.array_equal(found, expected, equal_nan=kind == "f64")
