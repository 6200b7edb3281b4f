from __future__ import annotations

import pytest

from server.freshness import percentile_ms, summarise

INF = float("inf")


def test_nothing_has_no_percentile() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([(0.1, 0.0), (INF, 0.0)], 0.5) is None


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, 5.0), (0.5, 10.0), (0.75, 55.0), (1.0, 100.0)]
)
def test_within_a_bucket_the_line_is_straight(share: float, expected: float) -> None:
    assert percentile_ms([(0.01, 10.0), (0.1, 20.0), (INF, 20.0)], share) == expected


def test_past_the_last_bound_it_is_that_bound() -> None:
    assert percentile_ms([(0.01, 0.0), (0.1, 1.0), (INF, 100.0)], 0.99) == 100.0


def test_only_what_came_between_two_readings_counts() -> None:
    old = [(0.01, 100.0), (0.1, 100.0), (INF, 100.0)]
    new = [(0.01, 100.0), (0.1, 110.0), (INF, 110.0)]
    answer = summarise(new, old, seconds=2.0)
    assert (answer["documents"], answer["total"], answer["per_second"]) == (10, 110, 5.0)
    assert answer["p50_ms"] == pytest.approx(55.0)
