"""A search that is told to stop ends, says so, and answers what it has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.query.leaves import AllLeaf
from index.query.parse_json import parse_query, parse_search
from index.query.plan import cost
from index.query.program import Program
from index.query.request import SortKey
from index.query.rewrite import Rewriter
from index.query.sort_keys import make_key
from index.query.statistics import Statistics
from index.query.stop import NEVER, StoppedError, check_stop, new_stop
from index.searcher import Searcher
from tests.index.random_queries import KINDS
from tests.index.search_world import NOW_MS, World, views_of


def told() -> np.ndarray:
    stop = new_stop()
    stop[0] = 1
    return stop


def test_the_cell_is_polled() -> None:
    check_stop(new_stop())
    check_stop(NEVER)
    with pytest.raises(StoppedError):
        check_stop(told())
    with pytest.raises(ValueError, match="read-only"):
        NEVER[0] = 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [{}, {"sort": ["n"]}, {"min_score": 0.1}, {"terminate_after": 3}])
def test_every_search_ends_when_it_is_told_to(kind: str, more: dict[str, Any]) -> None:
    world = World(5)
    request = parse_search({"query": world.ask.of(kind), **more})
    result = world.searcher().search(request, told())
    assert result.timed_out
    assert result.relation == "gte"


@pytest.mark.parametrize("more", [{}, {"sort": ["n"]}, {"min_score": 0.0}])
def test_what_was_found_by_then_is_the_answer(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell is set while rows are filled, so after the plan and before the kernel runs."""
    documents = [(str(n), {"title": "fox", "n": n}) for n in range(20_000)]
    views, ref = views_of(documents)
    stop = new_stop()
    fill = AllLeaf.fill_views

    def fill_and_tell(self: AllLeaf, *args: Any) -> None:
        fill(self, *args)
        stop[0] = 1

    monkeypatch.setattr(AllLeaf, "fill_views", fill_and_tell)
    body = {"query": {"bool": {"must": [{"match_all": {}}, {"exists": {"field": "n"}}]}}, **more}
    result = Searcher(views, ref.current, NOW_MS).search(parse_search(body), stop)
    assert result.timed_out
    assert result.total < 20_000


def test_walks_through_dictionaries_ask_first() -> None:
    views, ref = views_of([("a", {"title": "fox"})])
    stop = new_stop()
    statistics = Statistics(views)
    query = parse_query({"bool": {"should": [{"prefix": {"title": "f"}}] * 2}})
    plan = Rewriter(ref.current, statistics, NOW_MS, stop=stop).plan(query)
    stop[0] = 1
    with pytest.raises(StoppedError):
        cost(plan)
    with pytest.raises(StoppedError):
        Program(plan, scored=False).run(statistics, range(1))


def test_sorting_by_id_asks_while_it_reads() -> None:
    views, ref = views_of([("a", {"title": "fox"})])
    key = make_key(SortKey("_id"), ref.current, told())
    with pytest.raises(StoppedError):
        key.column(0, views[0], np.zeros(1, np.int64), np.zeros(0, np.float32))
