"""Naive aggregations: lists of documents, one bucket after the other, dates by `datetime`.

It reads the JSON of a search by itself, and shares with the engine only how dates are parsed and
shown. `difference` compares answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from index.dates import format_date, resolve_date
from index.query.parse_json import parse_query
from tests.oracle import Document, Oracle, as_text

Docs = list[Document]
MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def difference(expected: Any, found: Any, path: str = "") -> str | None:
    """Say where two answers differ, None: nowhere. Sums may be in another order."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            return f"{path}: expected {list(expected)} but found {list(found)}"
        pairs = [(f"{path}.{key}", expected[key], found[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            return f"{path}: expected {expected} but found {found}"
        pairs = [(f"{path}[{i}]", *two) for i, two in enumerate(zip(expected, found, strict=True))]
    else:
        is_close = (
            isinstance(expected, float)
            and isinstance(found, float)
            and math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-6)
        )
        if is_close or (type(expected) is type(found) and expected == found):
            return None
        return f"{path}: expected {expected!r} but found {found!r}"
    return next((said for at, a, b in pairs if (said := difference(a, b, at)) is not None), None)


class AggregationOracle:
    """Over one or several indexes with the same mapping."""

    def __init__(self, oracles: list[Oracle], now_ms: int) -> None:
        self.oracle = oracles[0]
        self.now_ms = now_ms
        self._owner: dict[int, Oracle] = {}
        for oracle in oracles:
            oracle.now_ms = now_ms
            oracle._read_all()
            oracle._asked = {}  # of queries that may be gone, and others in their place
            self._owner |= {id(doc): oracle for doc in oracle.live.values()}
        self._kept: list[Any] = []
        """The oracle knows queries by where they are in memory."""
        self.everything: Docs = [doc for oracle in oracles for doc in oracle.live.values()]

    def matching(self, query: dict[str, Any], docs: Docs) -> Docs:
        parsed = parse_query(query)
        self._kept.append(parsed)
        return [doc for doc in docs if self._owner[id(doc)].score(parsed, doc) is not None]

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        docs = self.matching(body.get("query", {"match_all": {}}), self.everything)
        return self.all(body["aggs"], docs)

    def all(self, aggs: dict[str, Any], docs: Docs) -> dict[str, Any]:
        return {name: self.one(one, docs) for name, one in aggs.items()}

    def one(self, body: dict[str, Any], docs: Docs) -> dict[str, Any]:
        body = dict(body)
        subs, meta = body.pop("aggs", {}), body.pop("meta", None)
        [(kind, options)] = body.items()
        answer = getattr(self, f"_{kind}")(options, docs, subs)
        return answer if meta is None else {"meta": meta, **answer}

    # --- values --------------------------------------------------------------------------
    def type_of(self, name: str) -> str | None:
        field = self.oracle.schema.field(name)
        return None if field is None else field.type

    def values(self, name: str, doc: Document, missing: Any = None) -> list[Any]:
        own = doc.values.get(name, [])
        if self.type_of(name) == "boolean":
            own = [int(value) for value in own]
        if not own and missing is not None:
            if self.type_of(name) == "date":
                return [resolve_date(missing, now_ms=self.now_ms)]
            if self.type_of(name) == "boolean":
                return [int(missing in (True, "true"))]
            if self.type_of(name) in ("keyword", None):
                return [as_text(missing)]
            return [float(missing) if self.type_of(name) == "double" else missing]
        return own

    def text(self, name: str, value: float) -> str | None:
        if self.type_of(name) == "date":
            return format_date(int(value))
        return ("true" if value else "false") if self.type_of(name) == "boolean" else None

    def numbers(self, options: dict[str, Any], docs: Docs) -> list[float]:
        field, missing = options["field"], options.get("missing")
        return [float(v) for doc in docs for v in self.values(field, doc, missing)]

    # --- metrics -------------------------------------------------------------------------
    def _number(self, options: dict[str, Any], value: float | None) -> dict[str, Any]:
        text = None if value is None else self.text(options["field"], value)
        return {"value": value, **({} if text is None else {"value_as_string": text})}

    def _min(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        return self._number(options, min(self.numbers(options, docs), default=None))

    def _max(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        return self._number(options, max(self.numbers(options, docs), default=None))

    def _sum(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        return self._number(options, math.fsum(self.numbers(options, docs)))

    def _avg(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        numbers = self.numbers(options, docs)
        return self._number(options, math.fsum(numbers) / len(numbers) if numbers else None)

    def _stats(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        n = len(self.numbers(options, docs))
        each = {
            name: getattr(self, f"_{name}")(options, docs, {})
            for name in ("min", "max", "avg", "sum")
        }
        texts = {
            f"{name}_as_string": one["value_as_string"]
            for name, one in each.items()
            if n and "value_as_string" in one
        }
        return {"count": n, **{name: one["value"] for name, one in each.items()}, **texts}

    def _value_count(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        field, missing = options["field"], options.get("missing")
        lists = [self.values(field, doc, missing) for doc in docs]
        if self.type_of(field) in ("keyword", None):
            lists = [list(set(values)) for values in lists]
        return {"value": sum(map(len, lists))}

    def _cardinality(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        field, missing = options["field"], options.get("missing")
        return {"value": len({v for doc in docs for v in self.values(field, doc, missing)})}

    def _percentiles(self, options: Any, docs: Docs, _: Any) -> dict[str, Any]:
        numbers = sorted(self.numbers(options, docs))
        found: dict[str, Any] = {}
        for percent in options["percents"]:
            value = None
            if numbers:
                place = percent / 100 * (len(numbers) - 1)
                low = math.floor(place)
                high = min(low + 1, len(numbers) - 1)
                value = numbers[low] + (numbers[high] - numbers[low]) * (place - low)
            found[str(float(percent))] = value
            if value is not None and (text := self.text(options["field"], value)) is not None:
                found[f"{float(percent)}_as_string"] = text
        return {"values": found}

    # --- buckets -------------------------------------------------------------------------
    def _single(self, docs: Docs, subs: Any) -> dict[str, Any]:
        return {"doc_count": len(docs), **self.all(subs, docs)}

    def _filter(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        return self._single(self.matching(options, docs), subs)

    def _missing(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        return self._single([d for d in docs if not self.values(options["field"], d)], subs)

    def _global(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        return self._single(self.everything, subs)

    def _filters(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        filters = options["filters"]
        queries = filters if isinstance(filters, list) else [filters[k] for k in sorted(filters)]
        found = [self.matching(query, docs) for query in queries]
        names = None if isinstance(filters, list) else sorted(filters)
        if options.get("other_bucket"):
            seen = {id(doc) for docs_ in found for doc in docs_}
            found.append([doc for doc in docs if id(doc) not in seen])
            names = None if names is None else [*names, "_other_"]
        buckets = [self._single(docs_, subs) for docs_ in found]
        return {"buckets": buckets if names is None else dict(zip(names, buckets, strict=True))}

    def _terms(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        field, missing = options["field"], options.get("missing")
        least = options.get("min_doc_count", 1)
        groups: dict[Any, Docs] = {}
        if least == 0:
            groups = {v: [] for doc in self.everything for v in self.values(field, doc, missing)}
            if missing is not None and self.type_of(field) in ("keyword", None):
                groups[as_text(missing)] = []
        for doc in docs:
            for value in set(self.values(field, doc, missing)):
                groups.setdefault(value, []).append(doc)
        groups = {v: g for v, g in groups.items() if len(g) >= least and self._accepts(options, v)}
        keys = sorted(groups, key=lambda v: v.encode() if isinstance(v, str) else v)
        orders = options.get("order", {"_count": "desc"})
        for order in reversed(orders if isinstance(orders, list) else [orders]):
            [(path, way)] = order.items()
            if path != "_key":
                numbers = {v: self._order_number(path, groups[v], subs) for v in keys}
                keys.sort(key=lambda v: self._place(numbers[v], way))
            elif way == "desc":
                keys.reverse()
        shown = keys[: options.get("size", 10)]
        buckets = []
        for value in shown:
            text = None if isinstance(value, str) else self.text(field, value)
            head = {"key": value, **({} if text is None else {"key_as_string": text})}
            buckets.append({**head, **self._single(groups[value], subs)})
        others = sum(len(groups[value]) for value in keys[len(shown) :])
        return {
            "doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets
        }  # fmt: skip

    def _accepts(self, options: Any, value: Any) -> bool:
        def named(wanted: Any) -> bool:
            if isinstance(wanted, str):
                return re.fullmatch(wanted, value) is not None
            return value in wanted

        if "include" in options and not named(options["include"]):
            return False
        return not ("exclude" in options and named(options["exclude"]))

    def _order_number(self, path: str, docs: Docs, subs: Any) -> float:
        if path == "_count":
            return len(docs)
        name, _, number = path.partition(".")
        answer = self.one(subs[name], docs)
        if number == "_count":
            return answer["doc_count"]
        if number.isdigit():
            value = answer["values"][f"{number}.0"]
            return math.nan if value is None else value
        value = answer[number or "value"]
        if value is not None:
            return value
        kind = number or next(iter(subs[name]))
        return {"min": math.inf, "max": -math.inf}.get(kind, math.nan)

    @staticmethod
    def _place(number: float, way: str) -> tuple[bool, float]:
        if math.isnan(number):
            return True, 0.0
        return False, number if way == "asc" else -number

    def _range(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        return self._ranges(options, docs, subs, float, lambda v: self.text(options["field"], v))

    def _date_range(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        def read(value: Any) -> float:
            return float(resolve_date(value, now_ms=self.now_ms))

        return self._ranges(options, docs, subs, read, lambda v: format_date(int(v)))

    def _ranges(
        self,
        options: Any,
        docs: Docs,
        subs: Any,
        read: Callable[[Any], float],
        show: Callable[[float], str | None],
    ) -> dict[str, Any]:
        field, missing = options["field"], options.get("missing")
        ends = []
        for one in options["ranges"]:
            low = read(one["from"]) if "from" in one else -math.inf
            high = read(one["to"]) if "to" in one else math.inf
            ends.append((low, high, one.get("key")))
        buckets: list[tuple[str, dict[str, Any]]] = []
        for low, high, key in sorted(ends, key=lambda end: end[:2]):
            found = [
                doc
                for doc in docs
                if any(low <= value < high for value in self.values(field, doc, missing))
            ]
            head: dict[str, Any] = {}
            parts = []
            for name, end in (("from", low), ("to", high)):
                text = None if math.isinf(end) else show(end)
                parts.append("*" if math.isinf(end) else text or str(end))
                if not math.isinf(end):
                    head[name] = end
                    if text is not None:
                        head[f"{name}_as_string"] = text
            name = key or "-".join(parts)
            buckets.append((name, {**head, **self._single(found, subs)}))
        if options.get("keyed"):
            return {"buckets": dict(buckets)}
        return {"buckets": [{"key": name, **bucket} for name, bucket in buckets]}

    # --- histograms ----------------------------------------------------------------------
    def _histogram(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        interval, offset = float(options["interval"]), float(options.get("offset", 0))

        def floor(value: float) -> float:
            return math.floor((value - offset) / interval) * interval + offset

        def after(key: float) -> float:
            return (math.floor((key - offset) / interval + 0.5) + 1) * interval + offset

        hard = options.get("hard_bounds", {})

        def is_in(key: float) -> bool:
            low, high = hard.get("min", -math.inf), hard.get("max", math.inf)
            return low <= key - offset <= high

        return self._rows(options, docs, subs, floor, after, is_in, float)

    def _date_histogram(self, options: Any, docs: Docs, subs: Any) -> dict[str, Any]:
        zone = options.get("time_zone", "UTC")
        shift = 0
        if "offset" in options:
            sign, n, unit = re.fullmatch(r"([+-]?)(\d+)(\w+)", options["offset"]).groups()
            shift = int(n) * MS[unit] * (-1 if sign == "-" else 1)
        if "fixed_interval" in options:
            n, unit = re.fullmatch(r"(\d+)(\w+)", options["fixed_interval"]).groups()
            width = int(n) * MS[unit]
            ahead = zone_offset(zone, 0)
            floor = lambda ms: (ms + ahead) // width * width - ahead  # noqa: E731
            after = lambda key: key + width  # noqa: E731
        else:
            unit = options["calendar_interval"]
            floor = lambda ms: calendar_floor(ms, unit, zone)  # noqa: E731
            after = lambda key: calendar_after(key, unit, zone)  # noqa: E731
        hard = options.get("hard_bounds", {})

        def is_in(key: int) -> bool:
            low, high = (self._date(hard.get(name)) for name in ("min", "max"))
            return (low is None or key >= low) and (high is None or key < high)

        return self._rows(
            options,
            docs,
            subs,
            lambda ms: floor(int(ms) - shift) + shift,
            lambda key: after(int(key) - shift) + shift,
            is_in,
            lambda value: resolve_date(value, now_ms=self.now_ms),
            lambda ms: shown_date(ms, zone),
        )

    def _date(self, value: Any) -> int | None:
        return None if value is None else resolve_date(value, now_ms=self.now_ms)

    def _rows(
        self,
        options: Any,
        docs: Docs,
        subs: Any,
        floor: Callable[[Any], Any],
        after: Callable[[Any], Any],
        is_in: Callable[[Any], bool],
        read: Callable[[Any], Any],
        show: Callable[[Any], str] | None = None,
    ) -> dict[str, Any]:
        field, missing = options["field"], options.get("missing")
        groups: dict[Any, Docs] = {}
        for doc in docs:
            for key in {floor(value) for value in self.values(field, doc, missing)}:
                if is_in(key):
                    groups.setdefault(key, []).append(doc)
        least = options.get("min_doc_count", 0)
        if least == 0:
            bounds = options.get("extended_bounds", {})
            low, high = (
                floor(read(bounds[name])) if name in bounds else None for name in ("min", "max")
            )
            if groups or (low is not None and high is not None):
                at = min([*groups, *([] if low is None else [low])])
                last = max([*groups, *([] if high is None else [high])])
                while at <= last + (1e-9 if isinstance(last, float) else 0):
                    groups.setdefault(at, [])
                    at = after(at)
        keys = sorted(key for key, group in groups.items() if len(group) >= least)
        [(path, way)] = options.get("order", {"_key": "asc"}).items()
        if path == "_key":
            keys.sort(reverse=way == "desc")
        else:
            numbers = {key: self._order_number(path, groups[key], subs) for key in keys}
            keys.sort(key=lambda key: self._place(numbers[key], way))
        buckets = []
        for key in keys:
            text = self.text(field, key) if show is None else show(key)
            head = {"key": key, **({} if text is None else {"key_as_string": text})}
            buckets.append({**head, **self._single(groups[key], subs)})
        if options.get("keyed"):
            named = {str(b.get("key_as_string", b["key"])): b for b in buckets}
            return {"buckets": named}
        return {"buckets": buckets}


# --- calendars -------------------------------------------------------------------------------
def zone_offset(zone: str, ms: int) -> int:
    moment = (EPOCH + timedelta(milliseconds=ms)).astimezone(as_zone(zone))
    return int(moment.utcoffset().total_seconds()) * 1000


def as_zone(zone: str) -> Any:
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", zone)
    if match is None:
        return ZoneInfo(zone)
    minutes = int(match[2]) * 60 + int(match[3])
    return datetime.strptime(f"{match[1]}{minutes // 60:02d}{minutes % 60:02d}", "%z").tzinfo


def shown_date(ms: int, zone: str) -> str:
    offset = zone_offset(zone, ms)
    text = format_date(ms + offset)[:-1]
    minutes = abs(offset) // 60_000
    sign = "-" if offset < 0 else "+"
    return text + ("Z" if not offset else f"{sign}{minutes // 60:02d}:{minutes % 60:02d}")


def to_ms(moment: datetime) -> int:
    return (moment.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def calendar_floor(ms: int, unit: str, zone: str) -> int:
    moment = (EPOCH + timedelta(milliseconds=ms)).astimezone(as_zone(zone))
    moment = moment.replace(second=0, microsecond=0)
    if unit != "minute":
        moment = moment.replace(minute=0)
    if unit in ("minute", "hour"):
        return to_ms(moment)
    moment = moment.replace(hour=0, fold=0)
    if unit == "week":
        moment -= timedelta(days=moment.weekday())
    if unit in ("month", "quarter", "year"):
        moment = moment.replace(day=1)
    if unit == "quarter":
        moment = moment.replace(month=(moment.month - 1) // 3 * 3 + 1)
    if unit == "year":
        moment = moment.replace(month=1)
    return to_ms(moment)


def calendar_after(key: int, unit: str, zone: str) -> int:
    steps = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "week": 7 * 86_400_000}
    length = {"month": 31, "quarter": 92, "year": 366}
    step = steps.get(unit) or length[unit] * 86_400_000
    slack = 0 if unit in ("minute", "hour") else 4 * 3_600_000
    return calendar_floor(key + step + slack, unit, zone)
