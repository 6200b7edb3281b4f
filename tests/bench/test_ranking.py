from __future__ import annotations

import pytest

from bench.ranking import ndcg, reciprocal_rank


def test_all_judged_documents_in_order_of_their_grades_are_worth_one() -> None:
    assert ndcg(["a", "b", "x"], {"a": 2, "b": 1}) == pytest.approx(1.0)


def test_a_lower_place_is_worth_less_and_the_eleventh_nothing() -> None:
    grades = {"a": 1}
    places = [ndcg(["x"] * n + ["a"], grades) for n in range(11)]
    assert places == sorted(places, reverse=True)
    assert places[1] == pytest.approx(0.6309, abs=1e-4)
    assert places[10] == 0


def test_the_reciprocal_rank_is_of_the_first_relevant_one() -> None:
    assert reciprocal_rank(["x", "b", "a"], {"a": 1, "b": 1}) == 0.5
    assert reciprocal_rank(["x"] * 10 + ["a"], {"a": 1}) == 0
