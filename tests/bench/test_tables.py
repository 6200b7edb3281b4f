from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tables import Table, geometric_mean, in_us, percentile

times = st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=50)


@given(times)
def test_quantiles_lie_within_and_rise(values: list[float]) -> None:
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    assert min(values) <= p50 <= p99 <= max(values)


def test_p99_of_a_hundred_lies_between_the_two_largest() -> None:
    assert 99 <= percentile([float(n) for n in range(1, 101)], 0.99) <= 100


@given(times)
def test_a_geometric_mean_of_ratios_and_of_their_inverses_is_one(values: list[float]) -> None:
    product = geometric_mean(values) * geometric_mean([1 / value for value in values])
    assert product == pytest.approx(1.0)


def test_short_times_keep_a_digit() -> None:
    assert [in_us(6.54e-6), in_us(0.0123)] == ["6.5 us", "12,300 us"]


def test_a_table_is_markdown_under_its_heading() -> None:
    table = Table("Speed", "How it was measured.", ["", "a"])
    table.add("row", "1")
    assert table.to_markdown() == (
        "## Speed\n\nHow it was measured.\n\n|  | a |\n| --- | --- |\n| row | 1 |\n"
    )
