"""`histogram` and `date_histogram` of a search body. Raises: InvalidQueryError, naming the path."""

from __future__ import annotations

import re
from typing import get_args

from index.query import aggregations as agg
from index.query.aggregation_options import opt_scalar, take_field, take_order
from index.query.aggregations import Kind
from index.query.body import Body, as_number, as_str, fail, scalar

_FIXED_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FIXED = re.compile(r"([+-]?)(\d{1,15})(ms|s|m|h|d)")
_CALENDAR: dict[str, agg.CalendarUnit] = {
    "1s": "second", "1m": "minute", "1h": "hour", "1d": "day", "1w": "week", "1M": "month",
    "1q": "quarter", "1y": "year", **{unit: unit for unit in get_args(agg.CalendarUnit)},
}  # fmt: skip


def parse_histogram(body: Body) -> Kind:
    interval = as_number(body.need("interval"), body.at("interval"))
    if interval <= 0:
        raise fail(body.at("interval"), f"must be greater than 0 but is [{interval}]")
    min_doc_count = body.natural("min_doc_count", 0)
    kind = agg.Histogram(
        take_field(body),
        interval,
        offset=body.number("offset", 0.0),
        min_doc_count=min_doc_count,
        order=take_order(body, agg.BY_KEY),
        extended_bounds=_number_bounds(body, "extended_bounds"),
        hard_bounds=_number_bounds(body, "hard_bounds"),
        keyed=body.flag("keyed"),
        missing=opt_scalar(body, "missing"),
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


def parse_date_histogram(body: Body) -> Kind:
    kind = agg.DateHistogram(
        take_field(body),
        _interval(body),
        time_zone=_time_zone(body),
        offset_ms=_offset_ms(body),
        min_doc_count=body.natural("min_doc_count", 0),
        order=take_order(body, agg.BY_KEY),
        extended_bounds=_bounds(body, "extended_bounds"),
        hard_bounds=_bounds(body, "hard_bounds"),
        keyed=body.flag("keyed"),
        missing=opt_scalar(body, "missing"),
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


def _bounds(body: Body, key: str) -> agg.Bounds | None:
    value = body.take(key)
    if value is None:
        return None
    inner = Body(value, body.at(key))
    bounds = agg.Bounds(opt_scalar(inner, "min"), opt_scalar(inner, "max"))
    inner.done()
    return bounds
