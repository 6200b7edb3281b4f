from __future__ import annotations

import pytest

from bench.goals import GOALS, Goal, Scores


@pytest.mark.parametrize(
    ("sense", "below", "at", "above"),
    [
        (">=", False, True, True),
        (">", False, False, True),
        ("<=", True, True, False),
        ("<", True, False, False),
    ],
)
def test_a_bound_counts_as_its_sense_says(sense: str, below: bool, at: bool, above: bool) -> None:
    goal = Goal("speed", sense, 2.0, "x")  # type: ignore[arg-type]
    assert [goal.is_met(value) for value in (1.9, 2.0, 2.1)] == [below, at, above]


def test_a_verdict_gives_value_wish_and_word() -> None:
    goal = Goal("p99", "<", 2.0, "ms")
    assert goal.verdict(1.5) == "1.50 ms (< 2.00 ms: met)"
    assert goal.verdict(2.5) == "2.50 ms (< 2.00 ms: missed)"


def test_scores_list_what_was_measured_in_its_order_with_its_place() -> None:
    scores = Scores()
    scores.judge("merge", 2.5)
    scores.judge("query p50", 0.9, "live: term low")
    rows = scores.to_markdown().splitlines()[2:]
    assert rows == [
        f"| {GOALS['merge'].what} | >= 2.00x | 2.50x | met |",
        f"| {GOALS['query p50'].what}; live: term low | > 1.00x | 0.90x | **missed** |",
    ]


def test_a_goal_without_a_name_in_the_table_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Scores().judge("no such goal", 1.0)
