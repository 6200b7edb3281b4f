from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.errors import InvalidQueryError
from index.query import ast
from index.query.parse_simple import parse_simple_query_string
from index.query.parse_string import parse_query_string

T = (ast.FieldPattern("t"),)


def word(text: str) -> ast.Match:
    return ast.Match("t", text)


def parse(text: str, operator: ast.Operator = "or") -> ast.Query:
    return parse_query_string(text, T, operator)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a", word("a")),
        ("a b", ast.Bool(should=(word("a"), word("b")))),
        ("a AND b", ast.Bool(must=(word("a"), word("b")))),
        ("a && b", ast.Bool(must=(word("a"), word("b")))),
        ("a || b", ast.Bool(should=(word("a"), word("b")))),
        ("a NOT b", ast.Bool(should=(word("a"),), must_not=(word("b"),))),
        ("+a -b !c", ast.Bool(must=(word("a"),), must_not=(word("b"), word("c")))),
        ("a OR b AND c", ast.Bool(must=(word("b"), word("c")), should=(word("a"),))),
        ("-a", ast.Bool(must_not=(word("a"),))),
        ("ANDROID ORB", ast.Bool(should=(word("ANDROID"), word("ORB")))),
        ("(a b)^2", ast.Bool(should=(word("a"), word("b")), boost=2.0)),
        ('"a b"', ast.MatchPhrase("t", "a b")),
        ('"a b"~2^3', ast.MatchPhrase("t", "a b", slop=2, boost=3.0)),
        ("f:a", ast.Match("f", "a")),
        ("f:(a OR b)", ast.Bool(should=(ast.Match("f", "a"), ast.Match("f", "b")))),
        ("pre*", ast.Prefix("t", "pre", normalize=True)),
        ("*fix", ast.Wildcard("t", "*fix", normalize=True)),
        ("f?o", ast.Wildcard("t", "f?o", normalize=True)),
        (r"f\?o", word("f?o")),
        (r"a\*b*", ast.Prefix("t", "a*b", normalize=True)),
        (r"/f(o|u)\/x/", ast.Regexp("t", "f(o|u)/x")),
        (r"a\*b?", ast.Wildcard("t", r"a\*b?", normalize=True)),
        ("n:*", ast.Exists("n")),
        ("_exists_:n", ast.Exists("n")),
        ("*:*", ast.MatchAll()),
        ("_id:x", ast.Ids(("x",))),
        ("n:>=5", ast.Range("n", gte="5")),
        ("n:<5", ast.Range("n", lt="5")),
        ("n:[1 TO 5}", ast.Range("n", gte="1", lt="5")),
        ("n:{1 TO *]", ast.Range("n", gt="1")),
        ('d:["2020-01-01" TO now-1d]', ast.Range("d", gte="2020-01-01", lte="now-1d")),
        ("d:>2020-01-01T10:00:00", ast.Range("d", gt="2020-01-01T10:00:00")),
        ("ugly~1", ast.Fuzzy("t", "ugly", fuzziness="1", normalize=True)),
        ("x-y", word("x-y")),
        ("", ast.MatchNone()),
    ],
)
def test_strings_mean(text: str, query: ast.Query) -> None:
    assert parse(text) == query


def test_the_default_operator_can_be_and() -> None:
    assert parse("a b", "and") == ast.Bool(
        must=(ast.Match("t", "a", operator="and"), ast.Match("t", "b", operator="and"))
    )


def test_a_word_without_field_is_asked_of_all_fields() -> None:
    leaf = ast.Match("", "a", lenient=True)
    assert parse_query_string("a") == ast.OverFields(ast.ALL_FIELDS, leaf)
    assert parse_query_string("*") == ast.MatchAll()


@pytest.mark.parametrize(
    "text",
    ["a AND", "+", "(a", "a)", '"a', "n:[1 5]", "n:[1 TO 5", "a^x", "]", "/re", "a\\", "n:"],
)
def test_what_cannot_be_understood_is_an_error(text: str) -> None:
    with pytest.raises(InvalidQueryError, match="at character"):
        parse(text)


def test_nesting_and_clauses_are_bounded() -> None:
    with pytest.raises(InvalidQueryError, match="nested"):
        parse("(" * 50 + "a" + ")" * 50)
    with pytest.raises(InvalidQueryError, match="clauses"):
        parse("a " * 2000)


@given(text=st.text(alphabet='ab:()[]{}"~^*?\\+-!&|<>=/ TO AND0.', max_size=30))
def test_any_text_is_a_query_or_a_query_error(text: str) -> None:
    with contextlib.suppress(InvalidQueryError):
        parse_query_string(text)


@given(text=st.text(alphabet='ab()"~*\\+-| 0', max_size=30))
def test_simple_strings_never_fail(text: str) -> None:
    assert isinstance(parse_simple_query_string(text), ast.Query)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a +b", ast.Bool(must=(word("a"), word("b")))),
        ("a | b", ast.Bool(should=(word("a"), word("b")))),
        ("-a", ast.Bool(must_not=(word("a"),))),
        ('"a b"~2', ast.MatchPhrase("t", "a b", slop=2)),
        ("pre*", ast.Prefix("t", "pre", normalize=True)),
        ("(a) + (", word("a")),
        ('"', ast.MatchNone()),
    ],
)
def test_simple_strings_mean(text: str, query: ast.Query) -> None:
    assert parse_simple_query_string(text, T) == query


@pytest.mark.parametrize(
    ("text", "at"), [("a AND OR b", 6), ("a && || b", 5), ("(a OR AND b)", 6), ("a OR ) b", 5)]
)
def test_an_operator_without_a_clause_names_the_place(text: str, at: int) -> None:
    with pytest.raises(InvalidQueryError, match=rf"at character {at}: a clause is missing"):
        parse_query_string(text)


def test_a_query_string_has_1024_clauses_at_most() -> None:
    parse_query_string("(" + "a " * 1024 + ")")
    with pytest.raises(InvalidQueryError, match="1024 clauses"):
        parse_query_string("a " * 1025)


def test_a_boost_beyond_a_float_is_refused() -> None:
    with pytest.raises(InvalidQueryError, match=r"at character 2: boost \[9{20}\]"):
        parse_query_string("a^" + "9" * 400)
