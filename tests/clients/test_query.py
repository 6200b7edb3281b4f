from __future__ import annotations

import pytest

from tailrace_client import Q
from tailrace_client.query import to_query


def test_and_joins_into_one_bool() -> None:
    query = Q.match("title", "iron bridge") & Q.term("draft", False) & Q.exists("year")
    assert query.to_json() == {
        "bool": {
            "must": [
                {"match": {"title": {"query": "iron bridge"}}},
                {"term": {"draft": {"value": False}}},
                {"exists": {"field": "year"}},
            ]
        }
    }


def test_or_and_not_nest() -> None:
    query = Q.term("a", 1) | ~Q.term("b", 2)
    assert query.to_json() == {
        "bool": {
            "should": [
                {"term": {"a": {"value": 1}}},
                {"bool": {"must_not": [{"term": {"b": {"value": 2}}}]}},
            ]
        }
    }


def test_and_does_not_open_a_bool_that_has_other_clauses() -> None:
    filtered = Q.match_all().filter(Q.term("a", 1))
    assert (filtered & Q.term("b", 2)).to_json()["bool"]["must"][0] == filtered.to_json()


def test_range_leaves_out_what_is_not_given_but_keeps_zero() -> None:
    assert Q.range("n", gte=0, lt=5).to_json() == {"range": {"n": {"gte": 0, "lt": 5}}}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, {"match_all": {}}),
        ("a AND b", {"query_string": {"query": "a AND b"}}),
        (Q.ids(["1"]), {"ids": {"values": ["1"]}}),
        ({"match_none": {}}, {"match_none": {}}),
    ],
)
def test_a_query_may_be_text_json_or_built(given: object, sent: dict[str, object]) -> None:
    assert to_query(given) == sent  # type: ignore[arg-type]


def test_equal_queries_are_equal() -> None:
    assert Q.phrase("t", "a b", slop=1) == Q.phrase("t", "a b", slop=1)
    assert len({Q.prefix("t", "a"), Q.prefix("t", "a"), Q.wildcard("t", "a*")}) == 2
