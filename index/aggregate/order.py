"""Which buckets an answer has, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from index.query.aggregations import Order
from index.query.order_paths import OrderPath, read_path
from index.reader import F64, I64

NumberOf = Callable[[OrderPath], F64]
"""From a path to the number of each candidate."""


def ordered(
    owners: I64, keys: I64, counts: I64, orders: Sequence[Order], number_of: NumberOf
) -> I64:
    """Return the order of candidates: by owner, then by `orders`; those that are equal in all go
    by key. What has no number comes last, whichever way the order goes."""
    columns: list[np.ndarray] = []
    for order in orders:
        columns += _columns(order, keys, counts, number_of)
        if order.path == "_key":
            break
    else:
        columns.append(keys)
    found: I64 = np.lexsort((*columns[::-1], owners))
    return found


def _columns(order: Order, keys: I64, counts: I64, number_of: NumberOf) -> list[np.ndarray]:
    if order.path in ("_key", "_count"):
        column = keys if order.path == "_key" else counts
        return [column if order.is_ascending else -column]
    numbers = number_of(read_path(order.path))
    return [np.isnan(numbers), numbers if order.is_ascending else -numbers]


def first_of_each(owners: I64, size: int) -> I64:
    """Return the places of the first `size` candidates of each owner. Requires: owners rise."""
    if not len(owners):
        return np.empty(0, np.int64)
    is_first = np.empty(len(owners), bool)
    is_first[0] = True
    is_first[1:] = owners[1:] != owners[:-1]
    begins = np.flatnonzero(is_first)
    place = np.arange(len(owners)) - np.repeat(begins, np.diff(np.append(begins, len(owners))))
    return np.flatnonzero(place < size)


def narrowed(counts: I64, size: int, orders: Sequence[Order]) -> I64:
    """Return the candidates, all of one owner, that can be among the first `size`: a cheap first
    sieve where many are ordered by count."""
    everything = np.arange(len(counts))
    if orders[0].path != "_count" or len(counts) <= 4 * size + 1024:
        return everything
    if orders[0].is_ascending:
        return np.flatnonzero(counts <= np.partition(counts, size - 1)[size - 1])
    return np.flatnonzero(counts >= -np.partition(-counts, size - 1)[size - 1])


def bounds_of(owners: I64, n_owners: int) -> I64:
    """Return where the buckets of each owner begin, and their end. Requires: owners rise."""
    return np.searchsorted(owners, np.arange(n_owners + 1))
