"""`percentiles`: values below which some part of all values lies, interpolated between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from index.aggregate.formats import Shown, shown_as
from index.aggregate.level import Level, Scope
from index.aggregate.results import Result, finite
from index.aggregate.values import numbers, numeric
from index.query.aggregations import Percentiles
from index.reader import F64


@dataclass(slots=True)
class PercentileValues(Result):
    percents: tuple[float, ...]
    values: F64
    """A row an owner; NaN where it has no value."""
    keyed: bool
    shown: Shown | None
    type_name: str = "tdigest_percentiles"
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        found = list(zip(self.percents, map(finite, self.values[owner].tolist()), strict=True))
        if not self.keyed:
            return {"values": [self._entry(percent, value) for percent, value in found]}
        keyed: dict[str, Any] = {}
        for percent, value in found:
            keyed[str(percent)] = value
            if self.shown is not None and value is not None:
                keyed[f"{percent}_as_string"] = self.shown(value)
        return {"values": keyed}

    def _entry(self, percent: float, value: float | None) -> dict[str, Any]:
        entry: dict[str, Any] = {"key": percent, "value": value}
        if self.shown is not None and value is not None:
            entry["value_as_string"] = self.shown(value)
        return entry

    def number(self, names: Sequence[str], number: str) -> F64:
        found: F64 = self.values[:, self.percents.index(float(number))]
        return found


def collect_percentiles(scope: Scope, aggregation: Percentiles, level: Level) -> Result:
    source = numeric(scope, aggregation.field, "percentiles")
    found = numbers(source, level, aggregation.missing, "percentiles.missing")
    values = np.concatenate([np.empty(0), *(part.values for part in found)])
    n = level.n_owners
    if n == 1:
        starts, ordered = np.array([0, len(values)]), np.sort(values)
    else:
        owners = np.concatenate([np.empty(0, np.uint32), *(part.owners for part in found)])
        order = np.lexsort((values, owners))
        ordered = values[order]
        starts = np.searchsorted(owners[order], np.arange(n + 1))
    of_owners = np.full((n, len(aggregation.percents)), np.nan)
    has = starts[1:] > starts[:-1]
    first, last = starts[:-1][has], starts[1:][has] - 1
    for number, percent in enumerate(aggregation.percents):
        of_owners[has, number] = _interpolated(ordered, first, last, percent / 100.0)
    shown = shown_as(source.field, None, None)
    return PercentileValues(aggregation.percents, of_owners, aggregation.keyed, shown)


def _interpolated(ordered: F64, first: np.ndarray, last: np.ndarray, part: float) -> F64:
    """Return the value a part of the way from the place `first` to `last`, run by run."""
    places = part * (last - first)
    whole = np.floor(places)
    below = np.minimum(first + whole.astype(np.int64), last)
    above = np.minimum(below + 1, last)
    rest = places - whole
    low = ordered[below]
    mixed: F64 = low + (ordered[above] - low) * rest
    return mixed
