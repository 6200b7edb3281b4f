from __future__ import annotations

from typing import Any

import pytest

from index.automaton.regexp import Syntax
from index.errors import InvalidQueryError
from index.query import ast
from index.query.parse_json import parse_query, parse_search
from index.query.request import HighlightField, SortKey, SourceFilter


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"match_all": {}}, ast.MatchAll()),
        ({"match": {"t": "a"}}, ast.Match("t", "a")),
        ({"match": {"t": {"query": 5, "operator": "AND"}}}, ast.Match("t", 5, operator="and")),
        (
            {"match": {"t": {"query": "a", "minimum_should_match": 2, "boost": 3}}},
            ast.Match("t", "a", minimum_should_match="2", boost=3.0),
        ),
        ({"match": {"t": {"query": "a", "fuzziness": 0}}}, ast.Match("t", "a", fuzziness="0")),
        (
            {"match": {"t": {"query": "a", "fuzziness": "auto:1, 4"}}},
            ast.Match("t", "a", fuzziness="AUTO:1,4"),
        ),
        ({"fuzzy": {"t": "a"}}, ast.Fuzzy("t", "a")),
        (
            {"fuzzy": {"t": {"value": "a", "fuzziness": 1.0, "transpositions": False}}},
            ast.Fuzzy("t", "a", fuzziness="1", transpositions=False),
        ),
        (
            {"query_string": {"query": "(a~ b)", "fields": ["t"], "fuzzy_max_expansions": 7}},
            ast.Bool(
                should=(ast.Fuzzy("t", "a", max_expansions=7, normalize=True), ast.Match("t", "b"))
            ),
        ),
        ({"match_phrase": {"t": {"query": "a b", "slop": 1}}}, ast.MatchPhrase("t", "a b", slop=1)),
        ({"term": {"t": {"value": True}}}, ast.Term("t", True)),
        ({"term": {"_id": "x"}}, ast.Ids(("x",))),
        ({"terms": {"t": ["a", 1], "boost": 2}}, ast.Terms("t", ("a", 1), boost=2.0)),
        ({"range": {"n": {"gt": 1, "lte": "2"}}}, ast.Range("n", gt=1, lte="2")),
        ({"range": {"n": {"from": 1, "include_lower": False}}}, ast.Range("n", gt=1)),
        ({"exists": {"field": "n"}}, ast.Exists("n")),
        ({"ids": {"values": ["1", 2]}}, ast.Ids(("1", "2"))),
        ({"prefix": {"t": "a"}}, ast.Prefix("t", "a")),
        ({"wildcard": {"t": {"wildcard": "a*"}}}, ast.Wildcard("t", "a*")),
        ({"regexp": {"t": "a.*"}}, ast.Regexp("t", "a.*")),
        (
            {
                "regexp": {
                    "t": {
                        "value": "~a",
                        "flags": "INTERVAL|empty",
                        "case_insensitive": True,
                        "max_determinized_states": 9,
                        "boost": 2,
                    }
                }
            },
            ast.Regexp(
                "t",
                "~a",
                syntax=Syntax.INTERVAL | Syntax.EMPTY,
                case_insensitive=True,
                max_states=9,
                boost=2.0,
            ),
        ),
        ({"bool": {"must": {"match_all": {}}}}, ast.Bool(must=(ast.MatchAll(),))),
        (
            {"constant_score": {"filter": {"match_all": {}}, "boost": 2}},
            ast.ConstantScore(ast.MatchAll(), boost=2.0),
        ),
        (
            {"dis_max": {"queries": [{"match_all": {}}], "tie_breaker": 0.5}},
            ast.DisMax((ast.MatchAll(),), 0.5),
        ),
        (
            {"multi_match": {"query": "a", "fields": ["t^2", "u*"]}},
            ast.OverFields(
                (ast.FieldPattern("t", 2.0), ast.FieldPattern("u*")), ast.Match("", "a")
            ),
        ),
        ({"query_string": {"query": "a", "fields": ["t"]}}, ast.Match("t", "a")),
        ({"simple_query_string": {"query": "a", "default_field": "t"}}, ast.Match("t", "a")),
    ],
)
def test_bodies_mean(body: dict[str, Any], query: ast.Query) -> None:
    assert parse_query(body) == query


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "[query] expected an object but got array"),
        ({}, "[query] is empty, expected exactly one"),
        ({"a": {}, "b": {}}, "[query] has several keys"),
        ({"matsch": {}}, "[query] unknown query [matsch]"),
        ({"match": {"t": {"query": "a", "x": 1}}}, "[query.match.t] unknown key [x]"),
        ({"match": {"t": {}}}, "[query.match.t] needs [query]"),
        ({"match": {"t": ["a"]}}, "[query.match.t] expected a string, number or boolean"),
        ({"match": {"t": {"query": "a", "operator": "xor"}}}, "[query.match.t.operator] expected"),
        ({"match": {"t": {"query": "a", "fuzziness": 3}}}, "fuzziness] expected 0, 1, 2 or AUTO"),
        ({"fuzzy": {"t": {"value": "a", "fuzziness": "AUTO:5,2"}}}, "expected 0, 1, 2 or AUTO"),
        ({"fuzzy": {"t": {"value": "a", "fuzziness": "AUTO:"}}}, "expected 0, 1, 2 or AUTO"),
        ({"fuzzy": {"t": {"value": "a", "max_expansions": 0}}}, "must be at least 1"),
        ({"match": {"t": {"query": "a", "boost": -1}}}, "boost] may not be negative"),
        ({"terms": {"t": "a"}}, "[query.terms.t] expected an array but got string"),
        ({"term": {"t": float("nan")}}, "[query.term.t] expected"),
        ({"match_phrase": {"t": {"query": "a", "slop": 1.5}}}, "slop] expected a whole number"),
        ({"bool": {"must": [{"term": {}}]}}, "[query.bool.must[0].term] is empty"),
        ({"bool": {"musst": []}}, "[query.bool] unknown key [musst]"),
        (
            {"multi_match": {"query": "a", "type": "cross_fields"}},
            "[cross_fields] is not supported",
        ),
        ({"query_string": {"query": "a AND"}}, "cannot parse query at character"),
    ],
)
def test_errors_name_the_clause(body: Any, message: str) -> None:
    with pytest.raises(InvalidQueryError) as caught:
        parse_query(body)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_depth_and_clauses_are_bounded() -> None:
    deep: dict[str, Any] = {"match_all": {}}
    for _ in range(30):
        deep = {"bool": {"must": [deep]}}
    with pytest.raises(InvalidQueryError, match="nested 20 deep"):
        parse_query(deep)
    terms = [{"term": {"t": i}} for i in range(1025)]
    parse_query({"bool": {"filter": [{"bool": {"should": terms[:1024]}}]}})
    with pytest.raises(InvalidQueryError, match=r"\[1024\]\] a query may have 1024 clauses"):
        parse_query({"bool": {"should": terms}})
    with pytest.raises(InvalidQueryError, match="1024 clauses"):
        parse_query({"bool": {"should": [{"bool": {}}] * 1025}})


def test_an_empty_body_asks_for_ten_of_all() -> None:
    request = parse_search({})
    assert (request.query, request.from_, request.size) == (ast.MatchAll(), 0, 10)
    assert parse_search(None) == request


def test_a_whole_body() -> None:
    request = parse_search(
        {
            "from": "5",
            "size": 20,
            "sort": [
                "a:desc",
                {"b": "desc"},
                {"c": {"missing": "_first", "mode": "max"}},
                "_score",
            ],
            "_source": ["x*"],
            "highlight": {"pre_tags": ["<b>"], "fields": {"t": {"number_of_fragments": 0}}},
            "timeout": "1.5s",
            "track_total_hits": 100,
            "version": True,
        }
    )
    assert (request.from_, request.size, request.timeout_s) == (5, 20, 1.5)
    assert request.sort == (
        SortKey("a", "desc"),
        SortKey("b", "desc"),
        SortKey("c", missing="_first", mode="max"),
        SortKey("_score", "desc"),
    )
    assert request.source == SourceFilter(includes=("x*",))
    assert request.highlight is not None
    assert request.highlight.fields == (
        HighlightField("t", pre_tags=("<b>",), number_of_fragments=0),
    )
    assert (request.track_total_hits, request.version) == (100, True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"siz": 1}, "[body] unknown key [siz]"),
        ({"size": -1}, "[size] may not be negative"),
        ({"size": "x"}, "[size] expected a number"),
        ({"from": 9_999, "size": 2}, "from + size may be 10000 at most"),
        ({"sort": [{"a": {"order": "up"}}]}, "[sort[0].a.order] expected one of"),
        ({"sort": [5]}, "[sort[0]] expected an object but got number"),
        ({"search_after": [1]}, "[search_after] needs a sort"),
        ({"search_after": [1], "sort": ["a", "b"]}, "has 1 values but sort has 2"),
        ({"_source": {"include": 5}}, "[_source.include] expected an array"),
        ({"highlight": {}}, "[highlight] needs [fields]"),
        ({"timeout": "5 minutes"}, "[timeout] expected a time"),
        ({"ags": {}}, "[body] unknown key [ags]"),
    ],
)
def test_errors_of_the_body_name_the_key(body: Any, message: str) -> None:
    with pytest.raises(InvalidQueryError) as caught:
        parse_search(body)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["ext", "rescore", "collapse", "suggest", "script_fields", "pit"])
def test_what_would_have_no_effect_is_refused(key: str) -> None:
    parse_search({key: False})
    parse_search({key: []})
    for value in (True, "true", ["title"], {"a": 1}):
        with pytest.raises(InvalidQueryError, match=rf"\[{key}\] is not supported"):
            parse_search({key: value})


@pytest.mark.parametrize("boost", [-1, 3.5e38, 1e300, "nan", "inf"])
def test_a_boost_that_scores_cannot_hold_is_refused_by_name(boost: object) -> None:
    with pytest.raises(InvalidQueryError, match=r"query.match.t.boost\]"):
        parse_query({"match": {"t": {"query": "a", "boost": boost}}})
    with pytest.raises(InvalidQueryError, match=r"fields"):
        parse_query({"multi_match": {"query": "a", "fields": [f"t^{boost}"]}})


@pytest.mark.parametrize(
    "query", [{"terms": {"tag": ["x"] * 65_537}}, {"ids": {"values": [1] * 65_537}}]
)
def test_terms_have_a_limit(query: dict[str, Any]) -> None:
    with pytest.raises(InvalidQueryError, match=r"terms \[65537\] is above the limit of \[65536\]"):
        parse_search({"query": query})
