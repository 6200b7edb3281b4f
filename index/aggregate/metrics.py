"""Numbers over all values of a bucket: min, max, sum, avg, value_count, stats; cardinality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from index.aggregate.cells import Cells
from index.aggregate.formats import Shown, shown_as
from index.aggregate.keys import key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.results import Result, finite
from index.aggregate.term_keys import count_terms, key_terms
from index.aggregate.values import Source, numbers, numeric
from index.kernels import aggregate as kernels
from index.query.aggregations import Cardinality, Metric
from index.reader import F64, I64


@dataclass(slots=True)
class Count(Result):
    """One whole number for each owner."""

    type_name: str
    counts: I64
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        return {"value": int(self.counts[owner])}

    def number(self, names: Sequence[str], number: str) -> F64:
        return self.counts.astype(np.float64)


@dataclass(slots=True)
class Sums:
    """Of each owner's values: how many, smallest, largest, sum, sum of squares."""

    count: I64
    min: F64
    max: F64
    sum: F64
    sum_of_squares: F64

    def number(self, name: str) -> F64:
        """Return a number of `order_paths.EXTENDED`; NaN where there is none."""
        if name == "count":
            return self.count.astype(np.float64)
        if name in ("min", "max", "sum", "sum_of_squares"):
            found: F64 = getattr(self, name)
            return found
        count = np.where(self.count > 0, self.count, np.nan)
        average = self.sum / count
        if name == "avg":
            return average
        variance = np.maximum((self.sum_of_squares - self.sum * average) / count, 0.0)
        return variance if name == "variance" else np.sqrt(variance)


def sums_of(source: Source, level: Level, aggregation: Metric) -> Sums:
    counts = np.zeros(level.n_owners, np.int64)
    sums = np.zeros((level.n_owners, 6), np.float64)
    sums[:, 0], sums[:, 1] = np.inf, -np.inf
    for found in numbers(source, level, aggregation.missing, f"{aggregation.name}.missing"):
        kernels.accumulate(found.owners, np.ascontiguousarray(found.values), counts, sums)
    return Sums(
        counts,
        sums[:, 0],
        sums[:, 1],
        sums[:, 2] + sums[:, 3],
        sums[:, 4] + sums[:, 5],
    )


@dataclass(slots=True)
class Number(Result):
    """One number for each owner: min, max, avg or sum."""

    type_name: str
    values: F64
    shown: Shown | None
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        value = finite(float(self.values[owner]))
        if value is None or self.shown is None:
            return {"value": value}
        return {"value": value, "value_as_string": self.shown(value)}

    def number(self, names: Sequence[str], number: str) -> F64:
        return self.values


_STATS = ("min", "max", "avg", "sum")


@dataclass(slots=True)
class Stats(Result):
    type_name: str
    sums: Sums
    shown: Shown | None
    sigma: float
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        body: dict[str, Any] = {"count": int(self.sums.count[owner])}
        for name in _STATS:
            body[name] = finite(float(self.sums.number(name)[owner]))
        if self.type_name == "extended_stats":
            body |= self._extended(owner)
        if self.shown is not None and body["count"]:
            body |= {f"{name}_as_string": self.shown(body[name]) for name in _STATS}
        return body

    def _extended(self, owner: int) -> dict[str, Any]:
        sums = self.sums
        n = int(sums.count[owner])
        average = float(sums.number("avg")[owner])
        variance = float(sums.number("variance")[owner])
        of_sample = variance * n / (n - 1) if n > 1 else math.nan
        deviation, sample_deviation = math.sqrt(variance), math.sqrt(of_sample)
        return {
            "sum_of_squares": finite(float(sums.sum_of_squares[owner])) if n else None,
            "variance": finite(variance),
            "variance_population": finite(variance),
            "variance_sampling": finite(of_sample),
            "std_deviation": finite(deviation),
            "std_deviation_population": finite(deviation),
            "std_deviation_sampling": finite(sample_deviation),
            "std_deviation_bounds": {
                f"{side}{suffix}": finite(average + sign * self.sigma * spread)
                for suffix, spread in (
                    ("", deviation),
                    ("_population", deviation),
                    ("_sampling", sample_deviation),
                )
                for side, sign in (("upper", 1), ("lower", -1))
            },
        }

    def number(self, names: Sequence[str], number: str) -> F64:
        return self.sums.number(number)


def collect_metric(scope: Scope, aggregation: Metric, level: Level) -> Result:
    name = aggregation.name
    if name == "value_count":
        return Count("value_count", count_values(scope, aggregation, level))
    source = numeric(scope, aggregation.field, name)
    sums = sums_of(source, level, aggregation)
    shown = shown_as(source.field, None, None)
    if name in ("stats", "extended_stats"):
        return Stats(name, sums, shown, aggregation.sigma)
    return Number(name, sums.number(name), shown)


def count_values(scope: Scope, aggregation: Metric, level: Level) -> I64:
    source = Source(scope, aggregation.field)
    if source.is_keyword or source.field is None:
        # a keyword that a document has twice is one value
        if level.n_owners == 1:
            return np.array([count_terms(source, level, aggregation.missing).counts.sum()])
        found, keys = key_terms(source, level, aggregation.missing)
        counts = np.zeros(level.n_owners, np.int64)
        cells = Cells(level.n_owners, keys.n, found, keys.keys)
        owners, _ = cells.owner_key(cells.used())
        np.add.at(counts, owners, cells.counts[cells.used()])
        return counts
    counts = np.zeros(level.n_owners, np.int64)
    for part in numbers(source, level, aggregation.missing, "value_count.missing"):
        if len(part.owners):
            kernels.count_owners(part.owners, counts)
        elif len(part.values):
            counts[0] += len(part.values)
    return counts


def collect_cardinality(scope: Scope, aggregation: Cardinality, level: Level) -> Result:
    """Count different values exactly, whatever the threshold: see docs/aggregations.md."""
    source = Source(scope, aggregation.field)
    if level.n_owners == 1 and (source.is_keyword or source.field is None):
        counted = count_terms(source, level, aggregation.missing)
        return Count("cardinality", np.array([np.count_nonzero(counted.counts)], np.int64))
    if source.is_keyword or source.field is None:
        found, keys = key_terms(source, level, aggregation.missing)
        n_keys, of_views = keys.n, keys.keys
    else:
        missing = source.held(aggregation.missing, "cardinality.missing")
        found = source.gather(level, missing)
        of_views, distinct = key_numbers([part.values for part in found])
        n_keys = len(distinct)
    cells = Cells(level.n_owners, n_keys, found, of_views)
    owners, _ = cells.owner_key(cells.used())
    return Count("cardinality", np.bincount(owners, minlength=level.n_owners).astype(np.int64))
