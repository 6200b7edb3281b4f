"""Sorting by one of several values: which it is, and pages that go on behind it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from index.document import DocumentEvent, Op
from index.errors import InvalidQueryError
from index.query.parse_json import parse_search
from index.query.request import SearchRequest
from index.searcher import Searcher
from tests.index.search_world import NOW_MS, views_of
from tests.oracle import Oracle, OracleHit

LARGEST = 2**63 - 1
Batches = list[list[tuple[str, dict[str, Any]]]]


def several(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(one, st.lists(one, max_size=4))


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "n": several(
            st.one_of(
                st.integers(-3, 3),
                st.integers(-(2**63), LARGEST),
                st.sampled_from([-(2**63), LARGEST, 2**53 + 1, -(2**53) - 1]),
            )
        ),
        "f": several(st.sampled_from([-2.5, -1.0, 0.25, 3.0, 2.0**40])),
        "d": several(st.integers(-5, 5)),
        "b": several(st.booleans()),
    },
)
BATCHES = st.lists(st.lists(DOCUMENTS, min_size=1, max_size=8), min_size=1, max_size=3)


def named(batches: list[list[dict[str, Any]]]) -> Batches:
    return [
        [(f"{i}.{j}", document) for j, document in enumerate(batch)]
        for i, batch in enumerate(batches)
    ]


def opened(batches: Batches) -> tuple[Searcher, Oracle]:
    views, ref = views_of(*batches)
    oracle = Oracle(ref)
    for offset, (key, document) in enumerate(pair for batch in batches for pair in batch):
        oracle.apply(DocumentEvent(offset, Op.UPSERT, key.encode(), None, document))
    return Searcher(views, ref.current, NOW_MS), oracle


def page(searcher: Searcher, request: SearchRequest) -> list[OracleHit]:
    hits = searcher.search(request).hits
    return [OracleHit(searcher.key(hit), hit.score, hit.sort) for hit in hits]


@settings(deadline=None, max_examples=150)
@given(
    batches=BATCHES,
    field=st.sampled_from(["n", "n", "f", "d", "b"]),
    mode=st.sampled_from(["min", "max", "sum", "avg", "median"]),
    order=st.sampled_from(["asc", "desc"]),
    missing=st.sampled_from(["_last", "_first", 0, 1.5, -1.5]),
    size=st.integers(1, 5),
)
def test_pages_by_every_mode_are_those_of_the_oracle(
    batches: list[list[dict[str, Any]]],
    field: str,
    mode: str,
    order: str,
    missing: str | float,
    size: int,
) -> None:
    searcher, oracle = opened(named(batches))
    sort = [{field: {"order": order, "mode": mode, "missing": missing}}, "_id"]
    request = parse_search({"sort": sort, "size": size})
    n_hits = 0
    while hits := page(searcher, request):
        assert hits == oracle.search(request, NOW_MS).hits
        n_hits += len(hits)
        request = replace(request, search_after=hits[-1].sort)
    assert n_hits == len(oracle)


@pytest.mark.parametrize(
    ("mode", "values", "expected"),
    [
        ("avg", [1, 2], 2),
        ("avg", [-1, -2], -1),
        ("avg", [0, 0, 1], 0),
        ("avg", [2**53 + 1], 2**53 + 1),
        ("avg", [2**52 + 1, 2**52 + 1], 2**52 + 1),
        ("avg", [LARGEST, LARGEST], -1),
        ("sum", [LARGEST, 1], -(2**63)),
        ("median", [1, 2], 2),
        ("median", [-2, -1], -1),
        ("median", [9, 2**53 + 1, LARGEST], 2**53 + 1),
        ("median", [LARGEST, LARGEST], LARGEST),
        ("median", [-(2**63), -(2**63)], -(2**63)),
    ],
)
def test_integers_stay_integers_of_64_bits(mode: str, values: list[int], expected: int) -> None:
    searcher, oracle = opened([[("a", {"n": values}), ("b", {"n": [5, 5]}), ("c", {})]])
    request = parse_search({"query": {"ids": {"values": ["a"]}}, "sort": [{"n": {"mode": mode}}]})
    [hit] = page(searcher, request)
    assert hit.sort == (expected,)
    assert type(hit.sort[0]) is int
    assert oracle.search(request).hits == [hit]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("mode", ["avg", "median"])
def test_views_with_and_without_several_values_are_one_order(mode: str, order: str) -> None:
    single: Any = [(f"s{n}", {"n": n}) for n in range(4)]
    several: Any = [(f"t{n}", {"n": [n, n + 1]}) for n in range(4)]
    searcher, oracle = opened([single, several])
    request = parse_search({"sort": [{"n": {"order": order, "mode": mode}}, "_id"], "size": 3})
    for _ in range(3):
        hits = page(searcher, request)
        assert hits == oracle.search(request).hits
        request = replace(request, search_after=hits[-1].sort)
    assert not page(searcher, request)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.filterwarnings("error")
def test_sums_of_floats_past_the_ends_are_infinite_and_have_a_place(order: str) -> None:
    most = 1.7e308
    documents: list[tuple[str, dict[str, Any]]] = [
        ("a", {"f": [-most, -most]}),
        ("b", {"f": [-most] * 16 + [most] * 16}),
        ("c", {"f": 1.0}),
        ("d", {"f": [most, most]}),
    ]
    searcher, _ = opened([documents, [("e", {})]])
    request = parse_search({"sort": [{"f": {"order": order, "mode": "sum"}}, "_id"], "size": 1})
    found = ""
    while hits := page(searcher, request):
        found += hits[0].key.decode()
        request = replace(request, search_after=hits[0].sort)
    assert found == {"asc": "abcde", "desc": "dcabe"}[order]


@pytest.mark.parametrize("text", ["nan", "NaN", "x"])
def test_what_has_no_place_among_numbers_is_an_error(text: str) -> None:
    searcher, _ = opened([[("a", {"f": 1.0, "n": 1})]])
    for sort in ([{"f": {"missing": text}}], [{"n": {"missing": text}}]):
        with pytest.raises(InvalidQueryError):
            searcher.search(parse_search({"sort": sort}))
    for field in ("f", "n"):
        with pytest.raises(InvalidQueryError):
            searcher.search(parse_search({"sort": [field], "search_after": [text]}))
