"""Paths that name a number of a sub-aggregation, to order buckets by: `filter>stats.avg`."""

from __future__ import annotations

import re
from typing import NamedTuple

from index.query import aggregations as agg
from index.query.aggregations import Aggregation
from index.query.body import fail

STATS = ("count", "min", "max", "avg", "sum")
EXTENDED = (*STATS, "sum_of_squares", "variance", "std_deviation")
_SINGLE = (agg.Filter, agg.Missing, agg.Global)


class OrderPath(NamedTuple):
    names: tuple[str, ...]
    """Aggregations from the bucket inwards."""
    number: str
    """Which number of the last: `value`, `_count`, one of `EXTENDED`, or a percent."""


def read_path(path: str) -> OrderPath:
    """Read `a>b.number`, `a>b[number]` or `a>b`."""
    *outer, last = path.split(">")
    match = re.fullmatch(r"(.*)\[([^\[\]]+)\]", last)
    if match is not None:
        return OrderPath((*outer, match[1]), match[2])
    match = re.fullmatch(r"(.+?)\.(\d+(?:\.\d+)?)", last)
    if match is not None:
        return OrderPath((*outer, match[1]), match[2])
    name, dot, number = last.rpartition(".")
    if dot and number in (*EXTENDED, "_count", "value"):
        return OrderPath((*outer, name), number)
    return OrderPath((*outer, last), "value")


def check_order(path: str, subs: tuple[Aggregation, ...], where: str) -> None:
    """Raises: InvalidQueryError where `path` names no number of `subs`."""
    if path in ("_count", "_key"):
        return
    names, number = read_path(path)
    found: Aggregation | None = None
    for i, name in enumerate(names):
        found = next((sub for sub in subs if sub.name == name), None)
        if found is None:
            raise fail(where, f"there is no sub-aggregation [{name}] to order by")
        if i < len(names) - 1 and not isinstance(found.kind, _SINGLE):
            raise fail(where, f"[{name}] has several buckets, so nothing inside can order others")
        subs = found.subs
    assert found is not None
    kind = found.kind
    if isinstance(kind, agg.Metric) and kind.name in ("stats", "extended_stats"):
        is_number = number in (STATS if kind.name == "stats" else EXTENDED)
    elif isinstance(kind, agg.Percentiles):
        is_number = number in map(str, kind.percents) or f"{number}.0" in map(str, kind.percents)
    elif isinstance(kind, agg.Metric | agg.Cardinality):
        is_number = number == "value"
    else:
        is_number = isinstance(kind, _SINGLE) and number in ("value", "_count")
    if not is_number:
        raise fail(where, f"[{path}] is not a number of a sub-aggregation")
