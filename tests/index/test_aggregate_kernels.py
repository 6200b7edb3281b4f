"""Kernels of aggregations against plain Python."""

from __future__ import annotations

from collections import Counter
from math import fsum
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.aggregate.cells import number_values
from index.aggregate.keys import byte_order, key_numbers, key_strings, strings_of
from index.aggregate.level import Pairs
from index.aggregate.values import gather
from index.columns import bits_of
from index.kernels import aggregate as kernels
from index.kernels.aggregate import NONE
from index.reader import Column

FAST = settings(deadline=None, max_examples=60)
keys_or_none = st.integers(0, 6).map(lambda key: NONE if key == 6 else key)


def u32(values: Any) -> np.ndarray:
    return np.array(list(values), np.uint32)


@st.composite
def columns(draw: Any) -> tuple[list[list[int]], Column]:
    """Documents' values, and the column of them."""
    lists = draw(st.lists(st.lists(st.integers(-3, 3), max_size=3), min_size=1, max_size=20))
    if draw(st.booleans()):
        lists = [own[:1] for own in lists]
        values = np.array([own[0] if own else 9 for own in lists], np.int64)
        return lists, Column("i64", values, bits_of(np.array([bool(own) for own in lists])), None)
    starts = np.zeros(len(lists) + 1, np.uint32)
    starts[1:] = np.cumsum([len(own) for own in lists])
    values = np.array([value for own in lists for value in own], np.int64)
    return lists, Column("i64", values, None, starts)


@FAST
@given(columns(), st.data())
def test_gather_gives_each_value_of_each_pair(
    drawn: tuple[list[list[int]], Column], data: st.DataObject
) -> None:
    lists, column = drawn
    docs = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=30))
    owners = data.draw(st.lists(st.integers(0, 4), min_size=len(docs), max_size=len(docs)))
    missing = data.draw(st.none() | st.integers(-9, 9))
    found = gather(column, Pairs(u32(docs), u32(owners)), missing, np.int64)
    expected = [
        (doc, owner, value)
        for doc, owner in zip(docs, owners, strict=True)
        for value in lists[doc] or ([] if missing is None else [missing])
    ]
    rows = zip(found.docs.tolist(), found.owners.tolist(), found.values.tolist(), strict=True)
    assert list(rows) == expected


@FAST
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), keys_or_none), max_size=40))
def test_cells_are_counted_once_for_each_pair(rows: list[tuple[int, int, int]]) -> None:
    rows = sorted(rows)
    docs, owners, keys = (u32(row[i] for row in rows) for i in range(3))
    counts, cells = np.zeros(18, np.int64), keys.copy()
    kernels.count_cells(owners, cells, 6, counts)
    kept = [(doc, owner * 6 + key) for doc, owner, key in rows if key != NONE]
    assert counts.tolist() == [Counter(cell for _, cell in kept)[cell] for cell in range(18)]
    assert [cell for cell in cells.tolist() if cell != NONE] == [cell for _, cell in kept]
    counts[:] = 0
    kernels.count_cells_once(docs, owners, keys, 6, counts, np.zeros(18, np.uint32))
    once = Counter(cell for _, cell in set(kept))
    assert counts.tolist() == [once[cell] for cell in range(18)]
    numbers = u32([NONE, 3] * 9)
    out_docs, out_owners = np.empty((2, len(rows)), np.uint32)
    n = kernels.keep_cells(docs, keys, numbers, out_docs, out_owners)
    assert sorted(out_docs[:n].tolist()) == sorted(doc for doc, cell in set(kept) if cell % 2)
    assert set(out_owners[:n].tolist()) <= {3}


@FAST
@given(columns(), st.none() | st.permutations(range(7)), st.booleans(), st.data())
def test_ordinals_are_counted_once_for_each_document(
    drawn: tuple[list[list[int]], Column],
    numbers: list[int] | None,
    has_missing: bool,
    data: st.DataObject,
) -> None:
    lists, column = drawn
    docs = sorted(data.draw(st.sets(st.integers(0, len(lists) - 1))))
    counts = np.zeros(8, np.int64)
    kernels.count_ordinals(
        u32(docs),
        (column.values + 3).astype(np.uint32),
        np.empty(0, np.uint64) if column.present is None else column.present,
        np.empty(0, np.uint32) if column.starts is None else column.starts,
        u32(numbers or []),
        7 if has_missing else -1,
        counts,
        np.zeros(8, np.uint32),
    )
    expected: Counter[int] = Counter()
    for doc in docs:
        own = {value + 3 if numbers is None else numbers[value + 3] for value in lists[doc]}
        expected.update(own or ({7} if has_missing else ()))
    assert counts.tolist() == [expected[number] for number in range(8)]


@FAST
@given(st.lists(st.integers(-50, 150), max_size=30), st.sets(st.integers(0, 100), min_size=2))
def test_a_value_is_placed_between_its_bounds(values: list[int], bounds: set[int]) -> None:
    ends = sorted(bounds)
    out = np.empty(len(values), np.uint32)
    kernels.place_between(np.array(values, np.int64), np.array(ends, np.int64), out)
    for value, key in zip(values, out.tolist(), strict=True):
        if ends[0] <= value < ends[-1]:
            assert ends[key] <= value < ends[key + 1]
        else:
            assert key == NONE


@FAST
@given(st.lists(st.floats(-5, 5), max_size=20), st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=4))  # fmt: skip # noqa: E501
def test_ranges_take_their_lower_end_and_leave_the_upper(
    values: list[float], ranges: list[tuple[float, float]]
) -> None:
    at, keys = np.empty(len(values), np.int64), np.empty(len(values), np.uint32)
    lows, highs = np.array(ranges, np.float64).T.copy()
    n = kernels.find_ranges(np.array(values, np.float64), lows, highs, at, keys)
    expected = [
        (i, j)
        for i, value in enumerate(values)
        for j, (low, high) in enumerate(ranges)
        if low <= value < high
    ]
    assert n == len(expected)
    written = min(n, len(at))
    assert list(zip(at[:written], keys[:written], strict=True)) == expected[:written]


@FAST
@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=50))
def test_equal_numbers_get_equal_keys_in_order(values: list[int]) -> None:
    array = np.array(values, np.int64)
    numbers, distinct = number_values(array)
    assert distinct[numbers].tolist() == values
    assert len(set(distinct.tolist())) == len(distinct)
    [keys], ordered = key_numbers([array])
    assert ordered[keys].tolist() == values
    assert set(ordered.tolist()) >= set(values)
    assert ordered.tolist() == sorted(set(ordered.tolist()))


@FAST
@given(st.lists(st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0]), max_size=50))
def test_fractions_are_keyed_by_value(values: list[float]) -> None:
    [keys, none], ordered = key_numbers([np.array(values, np.float64), np.empty(0)])
    assert ordered[keys].tolist() == values
    assert ordered.tolist() == sorted(set(values))
    assert not len(none)


terms = st.binary(max_size=20) | st.sampled_from([b"a" * 16 + bytes([n]) for n in range(4)])


@FAST
@given(st.lists(st.lists(terms, unique=True, max_size=12), min_size=1, max_size=4))
def test_terms_of_several_lists_get_one_numbering(lists: list[list[bytes]]) -> None:
    found = key_strings([strings_of(sorted(own)) for own in lists])
    expected = sorted({term for own in lists for term in own})
    assert [found.term(key) for key in range(found.n)] == expected
    for own, keys in zip(lists, found.maps, strict=True):
        assert [expected[key] for key in keys.tolist()] == sorted(own)


@FAST
@given(st.lists(terms, unique=True, max_size=12))
def test_strings_are_ordered_by_their_bytes(values: list[bytes]) -> None:
    order = byte_order(strings_of(values), np.arange(len(values)))
    assert [values[i] for i in order.tolist()] == sorted(values)


@FAST
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-1e9, 1e9)), max_size=30))
def test_sums_do_not_lose_what_is_small(rows: list[tuple[int, float]]) -> None:
    rows += [(0, 1e16), (0, 1.0), (0, -1e16)]
    counts, sums = np.zeros(3, np.int64), np.zeros((3, 6))
    sums[:, 0], sums[:, 1] = np.inf, -np.inf
    values = np.array([value for _, value in rows])
    kernels.accumulate(u32(owner for owner, _ in rows), values, counts, sums)
    for owner in range(3):
        own = [value for of, value in rows if of == owner]
        assert counts[owner] == len(own)
        assert sums[owner, 0] == min(own, default=np.inf)
        assert sums[owner, 1] == max(own, default=-np.inf)
        assert abs(sums[owner, 2] + sums[owner, 3] - fsum(own)) <= 1e-3
