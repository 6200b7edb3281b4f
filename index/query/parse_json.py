"""JSON bodies -> requests: OpenSearch's query DSL and search body.

Raises everywhere: InvalidQueryError, whose message begins with the path of the clause.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from index.query import ast
from index.query.body import (
    Body,
    as_bool,
    as_int,
    as_list,
    as_number,
    as_object,
    as_str,
    checked_boost,
    fail,
    scalar,
    string_list,
)
from index.query.clauses import ClauseParser
from index.query.parse_aggregations import AggregationParser
from index.query.parse_highlight import parse_highlight
from index.query.request import (
    MAX_RESULT_WINDOW,
    FieldRequest,
    SearchRequest,
    SortKey,
    SortMode,
    SourceFilter,
)

_ORDERS: dict[str, Literal["asc", "desc"]] = {"asc": "asc", "desc": "desc"}
_MODES: dict[str, SortMode | None] = {
    "min": "min",
    "max": "max",
    "sum": "sum",
    "avg": "avg",
    "median": "median",
}
_NUMERIC_TYPES = dict.fromkeys(("long", "double", "date", "date_nanos"))
"""Numbers of all types compare with each other anyway."""
_NOT_SUPPORTED = ("ext", "rescore", "collapse", "suggest", "script_fields", "slice", "pit")
_NOT_ASKED: tuple[object, ...] = (None, False, "false", "", [], {})
"""Values that leave such a key without an effect in OpenSearch too."""
_TIME_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "micros": 1e-6}


def parse_query(body: object, path: str = "query") -> ast.Query:
    """Parse one query, the value of `query`."""
    return _short_query(body) or ClauseParser().parse(body, path)


def _short_query(body: object) -> ast.Query | None:
    """Return the query of `{kind: {field: text}}`, or of a `match` with an operator: the commonest
    there are; None: another form."""
    if type(body) is not dict or len(body) != 1:
        return None
    ((kind, clause),) = body.items()
    make = _SHORT.get(kind)
    if make is None or type(clause) is not dict or len(clause) != 1:
        return None
    ((field, text),) = clause.items()
    if type(text) is str and field != "_id":
        return make(field, text)
    if kind == "match" and type(text) is dict and text.keys() == _WITH_OPERATOR:
        text, operator = text["query"], text["operator"]
        if type(text) is str and (operator == "and" or operator == "or"):
            return ast.Match(field, text, operator)
    return None


def parse_search(body: object) -> SearchRequest:
    """Parse the body of a search; an empty one asks for the first 10 of all documents."""
    left: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for key, value in as_object({} if body is None else body, "").items():
        part = _PARTS.get(key)
        if part is None:
            left[key] = value
        elif value is not None:
            found[part[0]] = part[1](value, key)
    if left:
        found |= _rare_parts(Body(left, ""), found.get("sort", ()), has_source="source" in found)
    request = SearchRequest(**found)
    check_window(request.from_, request.size)
    if request.search_after is not None and request.from_ > 0:
        raise fail("from", "must be 0 when search_after is given")
    return request


def _rare_parts(top: Body, sort: tuple[SortKey, ...], *, has_source: bool) -> dict[str, Any]:
    """Parse what depends on other parts, and refuse what is left."""
    top.ignore("preference", "batched_reduce_size", "stats")
    for key in _NOT_SUPPORTED:
        if top.take(key) not in _NOT_ASKED:
            raise fail(key, "is not supported")
    found: dict[str, Any] = {
        "search_after": _parse_search_after(top.take("search_after"), sort),
        "fields": _parse_fields(top.take("fields"), "fields")
        + _parse_fields(top.take("docvalue_fields"), "docvalue_fields"),
        "indices_boost": _parse_indices_boost(top.take("indices_boost")),
        "aggregations": AggregationParser(parse_top_hits).parse_all(top),
    }
    stored = top.take("stored_fields")
    if stored is not None:
        _take_stored(string_list(stored, "stored_fields"), has_source, found)
    top.done()
    return found


def _take_stored(names: tuple[str, ...], has_source: bool, found: dict[str, Any]) -> None:
    """Put `stored_fields` into what was found: who names fields does not want the source, unless
    it is named or asked for too; `_none_` is not even the id."""
    if names == ("_none_",):
        found["with_id"] = False
        names = ()
    if "_source" not in names and not has_source:
        found["source"] = SourceFilter(enabled=False)
    shown = tuple(FieldRequest(name) for name in names if not name.startswith("_"))
    found["fields"] = (*found["fields"], *shown)


def _parse_indices_boost(value: object) -> tuple[tuple[str, float], ...]:
    """Parse `[{"logs-*": 1.5}, ..]` or an object of those."""
    if value is None:
        return ()
    parts = value if isinstance(value, list) else [value]
    return tuple(
        (pattern, checked_boost(as_number(boost, path), path))
        for part in parts
        for pattern, boost in as_object(part, "indices_boost").items()
        for path in [f"indices_boost.{pattern}"]
    )


def _natural(value: object, path: str) -> int:
    number = as_int(value, path)
    if number < 0:
        raise fail(path, f"may not be negative but is [{number}]")
    return number


def parse_top_hits(options: dict[str, Any], path: str) -> SearchRequest:
    """Parse the body of a `top_hits` aggregation: a search without a query."""
    allowed = {"from", "size", "sort", "_source", "fields", "docvalue_fields", "highlight"}
    allowed |= {"version", "seq_no_primary_term", "track_scores"}
    for key in options:
        if key not in allowed:
            raise fail(path, f"unknown key [{key}]")
    return parse_search({"size": 3, **options})


def check_window(from_: int, size: int) -> None:
    if from_ + size > MAX_RESULT_WINDOW:
        raise fail(
            "size",
            f"from + size may be {MAX_RESULT_WINDOW} at most but is [{from_ + size}], "
            "search_after goes further",
        )


def parse_timeout(value: object, path: str = "timeout") -> float | None:
    """Parse `500ms`, `2s`, ..; None and -1: no bound."""
    if value is None or value in (-1, "-1"):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]+)", as_str(value, path))
    if match is None or match[2] not in _TIME_UNITS:
        raise fail(path, f"expected a time such as 500ms or 2s but got [{value}]")
    return float(match[1]) * _TIME_UNITS[match[2]]


def parse_track_total_hits(value: object) -> bool | int:
    if value is None:
        return True
    if isinstance(value, bool) or value in ("true", "false"):
        return as_bool(value, "track_total_hits")
    limit = as_int(value, "track_total_hits")
    if limit < -1:
        raise fail("track_total_hits", f"may not be negative but is [{limit}]")
    return True if limit == -1 else limit


def parse_source_filter(value: object, path: str) -> SourceFilter:
    """Parse `true`, `false`, a pattern, patterns, or `{includes, excludes}`."""
    if value is None:
        return SourceFilter()
    if isinstance(value, bool):
        return SourceFilter(enabled=value)
    if not isinstance(value, dict):
        return SourceFilter(includes=string_list(value, path))
    body = Body(value, path)
    includes = body.strings("includes") + body.strings("include")
    excludes = body.strings("excludes") + body.strings("exclude")
    body.done()
    return SourceFilter(includes=includes, excludes=excludes)


def _parse_fields(value: object, path: str) -> tuple[FieldRequest, ...]:
    if value is None:
        return ()
    requests = []
    for i, item in enumerate(as_list(value, path)):
        if isinstance(item, str):
            requests.append(FieldRequest(item))
            continue
        body = Body(item, f"{path}[{i}]")
        field = as_str(body.need("field"), body.at("field"))
        form = body.opt_text("format")
        requests.append(FieldRequest(field, form, body.flag("include_unmapped")))
        body.done()
    return tuple(requests)


def _parse_sort(value: object) -> tuple[SortKey, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    return tuple(
        key for i, item in enumerate(items) for key in _parse_sort_item(item, f"sort[{i}]")
    )


def _parse_sort_item(item: object, path: str) -> list[SortKey]:
    if isinstance(item, str):
        field, _, order = item.partition(":")
        if order and order not in _ORDERS:
            raise fail(path, f"expected asc or desc but got [{order}]")
        return [SortKey(field, _ORDERS.get(order, _default_order(field)))]
    return [_parse_sort_key(name, inner, path) for name, inner in as_object(item, path).items()]


def _default_order(field: str) -> Literal["asc", "desc"]:
    return "desc" if field == "_score" else "asc"


def _parse_sort_key(field: str, value: Any, path: str) -> SortKey:
    if isinstance(value, str):
        value = {"order": value}
    body = Body(value, f"{path}.{field}")
    body.choice("numeric_type", _NUMERIC_TYPES, None)
    missing = body.take("missing")
    key = SortKey(
        field,
        body.choice("order", _ORDERS, _default_order(field)),
        missing="_last" if missing is None else scalar(missing, body.at("missing")),
        mode=body.choice("mode", _MODES, None),
        unmapped_type=body.opt_text("unmapped_type"),
        format=body.opt_text("format"),
    )
    body.done()
    return key


def _parse_search_after(
    value: object, sort: tuple[SortKey, ...]
) -> tuple[ast.Scalar | None, ...] | None:
    if value is None:
        return None
    items = as_list(value, "search_after")
    if not sort:
        raise fail("search_after", "needs a sort")
    if len(items) != len(sort):
        raise fail("search_after", f"has {len(items)} values but sort has {len(sort)}")
    return tuple(None if item is None else scalar(item, "search_after") for item in items)


_WITH_OPERATOR = {"query", "operator"}
_SHORT: dict[str, Callable[[str, str], ast.Query]] = {
    "match": ast.Match,
    "match_phrase": ast.MatchPhrase,
    "term": ast.Term,
}
_PARTS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "query": ("query", parse_query),
    "from": ("from_", _natural),
    "size": ("size", _natural),
    "sort": ("sort", lambda value, _: _parse_sort(value)),
    "post_filter": ("post_filter", parse_query),
    "_source": ("source", parse_source_filter),
    "highlight": ("highlight", lambda value, _: parse_highlight(value)),
    "track_total_hits": ("track_total_hits", lambda value, _: parse_track_total_hits(value)),
    "track_scores": ("track_scores", as_bool),
    "min_score": ("min_score", as_number),
    "timeout": ("timeout_s", parse_timeout),
    "terminate_after": ("terminate_after", _natural),
    "explain": ("explain", as_bool),
    "profile": ("profile", as_bool),
    "version": ("version", as_bool),
    "seq_no_primary_term": ("seq_no_primary_term", as_bool),
}
"""Parts of a search that stand for themselves: the attribute of the request, and its parser."""
