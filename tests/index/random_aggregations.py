"""Random aggregations over `search_world.MAPPING`: every kind in every nesting."""

from __future__ import annotations

from typing import Any

from tests.index.random_queries import WORDS, RandomQueries

KEYWORDS = ["tag", "o.x", "title.raw"]
NUMBERS = ["n", "f", "o.y"]
FIELDS = [*KEYWORDS, *NUMBERS, "d", "b", "nope"]
METRICS = ["min", "max", "avg", "sum", "stats", "value_count"]
ZONES = ["UTC", "+05:30", "-03:00", "Europe/Berlin", "America/New_York"]


class RandomAggregations:
    """Random aggregations."""

    def __init__(self, ask: RandomQueries) -> None:
        self.ask = ask
        self.random = ask.random

    def aggs(self, depth: int) -> dict[str, Any]:
        return {f"a{i}": self.one(depth) for i in range(self.random.randint(1, 2))}

    def one(self, depth: int) -> dict[str, Any]:
        r = self.random
        kinds = ["metric", "metric", "cardinality", "percentiles"]
        if depth < 3:
            kinds += ["terms"] * 4 + ["range", "histogram", "histogram", "date_histogram"] * 2
            kinds += ["date_range", "filter", "filters", "missing"]
        if depth == 0:
            kinds.append("global")
        kind = r.choice(kinds)
        body = getattr(self, f"_{kind}")(depth)
        if (
            kind not in ("metric", "cardinality", "percentiles")
            and "aggs" not in body
            and r.random() < 0.5
        ):
            body["aggs"] = self.aggs(depth + 1)
        if r.random() < 0.1:
            body["meta"] = {"colour": "red"}
        return body

    def _missing_value(self, field: str) -> dict[str, Any]:
        if self.random.random() < 0.75:
            return {}
        values = {"d": "2020-03-01", "b": "true", "n": 3, "f": 2.5, "o.y": 2, "nope": "x"}
        return {"missing": values.get(field, self.random.choice([*WORDS, "N/A"]))}

    def _number_field(self) -> str:
        return self.random.choice([*NUMBERS, "n", "f", "d", "b"])

    def _metric(self, depth: int) -> dict[str, Any]:
        name = self.random.choice(METRICS)
        field = self.random.choice(FIELDS) if name == "value_count" else self._number_field()
        return {name: {"field": field, **self._missing_value(field)}}

    def _percentiles(self, depth: int) -> dict[str, Any]:
        field = self._number_field()
        percents = self.random.choice([[50], [0, 10, 99.9, 100]])
        return {"percentiles": {"field": field, "percents": percents}}

    def _cardinality(self, depth: int) -> dict[str, Any]:
        field = self.random.choice(FIELDS)
        return {"cardinality": {"field": field, **self._missing_value(field)}}

    def _terms(self, depth: int) -> dict[str, Any]:
        r = self.random
        field = r.choice(FIELDS)
        options = {"field": field, **self._missing_value(field)}
        if r.random() < 0.5:
            options["size"] = r.choice([1, 2, 5, 100])
        if r.random() < 0.4:
            options["min_doc_count"] = r.choice([0, 0, 1, 2, 5])
        if field in KEYWORDS and r.random() < 0.4:
            wanted = [r.sample(WORDS, 4), "f.*", "[a-r].*|20+20", "x1|日本"]
            options[r.choice(["include", "exclude"])] = r.choice(wanted)
        if field in ("n", "o.y") and r.random() < 0.2:
            options[r.choice(["include", "exclude"])] = [1, 2, 3]
        body: dict[str, Any] = {"terms": options}
        self._put_order(body, options, depth)
        return body

    def _put_order(self, body: dict[str, Any], options: dict[str, Any], depth: int) -> None:
        r = self.random
        orders = [{"_key": "asc"}, {"_key": "desc"}, {"_count": "asc"}, {"_count": "desc"}]
        if r.random() < 0.3:
            subs = {
                "m": {r.choice(["min", "max", "avg", "sum"]): {"field": r.choice(NUMBERS)}},
                "s": {"stats": {"field": r.choice(NUMBERS)}},
                "p": {"percentiles": {"field": r.choice(NUMBERS), "percents": [50, 90]}},
                "f": {"filter": self.ask.query(3)},
            }
            body["aggs"] = subs
            paths = ("m", "s.avg", "s.min", "f._count", "p.90")
            orders += [{path: way} for path in paths for way in ("asc", "desc")]
        if r.random() < 0.6:
            options["order"] = r.choice(orders)

    def _range(self, depth: int) -> dict[str, Any]:
        r = self.random
        field = r.choice([*NUMBERS, "n", "f"])
        ends = [-2, 0, 1.5, 2, 4, 7]
        return {"range": {"field": field, "ranges": self._some_ranges(ends), **self._keyed(),
                          **self._missing_value(field)}}  # fmt: skip

    def _date_range(self, depth: int) -> dict[str, Any]:
        ends = ["2019-12-31T23:59:59.999Z", "2020-01-01", "2020-06||/M", "now-1M/M", "2021"]
        return {"date_range": {"field": "d", "ranges": self._some_ranges(ends), **self._keyed()}}

    def _some_ranges(self, ends: list[Any]) -> list[dict[str, Any]]:
        r = self.random
        ranges = []
        for i in range(r.randint(1, 4)):
            low, high = sorted(r.sample(range(len(ends)), 2))
            one = {"from": ends[low], "to": ends[high], "key": f"r{i}"}
            for name in ("from", "to"):
                if r.random() < 0.2:
                    del one[name]
            if r.random() < 0.5 and len(one) > 1:
                one["key"] = f"r{i}"
            ranges.append(one)
        return ranges

    def _keyed(self) -> dict[str, Any]:
        return {"keyed": True} if self.random.random() < 0.3 else {}

    def _histogram(self, depth: int) -> dict[str, Any]:
        r = self.random
        field = r.choice([*NUMBERS, "b"])
        options: dict[str, Any] = {"field": field, "interval": r.choice([0.5, 1, 2, 5])}
        options |= {**self._keyed(), **self._missing_value(field), **self._least()}
        if r.random() < 0.3:
            options["offset"] = r.choice([0.25, 1, -3])
        bounds = r.choice([{}, {}, {"min": -5, "max": 12}, {"min": 1}, {"max": 3}])
        if bounds:
            name = r.choice(["extended_bounds", "hard_bounds"])
            options[name] = bounds
        body: dict[str, Any] = {"histogram": options}
        self._put_order(body, options, depth)
        return body

    def _least(self) -> dict[str, Any]:
        chosen = self.random.choice([None, 0, 1, 2])
        return {} if chosen is None else {"min_doc_count": chosen}

    def _date_histogram(self, depth: int) -> dict[str, Any]:
        r = self.random
        options: dict[str, Any] = {"field": "d", **self._keyed(), **self._least()}
        if r.random() < 0.5:
            options["fixed_interval"] = r.choice(["7d", "30d", "100d", "36h"])
            options["time_zone"] = r.choice(ZONES[:3])
        else:
            options["calendar_interval"] = r.choice(["day", "week", "month", "quarter", "year"])
            options["time_zone"] = r.choice(ZONES)
        if r.random() < 0.2:
            options["offset"] = r.choice(["+6h", "-1d", "90m"])
        low, high = {"min": "2019-11-05T00:00:00Z"}, {"max": "2021-06-01T00:00:00Z"}
        bounds = r.choice([{}, {}, low, high, {**low, **high}])
        if bounds:
            options[r.choice(["extended_bounds", "hard_bounds"])] = bounds
        if r.random() < 0.2:
            options["missing"] = "2020-03-01T00:00:00Z"
        body: dict[str, Any] = {"date_histogram": options}
        self._put_order(body, options, depth)
        return body

    def _filter(self, depth: int) -> dict[str, Any]:
        return {"filter": self.ask.query(2)}

    def _filters(self, depth: int) -> dict[str, Any]:
        queries = [self.ask.query(2) for _ in range(self.random.randint(1, 3))]
        filters: Any = queries
        if self.random.random() < 0.5:
            filters = {f"q{i}": query for i, query in enumerate(queries)}
        return {"filters": {"filters": filters, "other_bucket": self.random.random() < 0.5}}

    def _missing(self, depth: int) -> dict[str, Any]:
        return {"missing": {"field": self.random.choice(FIELDS)}}

    def _global(self, depth: int) -> dict[str, Any]:
        return {"global": {}}
