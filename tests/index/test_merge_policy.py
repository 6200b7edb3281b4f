from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.merge_policy import (
    SegmentSize,
    n_unsettled,
    plan_expunge,
    plan_full_merge,
    plan_merge,
)
from index.options import IndexOptions

MB = 1 << 20
OPTIONS = IndexOptions(merge_factor=4, max_merged_bytes=1000 * MB)


def sizes_of(*n_bytes: int) -> list[SegmentSize]:
    return [SegmentSize(n, 1000, 0) for n in n_bytes]


def with_dead(*n_dead: int) -> list[SegmentSize]:
    return [SegmentSize(10 * MB, 1000, dead) for dead in n_dead]


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [
        ([], None),
        ([MB // 2] * 3, None),
        ([MB // 2] * 4, slice(0, 4)),
        ([300 * MB, *[MB // 2] * 4], slice(1, 5)),
        ([300 * MB, MB // 2, 300 * MB, MB // 2], None),
        ([*[30 * MB] * 4, MB // 2], slice(0, 5)),
        ([300 * MB] * 4, None),
        ([200 * MB] * 4, slice(0, 4)),
        ([*[240 * MB] * 4, MB // 2, MB // 2], slice(0, 6)),
        ([260 * MB] * 3, None),
        ([260 * MB] * 8, slice(0, 3)),
        ([2000 * MB, *[MB // 2] * 4, 2000 * MB], slice(1, 5)),
    ],
)
def test_neighbours_alike_are_chosen(n_bytes: list[int], expected: slice | None) -> None:
    assert plan_merge(sizes_of(*n_bytes), OPTIONS) == expected


def test_what_is_cheapest_for_each_segment_saved_comes_first() -> None:
    sizes = sizes_of(*[30 * MB] * 4, *[2 * MB] * 4)
    assert plan_merge(sizes, OPTIONS) == slice(4, 8)


@pytest.mark.parametrize(("n", "expected"), [(5, None), (6, slice(0, 6))])
def test_segments_must_be_less_alike_when_there_are_many(n: int, expected: slice | None) -> None:
    n_bytes = [35 * MB, 10 * MB] * 3
    assert plan_merge(sizes_of(*n_bytes[:n]), OPTIONS) == expected


def test_a_segment_that_is_a_third_dead_is_written_again_alone() -> None:
    assert plan_merge(with_dead(10, 400, 340), OPTIONS) == slice(1, 2)
    assert plan_merge(with_dead(10, 330), OPTIONS) is None


def test_dead_documents_do_not_weigh() -> None:
    half_dead = SegmentSize(400 * MB, 1000, 500)
    assert plan_merge([half_dead] * 4, OPTIONS) == slice(0, 4)
    assert plan_merge([half_dead] * 4 + sizes_of(*[900 * MB] * 2), OPTIONS) == slice(0, 4)


def test_expunging_takes_the_worst_first() -> None:
    assert plan_expunge(with_dead(90, 150, 120)) == slice(1, 2)
    assert plan_expunge(with_dead(90)) is None
    assert plan_expunge([]) is None
    assert plan_expunge([SegmentSize(100, 0, 0)], 0.0) is None


@pytest.mark.parametrize(
    ("n_bytes", "most", "expected"),
    [
        ([], 1, None),
        ([5], 1, None),
        ([5, 5], 1, slice(0, 2)),
        ([5, 5], 2, None),
        ([9, 1, 2, 9], 2, slice(0, 3)),
        ([9, 2, 1, 3], 3, slice(1, 3)),
        ([9, 2, 1, 3], 0, slice(0, 4)),
    ],
)
def test_a_full_merge_leaves_as_many_as_asked(
    n_bytes: list[int], most: int, expected: slice | None
) -> None:
    assert plan_full_merge(sizes_of(*n_bytes), most) == expected


def test_a_full_merge_drops_the_deletes_of_a_single_segment() -> None:
    assert plan_full_merge(with_dead(1)) == slice(0, 1)
    assert plan_full_merge(with_dead(0)) is None


class Written(NamedTuple):
    sizes: list[SegmentSize]
    flushed: int
    merged: int
    most: int
    """Most unsettled segments there were at once, merges done."""


def simulate(flushes: list[int], options: IndexOptions) -> Written:
    sizes: list[SegmentSize] = []
    merged = most = 0
    for n_bytes in flushes:
        sizes.append(SegmentSize(n_bytes, 1, 0))
        while (chosen := plan_merge(sizes, options)) is not None:
            total = sum(size.n_bytes for size in sizes[chosen])
            n = chosen.stop - chosen.start
            assert n >= (2 if 2 * total >= options.max_merged_bytes else options.merge_factor)
            assert total <= options.max_merged_bytes
            merged += total
            sizes[chosen] = [SegmentSize(total, 1, 0)]
        most = max(most, n_unsettled(sizes, options))
    return Written(sizes, sum(flushes), merged, most)


any_flushes = st.lists(
    st.one_of(st.integers(1, 200 * MB), st.just(10 * MB), st.integers(1, MB)),
    min_size=1,
    max_size=150,
)


@settings(deadline=None, max_examples=60)
@given(any_flushes, st.integers(2, 10), st.sampled_from([1 << 50, 1 << 30, 400 * MB]))
def test_unsettled_segments_stay_few(flushes: list[int], factor: int, limit: int) -> None:
    options = IndexOptions(merge_factor=factor, max_merged_bytes=limit)
    assert simulate(flushes, options).most <= 3 * factor


@settings(deadline=None, max_examples=30)
@given(st.integers(MB, 60 * MB), st.integers(2, 400), st.integers(6, 10))
def test_equal_flushes_are_written_less_than_one_and_log_n_times(
    n_bytes: int, n: int, factor: int
) -> None:
    options = IndexOptions(merge_factor=factor, max_merged_bytes=1 << 50)
    written = simulate([n_bytes] * n, options)
    assert (written.flushed + written.merged) / written.flushed < 1 + math.log(n)


@settings(deadline=None, max_examples=60)
@given(any_flushes)
def test_any_flushes_are_written_about_log_n_times(flushes: list[int]) -> None:
    written = simulate(flushes, IndexOptions(max_merged_bytes=1 << 50))
    assert written.merged <= written.flushed * (1 + math.log(len(flushes)))


@settings(deadline=None, max_examples=60)
@given(any_flushes)
def test_segments_too_large_to_merge_again_are_full(flushes: list[int]) -> None:
    """There are no more segments than the bytes ask for, and the unsettled ones."""
    options = IndexOptions(max_merged_bytes=400 * MB)
    written = simulate(flushes, options)
    n_settled = len(written.sizes) - n_unsettled(written.sizes, options)
    factor = options.merge_factor
    assert n_settled <= factor * (written.flushed // options.max_merged_bytes + 1) + 3 * factor
