from __future__ import annotations

import pytest

from index.errors import OverloadError
from index.query.request import SearchRequest, SortKey
from server.faults import ScrollNotFoundError
from server.limits import Limits
from server.scrolls import ScrollTable, with_total_order


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(clock: Clock) -> ScrollTable:
    return ScrollTable(Limits(scrolls=2, scroll_s=60.0), clock)


def test_a_scroll_that_is_asked_for_lives_on(table: ScrollTable, clock: Clock) -> None:
    name, scroll = table.open([], SearchRequest(), keep_s=10.0)
    for _ in range(5):
        clock.now += 9.0
        assert table.find(name, None) is scroll


def test_one_that_is_not_asked_for_is_gone(table: ScrollTable, clock: Clock) -> None:
    name, _ = table.open([], SearchRequest(), keep_s=10.0)
    clock.now += 10.5
    with pytest.raises(ScrollNotFoundError):
        table.find(name, None)
    assert len(table) == 0


def test_nobody_keeps_a_scroll_longer_than_allowed(table: ScrollTable, clock: Clock) -> None:
    name, _ = table.open([], SearchRequest(), keep_s=1e9)
    clock.now += 61.0
    with pytest.raises(ScrollNotFoundError):
        table.find(name, 1e9)


def test_the_table_is_bounded_and_closing_makes_room(table: ScrollTable) -> None:
    names = [table.open([], SearchRequest(), keep_s=10.0)[0] for _ in range(2)]
    with pytest.raises(OverloadError):
        table.open([], SearchRequest(), keep_s=10.0)
    assert table.close(names[0])
    assert not table.close(names[0])
    table.open([], SearchRequest(), keep_s=10.0)


def test_a_total_order_ends_in_log_order() -> None:
    by_score, n_added = with_total_order(SearchRequest())
    assert ([key.field for key in by_score.sort], n_added) == (["_score", "_doc"], 2)
    by_field, n_added = with_total_order(SearchRequest(sort=(SortKey("n"),)))
    assert ([key.field for key in by_field.sort], n_added) == (["n", "_doc"], 1)
    by_doc, n_added = with_total_order(SearchRequest(sort=(SortKey("_doc"),)))
    assert ([key.field for key in by_doc.sort], n_added) == (["_doc"], 0)
