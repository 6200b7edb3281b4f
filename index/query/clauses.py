"""Each kind of query clause: a table from its JSON name to the function that parses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec.structs import replace

from index.automaton.automaton import MAX_STATES
from index.automaton.regexp import read_syntax
from index.errors import InvalidQueryError
from index.query import ast
from index.query.body import (
    Body,
    as_bool,
    as_list,
    as_object,
    as_str,
    checked_boost,
    fail,
    only_entry,
    scalar,
    string_list,
)
from index.query.boosts import multiplied
from index.query.fuzzy import read_fuzziness
from index.query.parse_string import parse_query_string, parse_simple_query_string
from index.query.string_leaves import refined

MAX_CLAUSES = 1024
MAX_DEPTH = 20
MAX_TERMS = 65_536
"""Of a `terms` or `ids` query, as in OpenSearch."""

_OPERATORS: dict[str, ast.Operator] = {"or": "or", "and": "and"}
_ZERO_TERMS: dict[str, Literal["none", "all"]] = {"none": "none", "all": "all"}


class ClauseParser:
    """Parses one query body; counts on the way its depth and its clauses: the queries that hold
    no others."""

    def __init__(self) -> None:
        self._n_clauses = 0

    def parse(self, value: object, path: str, depth: int = 1) -> ast.Query:
        if depth > MAX_DEPTH:
            raise fail(path, f"queries may be nested {MAX_DEPTH} deep at most")
        n_before = self._n_clauses
        kind, clause = only_entry(value, path)
        parse = CLAUSES.get(kind)
        if parse is None:
            raise fail(path, f"unknown query [{kind}]")
        query = parse(self, clause, f"{path}.{kind}", depth)
        if self._n_clauses == n_before:
            self._n_clauses += 1
        if self._n_clauses > MAX_CLAUSES:
            raise fail(path, f"a query may have {MAX_CLAUSES} clauses at most")
        return query

    def parse_list(self, value: object, path: str, depth: int) -> tuple[ast.Query, ...]:
        """Parse a clause or an array of clauses."""
        if value is None:
            return ()
        if not isinstance(value, list):
            return (self.parse(value, path, depth + 1),)
        return tuple(
            self.parse(clause, f"{path}[{i}]", depth + 1) for i, clause in enumerate(value)
        )


Clause = Callable[[ClauseParser, Any, str, int], ast.Query]


def _one_field(value: object, path: str, short_key: str) -> tuple[str, Body]:
    """Return (field, its body) of `{field: {..}}` or of the short `{field: value}`."""
    field, inner = only_entry(value, path)
    inner_path = f"{path}.{field}"
    if not isinstance(inner, dict):
        inner = {short_key: scalar(inner, inner_path)}
    return field, Body(inner, inner_path)


def _short(value: object, path: str) -> tuple[str, ast.Scalar] | None:
    """Return (field, value) of the short form `{field: value}`, None: it is not one."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((field, inner),) = value.items()
    return None if isinstance(inner, dict) else (field, scalar(inner, f"{path}.{field}"))


def _take_scalar(body: Body, key: str) -> ast.Scalar:
    return scalar(body.need(key), body.at(key))


def _opt_scalar(body: Body, key: str) -> ast.Scalar | None:
    value = body.take(key)
    return None if value is None else scalar(value, body.at(key))


def _minimum(body: Body) -> str | None:
    value = body.take("minimum_should_match")
    return None if value is None else str(scalar(value, body.at("minimum_should_match")))


def _fuzziness(body: Body) -> str | None:
    value = body.take("fuzziness")
    if value is None:
        return None
    word = str(scalar(value, body.at("fuzziness")))
    fuzziness = read_fuzziness(word)
    if fuzziness is None:
        raise fail(
            body.at("fuzziness"), f"expected 0, 1, 2 or AUTO or AUTO:low,high but got [{word}]"
        )
    return fuzziness


def _transpositions(body: Body, key: str) -> bool:
    value = body.take(key)
    return value is None or as_bool(value, body.at(key))


def _expansions(body: Body, key: str = "max_expansions") -> int:
    number = body.natural(key, 50)
    if number == 0:
        raise fail(body.at(key), "must be at least 1 but is [0]")
    return number


def _match_all(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body({} if value is None else value, path)
    body.ignore("_name")
    query = ast.MatchAll(boost=body.boost())
    body.done()
    return query


def _match_none(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body({} if value is None else value, path)
    body.ignore("_name", "boost")
    body.done()
    return ast.MatchNone()


_MATCH_HINTS = ("_name", "auto_generate_synonyms_phrase_query", "fuzzy_rewrite", "cutoff_frequency")


def _match(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    short = _short(value, path)
    if short is not None:
        return ast.Match(*short)
    field, body = _one_field(value, path, "query")
    body.ignore(*_MATCH_HINTS)
    query = ast.Match(
        field,
        _take_scalar(body, "query"),
        operator=body.choice("operator", _OPERATORS, "or"),
        minimum_should_match=_minimum(body),
        fuzziness=_fuzziness(body),
        prefix_length=body.natural("prefix_length", 0),
        max_expansions=_expansions(body),
        transpositions=_transpositions(body, "fuzzy_transpositions"),
        analyzer=body.opt_text("analyzer"),
        zero_terms=body.choice("zero_terms_query", _ZERO_TERMS, "none"),
        lenient=body.flag("lenient"),
        boost=body.boost(),
    )
    body.done()
    return query


def _match_phrase(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    short = _short(value, path)
    if short is not None:
        return ast.MatchPhrase(*short)
    field, body = _one_field(value, path, "query")
    body.ignore("_name")
    query = ast.MatchPhrase(
        field,
        _take_scalar(body, "query"),
        slop=body.natural("slop", 0),
        analyzer=body.opt_text("analyzer"),
        zero_terms=body.choice("zero_terms_query", _ZERO_TERMS, "none"),
        boost=body.boost(),
    )
    body.done()
    return query


def _match_phrase_prefix(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, body = _one_field(value, path, "query")
    body.ignore("_name")
    query = ast.MatchPhrasePrefix(
        field,
        _take_scalar(body, "query"),
        slop=body.natural("slop", 0),
        max_expansions=body.natural("max_expansions", 50),
        analyzer=body.opt_text("analyzer"),
        boost=body.boost(),
    )
    body.done()
    return query


def parse_field_patterns(value: object, path: str) -> tuple[ast.FieldPattern, ...]:
    """Parse `["title^3", "body"]`; None or empty: all fields."""
    patterns = []
    for text in string_list(value, path):
        name, caret, boost = text.partition("^")
        try:
            number = float(boost) if caret else 1.0
        except ValueError:
            raise fail(path, f"bad boost in [{text}]") from None
        patterns.append(ast.FieldPattern(name, checked_boost(number, f"{path}.{text}")))
    return tuple(patterns) or ast.ALL_FIELDS


def _multi_match(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body(value, path)
    body.ignore(*_MATCH_HINTS)
    kind = body.text("type", "best_fields")
    fields = parse_field_patterns(body.take("fields"), body.at("fields"))
    text, tie = _take_scalar(body, "query"), body.opt_number("tie_breaker")
    slop, analyzer = body.natural("slop", 0), body.opt_text("analyzer")
    max_expansions = _expansions(body)
    leaf: ast.Match | ast.MatchPhrase | ast.MatchPhrasePrefix = ast.Match(
        "",
        text,
        operator=body.choice("operator", _OPERATORS, "or"),
        minimum_should_match=_minimum(body),
        fuzziness=_fuzziness(body),
        prefix_length=body.natural("prefix_length", 0),
        max_expansions=max_expansions,
        transpositions=_transpositions(body, "fuzzy_transpositions"),
        analyzer=analyzer,
        zero_terms=body.choice("zero_terms_query", _ZERO_TERMS, "none"),
        lenient=body.flag("lenient"),
    )
    if kind == "phrase":
        leaf = ast.MatchPhrase("", text, slop=slop, analyzer=analyzer)
    elif kind == "phrase_prefix":
        leaf = ast.MatchPhrasePrefix(
            "", text, slop=slop, max_expansions=max_expansions, analyzer=analyzer
        )
    elif kind not in ("best_fields", "most_fields"):
        raise fail(body.at("type"), f"type [{kind}] is not supported")
    boost = body.boost()
    body.done()
    combine: Literal["best", "sum"] = "sum" if kind == "most_fields" and tie is None else "best"
    return ast.OverFields(fields, leaf, combine=combine, tie_breaker=tie or 0.0, boost=boost)


def _term(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    short = _short(value, path)
    if short is not None and short[0] != "_id":
        return ast.Term(*short)
    field, body = _one_field(value, path, "value")
    body.ignore("_name")
    query = ast.Term(
        field,
        _take_scalar(body, "value"),
        case_insensitive=body.flag("case_insensitive"),
        boost=body.boost(),
    )
    body.done()
    return ast.Ids((str(query.value),), boost=query.boost) if field == "_id" else query


def _check_terms(items: list[object], path: str) -> None:
    if len(items) > MAX_TERMS:
        raise fail(path, f"the number of terms [{len(items)}] is above the limit of [{MAX_TERMS}]")


def _terms(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name")
    boost = body.boost()
    field, listed = body.only()
    items = as_list(listed, f"{path}.{field}")
    _check_terms(items, f"{path}.{field}")
    values = tuple(scalar(item, f"{path}.{field}") for item in items)
    if field == "_id":
        return ast.Ids(tuple(str(value) for value in values), boost=boost)
    return ast.Terms(field, values, boost=boost)


def _range(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, inner = Body(value, path).only()
    body = Body(inner, f"{path}.{field}")
    body.ignore("_name", "relation")
    bounds = {key: _opt_scalar(body, key) for key in ("gt", "gte", "lt", "lte")}
    lower, upper = _opt_scalar(body, "from"), _opt_scalar(body, "to")
    includes_lower, includes_upper = body.take("include_lower"), body.take("include_upper")
    if lower is not None:
        bounds["gt" if includes_lower is False else "gte"] = lower
    if upper is not None:
        bounds["lt" if includes_upper is False else "lte"] = upper
    query = replace(
        ast.Range.of(field, bounds),
        format=body.opt_text("format"),
        time_zone=body.opt_text("time_zone"),
        boost=body.boost(),
    )
    body.done()
    return query


def _exists(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name")
    query = ast.Exists(as_str(body.need("field"), body.at("field")), boost=body.boost())
    body.done()
    return query


def _ids(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name", "type")
    values = body.need("values")
    items = values if isinstance(values, list) else [values]
    _check_terms(items, body.at("values"))
    keys = tuple(str(scalar(item, body.at("values"))) for item in items)
    query = ast.Ids(keys, boost=body.boost())
    body.done()
    return query


def _prefix(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, body = _one_field(value, path, "value")
    body.ignore("_name", "rewrite")
    query = ast.Prefix(
        field,
        str(_take_scalar(body, "value")),
        case_insensitive=body.flag("case_insensitive"),
        boost=body.boost(),
    )
    body.done()
    return query


def _wildcard(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, body = _one_field(value, path, "value")
    body.ignore("_name", "rewrite")
    key = "wildcard" if body.has("wildcard") else "value"
    query = ast.Wildcard(
        field,
        str(_take_scalar(body, key)),
        case_insensitive=body.flag("case_insensitive"),
        boost=body.boost(),
    )
    body.done()
    return query


def _regexp(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, body = _one_field(value, path, "value")
    body.ignore("_name", "rewrite")
    names = body.text("flags", "ALL")
    syntax = read_syntax(names)
    if syntax is None:
        raise fail(body.at("flags"), f"expected names such as ALL or INTERVAL but got [{names}]")
    query = ast.Regexp(
        field,
        str(_take_scalar(body, "value")),
        syntax=syntax,
        case_insensitive=body.flag("case_insensitive"),
        max_states=body.natural("max_determinized_states", MAX_STATES),
        boost=body.boost(),
    )
    body.done()
    try:
        query.automaton()
    except InvalidQueryError as error:
        raise fail(path, str(error)) from None
    return query


def _fuzzy(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    field, body = _one_field(value, path, "value")
    body.ignore("_name", "rewrite")
    query = ast.Fuzzy(
        field,
        _take_scalar(body, "value"),
        fuzziness=_fuzziness(body) or "AUTO",
        prefix_length=body.natural("prefix_length", 0),
        max_expansions=_expansions(body),
        transpositions=_transpositions(body, "transpositions"),
        boost=body.boost(),
    )
    body.done()
    return query


def _bool(parser: ClauseParser, value: object, path: str, depth: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name", "adjust_pure_negative")
    parts = {
        key: parser.parse_list(body.take(key), body.at(key), depth)
        for key in ("must", "should", "filter", "must_not")
    }
    query = ast.Bool(**parts, minimum_should_match=_minimum(body), boost=body.boost())
    body.done()
    return query


def _constant_score(parser: ClauseParser, value: object, path: str, depth: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name")
    inner = parser.parse(as_object(body.need("filter"), path), body.at("filter"), depth + 1)
    query = ast.ConstantScore(inner, boost=body.boost())
    body.done()
    return query


def _dis_max(parser: ClauseParser, value: object, path: str, depth: int) -> ast.Query:
    body = Body(value, path)
    body.ignore("_name")
    queries = parser.parse_list(body.need("queries"), body.at("queries"), depth)
    query = ast.DisMax(queries, body.number("tie_breaker", 0.0), boost=body.boost())
    body.done()
    return query


_STRING_HINTS = (
    "_name",
    "allow_leading_wildcard",
    "analyze_wildcard",
    "auto_generate_synonyms_phrase_query",
    "enable_position_increments",
    "escape",
    "flags",
    "max_determinized_states",
    "rewrite",
    "type",
)


_Parse = Callable[[str, tuple[ast.FieldPattern, ...] | None, ast.Operator], ast.Query]


def _parse_text(body: Body, parse: _Parse) -> ast.Query:
    text = str(_take_scalar(body, "query"))
    body.ignore(*_STRING_HINTS)
    named = body.take("fields") or body.take("default_field")
    body.ignore("default_field", "lenient")
    fields = parse_field_patterns(named, body.at("fields")) if named else None
    query = parse(text, fields, body.choice("default_operator", _OPERATORS, "or"))
    return refined(
        query,
        prefix_length=body.natural("fuzzy_prefix_length", 0),
        max_expansions=_expansions(body, "fuzzy_max_expansions"),
        transpositions=_transpositions(body, "fuzzy_transpositions"),
    )


def _query_string(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body({"query": value} if isinstance(value, str) else value, path)
    query = _parse_text(body, parse_query_string)
    minimum, boost = _minimum(body), body.boost()
    body.done()
    return _with_minimum(query, minimum, boost)


def _simple_query_string(_: ClauseParser, value: object, path: str, __: int) -> ast.Query:
    body = Body({"query": value} if isinstance(value, str) else value, path)
    query = _parse_text(body, parse_simple_query_string)
    minimum, boost = _minimum(body), body.boost()
    body.done()
    return _with_minimum(query, minimum, boost)


def _with_minimum(query: ast.Query, minimum: str | None, boost: float) -> ast.Query:
    if isinstance(query, ast.Bool) and query.should and minimum is not None:
        return ast.Bool(
            query.must,
            query.should,
            query.filter,
            query.must_not,
            minimum,
            boost=multiplied(query.boost, boost),
        )
    return query if boost == 1.0 else ast.Bool(must=(query,), boost=boost)


CLAUSES: dict[str, Clause] = {
    "match_all": _match_all,
    "match_none": _match_none,
    "match": _match,
    "match_phrase": _match_phrase,
    "match_phrase_prefix": _match_phrase_prefix,
    "multi_match": _multi_match,
    "term": _term,
    "terms": _terms,
    "range": _range,
    "exists": _exists,
    "ids": _ids,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "regexp": _regexp,
    "fuzzy": _fuzzy,
    "bool": _bool,
    "constant_score": _constant_score,
    "dis_max": _dis_max,
    "query_string": _query_string,
    "simple_query_string": _simple_query_string,
}
