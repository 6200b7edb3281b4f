"""The best hits by sort keys: chosen in each view by arrays, then merged by value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from index.query.ast import Scalar
from index.query.sort_keys import Key, KeyColumn
from index.query.stop import NEVER, Stop
from index.reader import View


@dataclass(frozen=True, slots=True)
class SortedDoc:
    view_no: int
    doc_id: int
    score: float
    values: tuple[Scalar | None, ...]


def sort_matches(
    views: tuple[View, ...],
    matches: list[tuple[np.ndarray, np.ndarray]],
    keys: list[Key],
    after: tuple[Scalar | None, ...] | None,
    k: int,
    stop: Stop = NEVER,
) -> list[SortedDoc]:
    """Return the first `k` of the matching documents, those after `after` only; once `stop` is
    set, those of the views that were looked at by then.

    matches: of each view (doc ids rising, their scores). Ties go in log order.
    """
    found: list[tuple[tuple[Any, ...], SortedDoc]] = []
    for view_no, (docs, scores) in enumerate(matches):
        if len(docs) and not stop[0]:
            docs = docs.astype(np.int64)
            columns = [key.column(view_no, views[view_no], docs, scores) for key in keys]
            found += _best_of_view(view_no, docs, scores, keys, columns, after, k)
    found.sort(key=lambda pair: pair[0])
    return [doc for _, doc in found[:k]]


def _best_of_view(
    view_no: int,
    docs: np.ndarray,
    scores: np.ndarray,
    keys: list[Key],
    columns: list[KeyColumn],
    after: tuple[Scalar | None, ...] | None,
    k: int,
) -> list[tuple[tuple[Any, ...], SortedDoc]]:
    chosen = np.arange(len(docs)) if after is None else _after(columns, after)
    chosen = _narrowed(columns[0], chosen, k)
    arrays = [array[chosen] for column in columns for array in (column.ranks, column.values)]
    order = chosen[np.lexsort(arrays[::-1])[:k]]
    found = []
    for i in order.tolist():
        values = tuple(column.answer(i) for column in columns)
        doc = SortedDoc(view_no, int(docs[i]), float(scores[i]) if len(scores) else 0.0, values)
        place = tuple(key.comparable(value) for key, value in zip(keys, values, strict=True))
        found.append(((*place, view_no, doc.doc_id), doc))
    return found


def _after(columns: list[KeyColumn], after: tuple[Scalar | None, ...]) -> np.ndarray:
    """Return the indexes of the documents that come after the sort values."""
    n = len(columns[0].ranks)
    is_after, is_equal = np.zeros(n, bool), np.ones(n, bool)
    for column, wanted in zip(columns, after, strict=True):
        rank, value = column.place(wanted)
        same_rank = column.ranks == rank
        greater, same = column.values > value, column.values == value
        is_after |= is_equal & ((column.ranks > rank) | (same_rank & greater & (rank == 0)))
        is_equal &= same_rank & (same | (rank != 0))
    return np.flatnonzero(is_after)


def _narrowed(first: KeyColumn, chosen: np.ndarray, k: int) -> np.ndarray:
    """Drop documents that the first key alone puts behind the first `k`."""
    if len(chosen) <= max(1024, 2 * k):
        return chosen
    left, kept = k, []
    for rank in (-1, 0, 1):
        group = chosen[first.ranks[chosen] == rank]
        if rank == 0 and left < len(group):
            values = first.values[group]
            group = group[values <= np.partition(values, left - 1)[left - 1]]
        kept.append(group)
        left -= len(group)
        if left <= 0:
            break
    return np.sort(np.concatenate(kept))
