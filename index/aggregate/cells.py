"""Counting: pairs with keys -> cells (owner, key) with counts -> the pairs of a level below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from index.aggregate.level import NO_U32, Level, Pairs
from index.aggregate.values import Gathered, joined
from index.errors import InvalidRequestError
from index.kernels import aggregate as kernels
from index.kernels.aggregate import NONE
from index.reader import I64, U32

MAX_DENSE = 1 << 22
"""Up to so many cells each has a place of its own; of more only those in use."""
MAX_PAIRS = 1 << 28
"""Pairs of one level, so that several values a document, level over level, stay in memory."""


class Counts:
    """How many documents have each key, of one owner."""

    n_owners = 1
    is_whole = True

    def __init__(self, counts: I64) -> None:
        self.counts = counts
        self.n_keys = len(counts)

    def used(self, min_count: int = 1) -> I64:
        """Return the keys with so many documents, rising."""
        return np.flatnonzero(self.counts >= max(min_count, 1))

    def owner_key(self, cells: I64) -> tuple[I64, I64]:
        """Return the owner and the key of each cell."""
        return np.zeros(len(cells), np.int64), cells


class Cells:
    """How many documents each (owner, key) has.

    `found`: of each view the pairs; `keys`: beside them their keys (NONE: no bucket).
    """

    def __init__(
        self, n_owners: int, n_keys: int, found: Sequence[Gathered], keys: Sequence[U32]
    ) -> None:
        if sum(len(part) for part in keys) > MAX_PAIRS:
            raise InvalidRequestError(
                f"an aggregation would look at more than {MAX_PAIRS} values of documents"
            )
        self.n_owners = n_owners
        self.n_keys = n_keys
        self._docs = [part.docs for part in found]
        self._ids: I64 | None = None
        if n_owners * n_keys <= MAX_DENSE:
            self.counts = np.zeros(n_owners * n_keys, np.int64)
            width = n_keys
            owners = [part.owners for part in found]
            self._cells = [part.copy() for part in keys]
        else:
            self._cells = self._number(found, keys)
            width = len(self.counts)
            owners = [NO_U32] * len(found)
        for part, own, cells in zip(found, owners, self._cells, strict=True):
            if part.is_multi:
                last = np.zeros(len(self.counts), np.uint32)
                kernels.count_cells_once(part.docs, own, cells, width, self.counts, last)
            else:
                kernels.count_cells(own, cells, width, self.counts)

    def _number(self, found: Sequence[Gathered], keys: Sequence[U32]) -> list[U32]:
        """Give the cells in use numbers, in order of owner and key."""
        ids = []
        for part, own in zip(found, keys, strict=True):
            cell = own.astype(np.int64)
            if len(part.owners):
                cell += part.owners.astype(np.int64) * self.n_keys
            cell[own == NONE] = -1
            ids.append(cell)
        numbers, distinct = number_values(joined(ids))
        order = np.argsort(distinct)
        rank = np.empty(len(distinct), np.uint32)
        is_none = len(order) > 0 and bool(distinct[order[0]] == -1)
        rank[order] = np.arange(len(order), dtype=np.int64) - int(is_none)  # -1 becomes NONE
        self._ids = distinct[order][int(is_none) :]
        self.counts = np.zeros(len(self._ids), np.int64)
        ends = np.cumsum([len(part) for part in ids])[:-1]
        return [np.ascontiguousarray(part) for part in np.split(rank[numbers], ends)]

    @property
    def is_whole(self) -> bool:
        """Whether every (owner, key) has a cell."""
        return self._ids is None

    def used(self, min_count: int = 1) -> I64:
        """Return the cells with so many documents, in order of owner and key."""
        return np.flatnonzero(self.counts >= max(min_count, 1))

    def owner_key(self, cells: I64) -> tuple[I64, I64]:
        """Return the owner and the key of each cell."""
        ids = cells if self._ids is None else self._ids[cells]
        if self.n_owners == 1:
            return np.zeros(len(ids), np.int64), ids
        owners, keys = np.divmod(ids, max(self.n_keys, 1))
        return owners, keys

    def level(self, chosen: I64, numbers: I64, n_owners: int) -> Level:
        """Return the pairs of the chosen cells, owned by the buckets `numbers`."""
        owner_of = np.full(len(self.counts), NONE, np.uint32)
        owner_of[chosen] = numbers
        n_left = int(self.counts[chosen].sum())
        pairs = []
        for docs, cells in zip(self._docs, self._cells, strict=True):
            n = min(len(cells), n_left)
            out_docs, out_owners = np.empty(n, np.uint32), np.empty(n, np.uint32)
            n = kernels.keep_cells(docs, cells, owner_of, out_docs, out_owners)
            pairs.append(Pairs(out_docs[:n], out_owners[:n]))
        return Level(n_owners, tuple(pairs))


def number_values(values: I64) -> tuple[U32, I64]:
    """Return the number of each value, and the values numbered, in order of arrival."""
    slots = np.zeros(1 << max(4, (2 * len(values)).bit_length()), np.int32)
    distinct, numbers = np.empty(len(values), np.int64), np.empty(len(values), np.uint32)
    n = kernels.number_values(values, slots, distinct, numbers)
    return numbers, distinct[:n].copy()
