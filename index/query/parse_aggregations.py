"""`aggs` of a search body -> the tree of `aggregations.py`.

Raises everywhere: InvalidQueryError, whose message begins with the path of the aggregation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

from index.query import aggregations as agg
from index.query.aggregations import Aggregation, Kind, Order
from index.query.ast import Scalar
from index.query.body import Body, as_bool, as_list, as_number, as_object, as_str, fail, scalar
from index.query.clauses import ClauseParser
from index.query.order_paths import check_order
from index.query.request import SearchRequest

_FIXED_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FIXED = re.compile(r"([+-]?)(\d{1,15})(ms|s|m|h|d)")
_CALENDAR: dict[str, agg.CalendarUnit] = {
    "1s": "second", "1m": "minute", "1h": "hour", "1d": "day", "1w": "week", "1M": "month",
    "1q": "quarter", "1y": "year", **{unit: unit for unit in get_args(agg.CalendarUnit)},
}  # fmt: skip
_HINTS = ("execution_hint", "collect_mode", "shard_size", "shard_min_doc_count", "value_type")
"""How other engines should go about it: changes no answer here."""

ParseTopHits = Callable[[dict[str, Any], str], SearchRequest]


class AggregationParser:
    """Parses the aggregations of one search; counts on the way how many and how deep."""

    def __init__(self, parse_top_hits: ParseTopHits) -> None:
        self.parse_top_hits = parse_top_hits
        self._n = 0

    def parse_all(self, body: Body, depth: int = 1) -> tuple[Aggregation, ...]:
        """Take `aggs` or `aggregations` from `body`."""
        found = [name for name in ("aggs", "aggregations") if body.has(name)]
        if len(found) > 1:
            raise fail(body.at("aggs"), "is given twice, as [aggs] and as [aggregations]")
        if not found:
            return ()
        path = body.at(found[0])
        value = body.take(found[0])
        if value is None:
            return ()
        if depth > agg.MAX_DEPTH:
            raise fail(path, f"aggregations may be nested {agg.MAX_DEPTH} deep at most")
        return tuple(
            self._parse(name, inner, f"{path}.{name}", depth)
            for name, inner in as_object(value, path).items()
        )

    def _parse(self, name: str, value: object, path: str, depth: int) -> Aggregation:
        self._n += 1
        if self._n > agg.MAX_AGGREGATIONS:
            raise fail(path, f"a search may have {agg.MAX_AGGREGATIONS} aggregations at most")
        if not name or re.search(r"[\[\]>]", name):
            raise fail(path, "an aggregation's name may not be empty or contain [, ] or >")
        body = Body(value, path)
        meta = body.take("meta")
        subs = self.parse_all(body, depth + 1)
        kinds = body.items()
        found = list(kinds)
        if not found:
            raise fail(path, "needs an aggregation type")
        if len(found) > 1:
            names = "] and [".join(kind for kind, _ in found)
            raise fail(path, f"found several aggregation types: [{names}]")
        [(word, options)] = found
        parse = KINDS.get(word)
        if parse is None:
            raise fail(path, f"unknown aggregation type [{word}]")
        kind = parse(self, Body(options, f"{path}.{word}"))
        if subs and isinstance(kind, agg.Metric | agg.Cardinality | agg.TopHits):
            raise fail(path, f"an aggregation of type [{word}] cannot have sub-aggregations")
        if isinstance(kind, agg.Global) and depth > 1:
            raise fail(path, "a [global] aggregation can only be at the top")
        if isinstance(kind, agg.Terms | agg.Histogram | agg.DateHistogram):
            for order in kind.order:
                check_order(order.path, subs, f"{path}.{word}.order")
        return Aggregation(name, kind, subs, None if meta is None else as_object(meta, path))


# --- parts that several kinds have -----------------------------------------------------------
def _field(body: Body) -> str:
    if body.has("script"):
        raise fail(body.at("script"), "scripts are not supported")
    return as_str(body.need("field"), body.at("field"))


def _opt_scalar(body: Body, key: str) -> Scalar | None:
    value = body.take(key)
    return None if value is None else scalar(value, body.at(key))


def _order(body: Body, default: tuple[Order, ...]) -> tuple[Order, ...]:
    value = body.take("order")
    if value is None:
        return default
    path = body.at("order")
    orders = []
    for item in value if isinstance(value, list) else [value]:
        key, word = Body(item, path).only()
        if as_str(word, path).lower() not in ("asc", "desc"):
            raise fail(path, f"expected asc or desc but got [{word}]")
        name = {"_term": "_key", "_time": "_key"}.get(key, key)
        orders.append(Order(name, str(word).lower() == "asc"))
    return tuple(orders) or default


def _bounds(body: Body, key: str) -> agg.Bounds | None:
    value = body.take(key)
    if value is None:
        return None
    inner = Body(value, body.at(key))
    bounds = agg.Bounds(_opt_scalar(inner, "min"), _opt_scalar(inner, "max"))
    inner.done()
    return bounds


def _ranges(body: Body) -> tuple[agg.RangeSpec, ...]:
    items = as_list(body.need("ranges"), body.at("ranges"))
    if not items:
        raise fail(body.at("ranges"), "is empty")
    ranges = []
    for i, item in enumerate(items):
        one = Body(item, f"{body.at('ranges')}[{i}]")
        spec = agg.RangeSpec(one.opt_text("key"), _opt_scalar(one, "from"), _opt_scalar(one, "to"))
        one.done()
        ranges.append(spec)
    return tuple(ranges)


def _numeric_ranges(body: Body) -> tuple[agg.RangeSpec, ...]:
    return tuple(
        agg.RangeSpec(
            spec.key,
            None if spec.from_ is None else as_number(spec.from_, body.at("ranges.from")),
            None if spec.to is None else as_number(spec.to, body.at("ranges.to")),
        )
        for spec in _ranges(body)
    )


# --- kinds -----------------------------------------------------------------------------------
def _terms(_: AggregationParser, body: Body) -> Kind:
    body.ignore(*_HINTS)
    size = body.integer("size", 10)
    if size <= 0:
        raise fail(body.at("size"), f"must be greater than 0 but is [{size}]")
    kind = agg.Terms(
        _field(body),
        size=size,
        min_doc_count=body.natural("min_doc_count", 1),
        order=_order(body, agg.BY_COUNT),
        missing=_opt_scalar(body, "missing"),
        include=_term_filter(body, "include"),
        exclude=_term_filter(body, "exclude"),
        format=body.opt_text("format"),
        shows_errors=body.flag("show_term_doc_count_error"),
    )
    body.done()
    return kind


def _term_filter(body: Body, key: str) -> agg.TermFilter | None:
    value = body.take(key)
    if value is None:
        return None
    if isinstance(value, str):
        return agg.TermFilter(pattern=value)
    if isinstance(value, dict):
        raise fail(body.at(key), "expected a pattern or an array of values, not an object")
    values = as_list(value, body.at(key))
    return agg.TermFilter(tuple(scalar(item, body.at(key)) for item in values))


def _range(_: AggregationParser, body: Body) -> Kind:
    kind = agg.Ranges(
        _field(body),
        _numeric_ranges(body),
        keyed=body.flag("keyed"),
        missing=_opt_scalar(body, "missing"),
        format=body.opt_text("format"),
    )
    body.done()
    return kind


def _date_range(_: AggregationParser, body: Body) -> Kind:
    kind = agg.DateRanges(
        _field(body),
        _ranges(body),
        keyed=body.flag("keyed"),
        missing=_opt_scalar(body, "missing"),
        format=body.opt_text("format"),
        time_zone=body.opt_text("time_zone"),
    )
    body.done()
    return kind


def _histogram(_: AggregationParser, body: Body) -> Kind:
    interval = as_number(body.need("interval"), body.at("interval"))
    if interval <= 0:
        raise fail(body.at("interval"), f"must be greater than 0 but is [{interval}]")
    min_doc_count = body.natural("min_doc_count", 0)
    kind = agg.Histogram(
        _field(body),
        interval,
        offset=body.number("offset", 0.0),
        min_doc_count=min_doc_count,
        order=_order(body, agg.BY_KEY),
        extended_bounds=_number_bounds(body, "extended_bounds"),
        hard_bounds=_number_bounds(body, "hard_bounds"),
        keyed=body.flag("keyed"),
        missing=_opt_scalar(body, "missing"),
    )
    body.done()
    return kind


def _number_bounds(body: Body, key: str) -> agg.Bounds | None:
    bounds = _bounds(body, key)
    if bounds is None:
        return None
    path = body.at(key)
    low = None if bounds.min is None else as_number(bounds.min, path)
    high = None if bounds.max is None else as_number(bounds.max, path)
    if low is not None and high is not None and low > high:
        raise fail(path, f"min [{low}] is above max [{high}]")
    return agg.Bounds(low, high)


def _date_histogram(_: AggregationParser, body: Body) -> Kind:
    kind = agg.DateHistogram(
        _field(body),
        _interval(body),
        time_zone=_time_zone(body),
        offset_ms=_offset_ms(body),
        min_doc_count=body.natural("min_doc_count", 0),
        order=_order(body, agg.BY_KEY),
        extended_bounds=_bounds(body, "extended_bounds"),
        hard_bounds=_bounds(body, "hard_bounds"),
        keyed=body.flag("keyed"),
        missing=_opt_scalar(body, "missing"),
        format=body.opt_text("format"),
    )
    body.done()
    return kind


def _time_zone(body: Body) -> str | None:
    value = body.take("time_zone")
    return None if value is None else str(scalar(value, body.at("time_zone")))


def _interval(body: Body) -> agg.CalendarUnit | int:
    given = [key for key in _INTERVALS if body.has(key)]
    if len(given) != 1:
        raise fail(body.path, "needs one of [calendar_interval] and [fixed_interval]")
    [key] = given
    text = as_str(body.take(key), body.at(key))
    if key != "fixed_interval" and text in _CALENDAR:
        return _CALENDAR[text]
    if key == "calendar_interval":
        raise fail(body.at(key), f"[{text}] is not a calendar unit such as 1d, month or 1y")
    match = _FIXED.fullmatch(text)
    if match is None:
        raise fail(body.at(key), f"[{text}] is not a fixed interval such as 30s, 12h or 7d")
    ms = int(match[2]) * _FIXED_MS[match[3]]
    if match[1] == "-" or ms == 0:
        raise fail(body.at(key), f"[{text}] must be greater than 0")
    if ms >= 1 << 53:
        raise fail(body.at(key), f"[{text}] is too long")
    return ms


_INTERVALS = ("calendar_interval", "fixed_interval", "interval")
"""`interval` is the old form of both."""


def _offset_ms(body: Body) -> int:
    value = body.take("offset")
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        ms = value
    else:
        match = _FIXED.fullmatch(as_str(value, body.at("offset")))
        if match is None:
            raise fail(body.at("offset"), f"[{value}] is not a time such as +6h or -1d")
        ms = int(match[2]) * _FIXED_MS[match[3]] * (-1 if match[1] == "-" else 1)
    if abs(ms) >= 1 << 53:
        raise fail(body.at("offset"), f"[{value}] is too long")
    return ms


def _metric(name: agg.MetricName) -> Callable[[AggregationParser, Body], Kind]:
    def parse(_: AggregationParser, body: Body) -> Kind:
        body.ignore("format", "value_type")
        sigma = body.number("sigma", 2.0) if name == "extended_stats" else 2.0
        if sigma < 0:
            raise fail(body.at("sigma"), f"may not be negative but is [{sigma}]")
        kind = agg.Metric(name, _field(body), missing=_opt_scalar(body, "missing"), sigma=sigma)
        body.done()
        return kind

    return parse


def _cardinality(_: AggregationParser, body: Body) -> Kind:
    body.natural("precision_threshold", 3000)
    body.ignore("rehash", "execution_hint")
    kind = agg.Cardinality(_field(body), missing=_opt_scalar(body, "missing"))
    body.done()
    return kind


def _filter(_: AggregationParser, body: Body) -> Kind:
    return agg.Filter(ClauseParser().parse(dict(body.items()), body.path))


def _filters(_: AggregationParser, body: Body) -> Kind:
    filters = body.need("filters")
    path = body.at("filters")
    other_key = body.opt_text("other_bucket_key")
    other = body.take("other_bucket")
    has_other = other_key is not None if other is None else as_bool(other, body.at("other_bucket"))
    body.ignore("keyed")
    body.done()
    keys: tuple[str, ...] | None = None
    if isinstance(filters, list):
        queries = filters
    else:
        named = sorted(as_object(filters, path).items())
        keys = tuple(name for name, _ in named)
        queries = [query for _, query in named]
    if not queries:
        raise fail(path, "is empty")
    parser = ClauseParser()
    parsed = tuple(parser.parse(query, f"{path}[{i}]") for i, query in enumerate(queries))
    return agg.Filters(parsed, keys, (other_key or "_other_") if has_other else None)


def _missing(_: AggregationParser, body: Body) -> Kind:
    kind = agg.Missing(_field(body))
    body.done()
    return kind


def _global(_: AggregationParser, body: Body) -> Kind:
    body.done()
    return agg.Global()


def _top_hits(parser: AggregationParser, body: Body) -> Kind:
    path = body.path
    request = parser.parse_top_hits(dict(body.items()), path)
    if request.from_ + request.size > agg.MAX_TOP_HITS:
        raise fail(path, f"from + size may be {agg.MAX_TOP_HITS} at most")
    return agg.TopHits(request)


KINDS: dict[str, Callable[[AggregationParser, Body], Kind]] = {
    "terms": _terms,
    "range": _range,
    "date_range": _date_range,
    "histogram": _histogram,
    "date_histogram": _date_histogram,
    **{name: _metric(name) for name in get_args(agg.MetricName)},
    "cardinality": _cardinality,
    "filter": _filter,
    "filters": _filters,
    "missing": _missing,
    "global": _global,
    "top_hits": _top_hits,
}
