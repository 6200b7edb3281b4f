"""`aggs` of a search body -> the tree of `aggregations.py`.

Raises everywhere: InvalidQueryError, whose message begins with the path of the aggregation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

from index.query import aggregations as agg
from index.query.aggregation_options import opt_scalar, take_field, take_order
from index.query.aggregations import Aggregation, Kind
from index.query.body import Body, as_bool, as_list, as_number, as_object, fail, scalar
from index.query.clauses import ClauseParser
from index.query.order_paths import check_order
from index.query.parse_histograms import parse_date_histogram, parse_histogram
from index.query.request import SearchRequest

_HINTS = ("execution_hint", "collect_mode", "shard_size", "shard_min_doc_count", "value_type")
"""How other engines should go about it: changes no answer here."""

ParseTopHits = Callable[[dict[str, Any], str], SearchRequest]


class AggregationParser:
    """Parses the aggregations of one search; counts on the way how many and how deep."""

    def __init__(self, parse_top_hits: ParseTopHits) -> None:
        self._parse_top_hits = parse_top_hits
        self._kinds = {**KINDS, "top_hits": self._top_hits}
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
        parse = self._kinds.get(word)
        if parse is None:
            raise fail(path, f"unknown aggregation type [{word}]")
        kind = parse(Body(options, f"{path}.{word}"))
        if subs and isinstance(kind, _LEAVES):
            raise fail(path, f"an aggregation of type [{word}] cannot have sub-aggregations")
        if isinstance(kind, agg.Global) and depth > 1:
            raise fail(path, "a [global] aggregation can only be at the top")
        if isinstance(kind, agg.Terms | agg.Histogram | agg.DateHistogram):
            for order in kind.order:
                check_order(order.path, subs, f"{path}.{word}.order")
        return Aggregation(name, kind, subs, None if meta is None else as_object(meta, path))

    def _top_hits(self, body: Body) -> Kind:
        path = body.path
        request = self._parse_top_hits(dict(body.items()), path)
        if request.from_ + request.size > agg.MAX_TOP_HITS:
            raise fail(path, f"from + size may be {agg.MAX_TOP_HITS} at most")
        return agg.TopHits(request)


def _ranges(body: Body) -> tuple[agg.RangeSpec, ...]:
    items = as_list(body.need("ranges"), body.at("ranges"))
    if not items:
        raise fail(body.at("ranges"), "is empty")
    ranges = []
    for i, item in enumerate(items):
        one = Body(item, f"{body.at('ranges')}[{i}]")
        spec = agg.RangeSpec(one.opt_text("key"), opt_scalar(one, "from"), opt_scalar(one, "to"))
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
def _terms(body: Body) -> Kind:
    body.ignore(*_HINTS)
    size = body.integer("size", 10)
    if size <= 0:
        raise fail(body.at("size"), f"must be greater than 0 but is [{size}]")
    kind = agg.Terms(
        take_field(body),
        size=size,
        min_doc_count=body.natural("min_doc_count", 1),
        order=take_order(body, agg.BY_COUNT),
        missing=opt_scalar(body, "missing"),
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


def _range(body: Body) -> Kind:
    kind = agg.Ranges(
        take_field(body),
        _numeric_ranges(body),
        keyed=body.flag("keyed"),
        missing=opt_scalar(body, "missing"),
        format=body.opt_text("format"),
    )
    body.done()
    return kind


def _date_range(body: Body) -> Kind:
    kind = agg.DateRanges(
        take_field(body),
        _ranges(body),
        keyed=body.flag("keyed"),
        missing=opt_scalar(body, "missing"),
        format=body.opt_text("format"),
        time_zone=body.opt_text("time_zone"),
    )
    body.done()
    return kind


def _metric(name: agg.MetricName) -> Callable[[Body], Kind]:
    def parse(body: Body) -> Kind:
        body.ignore("format", "value_type")
        sigma = body.number("sigma", 2.0) if name == "extended_stats" else 2.0
        if sigma < 0:
            raise fail(body.at("sigma"), f"may not be negative but is [{sigma}]")
        kind = agg.Metric(name, take_field(body), missing=opt_scalar(body, "missing"), sigma=sigma)
        body.done()
        return kind

    return parse


def _cardinality(body: Body) -> Kind:
    body.natural("precision_threshold", 3000)
    body.ignore("rehash", "execution_hint")
    kind = agg.Cardinality(take_field(body), missing=opt_scalar(body, "missing"))
    body.done()
    return kind


def _percentiles(body: Body) -> Kind:
    body.ignore("tdigest", "hdr", "compression", "method")
    field, missing = take_field(body), opt_scalar(body, "missing")
    percents = body.take("percents")
    keyed = body.take("keyed")
    is_keyed = keyed is None or as_bool(keyed, body.at("keyed"))
    body.done()
    if percents is None:
        return agg.Percentiles(field, keyed=is_keyed, missing=missing)
    path = body.at("percents")
    numbers = sorted({as_number(item, path) for item in as_list(percents, path)})
    if not numbers or not 0 <= numbers[0] <= numbers[-1] <= 100:
        raise fail(path, "expected numbers from 0 to 100")
    return agg.Percentiles(field, tuple(numbers), is_keyed, missing)


def _filter(body: Body) -> Kind:
    return agg.Filter(ClauseParser().parse(dict(body.items()), body.path))


def _filters(body: Body) -> Kind:
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


def _missing(body: Body) -> Kind:
    kind = agg.Missing(take_field(body))
    body.done()
    return kind


def _global(body: Body) -> Kind:
    body.done()
    return agg.Global()


_LEAVES = (agg.Metric, agg.Cardinality, agg.Percentiles, agg.TopHits)

KINDS: dict[str, Callable[[Body], Kind]] = {
    "terms": _terms,
    "range": _range,
    "date_range": _date_range,
    "histogram": parse_histogram,
    "date_histogram": parse_date_histogram,
    **{name: _metric(name) for name in get_args(agg.MetricName)},
    "cardinality": _cardinality,
    "percentiles": _percentiles,
    "filter": _filter,
    "filters": _filters,
    "missing": _missing,
    "global": _global,
}
