"""Which number a document with several values is sorted by."""

from __future__ import annotations

from typing import Any

import numpy as np

from index.query.request import SortMode
from index.reader import Column

_TWO_63 = 2.0**63
_BELOW_TWO_63 = np.nextafter(_TWO_63, 0.0)
_LARGEST = np.int64(2**63 - 1)


def one_value(column: Column, docs: np.ndarray, mode: SortMode) -> tuple[np.ndarray, np.ndarray]:
    """Return one value of each document, chosen by `mode`, and whether it has any.

    The values have the type of the column, whatever the mode and whichever documents: of
    integers averages and medians are rounded, halves up, and sums wrap around at 64 bits, as
    in OpenSearch. Requires: the mode of a column of ordinals is min or max.
    """
    if column.starts is None:
        values = column.values[docs]
        if column.present is None:
            return values, np.ones(len(docs), bool)
        words = column.present[docs >> 6]
        return values, (words >> (docs & 63).astype(np.uint64)) & np.uint64(1) != 0
    begin = column.starts[docs].astype(np.int64)
    counts = column.starts[docs + 1].astype(np.int64) - begin
    has_value = counts > 0
    values = np.zeros(len(docs), column.values.dtype)
    if has_value.any():
        begin, counts = begin[has_value], counts[has_value]
        first = np.cumsum(counts) - counts
        places = np.arange(int(counts.sum())) + np.repeat(begin - first, counts)
        with np.errstate(over="ignore", invalid="ignore"):
            values[has_value] = _reduce(column.values[places], first, counts, mode)
    return values, has_value


def _reduce(values: np.ndarray, first: np.ndarray, counts: np.ndarray, mode: str) -> np.ndarray:
    """Return one of the `counts[i]` values from `first[i]` on, for each i."""
    if mode == "median":
        return _medians(values, first, counts)
    reducer: Any = {"min": np.minimum, "max": np.maximum}.get(mode, np.add)
    reduced: np.ndarray = reducer.reduceat(values, first)
    if values.dtype.kind == "f" and mode in ("sum", "avg"):
        # a sum that went past both ends: in rising order the lower end comes first
        reduced = np.where(np.isnan(reduced), -np.inf, reduced)
    if mode != "avg":
        return reduced
    return _like(values, np.where(counts > 1, reduced / counts, 0.0), reduced, counts > 1)


def _medians(values: np.ndarray, first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rows = np.repeat(np.arange(len(counts)), counts)
    rising = values[np.lexsort((values, rows))]
    low, high = rising[first + (counts - 1) // 2], rising[first + counts // 2]
    middle = (low.astype(np.float64) + high.astype(np.float64)) / 2
    return _like(values, middle, low, counts % 2 == 0)


def _like(
    values: np.ndarray, quotients: np.ndarray, whole: np.ndarray, is_quotient: np.ndarray
) -> np.ndarray:
    """Return the quotients as the type of `values`; elsewhere what needed no division, exactly."""
    if values.dtype.kind != "f":
        quotients = _rounded(quotients)
    return np.where(is_quotient, quotients, whole)


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """Return the nearest i64 of each f64, halves up, the largest for what is beyond."""
    floors = np.floor(numbers)
    nearest = floors + (numbers - floors >= 0.5)
    # 2^63 is a float, the integer below it is none
    within = np.minimum(nearest, _BELOW_TWO_63).astype(np.int64)
    return np.where(nearest >= _TWO_63, _LARGEST, within)
