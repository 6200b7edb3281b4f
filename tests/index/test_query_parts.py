"""The small parts: minimum_should_match, values of fields, source filters."""

from __future__ import annotations

from typing import Any

import pytest

from index.errors import InvalidQueryError
from index.query import ast
from index.query.minimum import minimum_should_match
from index.query.request import SourceFilter
from index.query.rewrite import match_names
from index.query.source_filter import filter_fields, filter_source
from index.query.values import exact_bounds, range_bounds
from index.schema import Field, Schema

NOW_MS = 1_600_000_000_000


# --- minimum_should_match ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "n", "needed"),
    [
        ("2", 4, 2), ("-1", 4, 3), ("-9", 4, 0), ("75%", 4, 3), ("75%", 3, 2), ("-25%", 4, 3),
        ("2<75%", 2, 2), ("2<75%", 4, 3), ("2<-25% 9<-3", 4, 3), ("2<-25% 9<-3", 12, 9),
        ("3 < 50%", 4, 2), ("9", 4, 9),
    ],
)  # fmt: skip
def test_minimum_should_match(spec: str, n: int, needed: int) -> None:
    assert minimum_should_match(spec, n) == needed


@pytest.mark.parametrize("spec", ["", "x", "2<", "1 2<3", "%", "2%%"])
def test_a_bad_minimum_should_match_is_an_error(spec: str) -> None:
    with pytest.raises(InvalidQueryError):
        minimum_should_match(spec, 3)


# --- values --------------------------------------------------------------------------------
def field(kind: str) -> Field:
    return Field(no=0, name="x", type=kind)


@pytest.mark.parametrize(
    ("kind", "value", "bounds"),
    [
        ("long", "5", (5, 5)), ("long", 5.0, (5, 5)), ("long", 5.5, None), ("long", 10**30, None),
        ("long", str(2**62 + 1), (2**62 + 1, 2**62 + 1)), ("double", "2.5", (2.5, 2.5)),
        ("boolean", "true", (1, 1)), ("boolean", False, (0, 0)),
        ("date", "1970-01-02", (86_400_000, 172_799_999)), ("date", 7, (7, 7)),
    ],
)  # fmt: skip
def test_a_value_is_what_the_column_holds(kind: str, value: Any, bounds: Any) -> None:
    assert exact_bounds(field(kind), value, NOW_MS) == bounds


@pytest.mark.parametrize(
    ("kind", "value"),
    [("long", "x"), ("long", True), ("double", "nan"), ("boolean", 1.5), ("date", "x"),
     ("date", True), ("long", "1" * 5000)],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error(kind: str, value: Any) -> None:
    with pytest.raises(InvalidQueryError):
        exact_bounds(field(kind), value, NOW_MS)


@pytest.mark.parametrize(
    ("kind", "bounds", "expected"),
    [
        ("long", {"gt": 1, "lt": 4}, (2, 3)), ("long", {"gt": 1.5, "lt": 4.5}, (2, 4)),
        ("long", {"gte": 1.5, "lte": 4.5}, (2, 4)), ("long", {"gt": 3, "lt": 4}, None),
        ("long", {"gte": 10**30}, None), ("double", {"gte": 1, "lte": 2}, (1.0, 2.0)),
        ("date", {"gt": "1970-01-01", "lte": "1970-01-02"}, (86_400_000, 172_799_999)),
        ("date", {"gte": "1970-01-01T01:00:00", "time_zone": "+01:00", "lt": 5}, (0, 4)),
        ("date", {"gte": "1970-01-01T01:00:00Z", "time_zone": "+01:00", "lt": 3_600_001},
         (3_600_000, 3_600_000)),
    ],
)  # fmt: skip
def test_bounds_of_ranges(kind: str, bounds: dict[str, Any], expected: Any) -> None:
    assert range_bounds(ast.Range("x", **bounds), field(kind), NOW_MS) == expected


# --- parts of the source ---------------------------------------------------------------------
SOURCE: dict[str, Any] = {
    "title": "a",
    "user": {"name": "b", "mail": "c", "tags": ["d", "e"]},
    "list": [{"x": 1, "y": 2}, {"y": 3}],
    "u.dotted": 5,
}


@pytest.mark.parametrize(
    ("includes", "excludes", "expected"),
    [
        ((), (), SOURCE),
        (("title",), (), {"title": "a"}),
        (("user",), (), {"user": SOURCE["user"]}),
        (("user.*",), ("user.mail",), {"user": {"name": "b", "tags": ["d", "e"]}}),
        (("*.x",), (), {"list": [{"x": 1}]}),
        ((), ("user", "*y"), {"title": "a", "list": [{"x": 1}, {}], "u.dotted": 5}),
        (("nothing",), (), {}),
    ],
)
def test_source_filters(
    includes: tuple[str, ...], excludes: tuple[str, ...], expected: dict[str, Any]
) -> None:
    assert filter_fields(SOURCE, SourceFilter(includes=includes, excludes=excludes)) == expected


def test_a_whole_source_goes_out_as_it_came() -> None:
    assert filter_source(b'{"a" : 1}', SourceFilter()) == b'{"a" : 1}'
    assert filter_source(b'{"a" : 1,"b":2}', SourceFilter(includes=("b",))) == b'{"b":2}'


SCHEMA = Schema.from_mapping(
    {
        "properties": {
            "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "body": {"type": "text", "analyzer": "english"},
            "d": {"type": "date"},
            "user": {"properties": {"name": {"type": "keyword"}}},
        }
    }
)


def test_patterns_of_field_names() -> None:
    names = [f.name for f in match_names(SCHEMA, "*.*")]
    assert names == ["title.raw", "user.name"]
    assert [f.name for f in match_names(SCHEMA, "t*e")] == ["title"]
    assert match_names(SCHEMA, "title*title") == []
