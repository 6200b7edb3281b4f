from __future__ import annotations

import pytest

from index.batch import Change
from pipeline import history as history_module
from pipeline.history import History
from pipeline.matching import LiveBatch


def batch(shard: int, next_offset: int, n_changes: int = 1, published: float = 0.0) -> LiveBatch:
    changes = [Change(next_offset - 1, b"k", None, 0)] * n_changes
    return LiveBatch(shard, next_offset, changes, (), 0, published)


@pytest.fixture
def history() -> History:
    history = History()
    history.begin({0: 5, 1: 0})
    return history


def test_nothing_is_kept_before_it_begins() -> None:
    assert not History().is_kept
    assert History().since({}, {}) is None


def test_who_saw_all_up_to_its_beginning_can_go_on(history: History) -> None:
    history.keep(batch(0, 7))
    assert history.since({0: 5}, {0: 7, 1: 0}) is not None
    assert history.since({0: 6, 1: 0}, {0: 7, 1: 0}) is not None


def test_who_saw_less_cannot(history: History) -> None:
    assert history.since({0: 4}, {0: 5, 1: 0}) is None
    assert history.since({}, {0: 5, 1: 0}) is None


def test_who_saw_more_than_there_is_cannot(history: History) -> None:
    assert history.since({0: 5, 1: 3}, {0: 5, 1: 2}) is None


def test_the_oldest_go_past_the_bound(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MAX_CHANGES", 5)
    for number in range(6, 10):
        history.keep(batch(0, number, n_changes=2))
    assert history.n_changes == 4
    assert history.since({0: 6}, {0: 9}) is None
    kept = history.since({0: 7}, {0: 9})
    assert [each.next_offset for each in kept or ()] == [8, 9]


def test_the_old_go_with_age(history: History) -> None:
    history.keep(batch(0, 6, published=0.0))
    history.keep(batch(0, 7, published=100.0))
    assert history.since({0: 5}, {0: 7}) is None
    assert history.since({0: 6}, {0: 7}) is not None


def test_a_batch_larger_than_the_bound_leaves_nothing(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_CHANGES", 1)
    history.keep(batch(1, 3, n_changes=2))
    assert history.n_changes == 0
    assert history.since({0: 5, 1: 3}, {0: 5, 1: 3}) == []


def test_beginning_again_keeps_what_there_is(history: History) -> None:
    history.keep(batch(0, 6))
    history.begin({0: 6, 1: 0})
    assert history.n_changes == 1


def test_its_end_forgets_all(history: History) -> None:
    history.keep(batch(0, 6))
    history.end()
    assert (history.is_kept, history.n_changes) == (False, 0)
