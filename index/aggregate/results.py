"""What aggregations found, bucket by bucket of the level above, and how an answer shows it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from index.reader import F64, I64


class Result(ABC):
    """One aggregation's, for all owners."""

    type_name: str
    """What `typed_keys` puts before the name."""
    meta: dict[str, Any] | None = None

    @abstractmethod
    def body(self, owner: int) -> dict[str, Any]:
        """Return what the answer shows of one owner, without `meta`."""

    def number(self, names: Sequence[str], number: str) -> F64:
        """Return, of each owner, the number that buckets are ordered by.

        names: the way from here to the aggregation that has it. Requires: `check_order` passed.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Subs:
    """The results of the aggregations of one level."""

    results: tuple[tuple[str, Result], ...] = ()
    typed: bool = False

    def body(self, owner: int) -> dict[str, Any]:
        return {
            f"{result.type_name}#{name}" if self.typed else name: shown(result, owner)
            for name, result in self.results
        }

    def number(self, names: Sequence[str], number: str) -> F64:
        result = dict(self.results)[names[0]]
        return result.number(names[1:], number)


def shown(result: Result, owner: int) -> dict[str, Any]:
    body = result.body(owner)
    return body if result.meta is None else {"meta": result.meta, **body}


NO_SUBS = Subs()
Head = Callable[[int], dict[str, Any]]
"""What a bucket shows before its count: by its number."""


@dataclass(slots=True)
class Buckets(Result):
    """Buckets of each owner, one after the other."""

    type_name: str
    firsts: I64
    """i64[n_owners + 1]: the buckets of owner o are firsts[o] .. firsts[o + 1] - 1."""
    counts: I64
    head: Head
    name: Callable[[int], str] | None
    """The names of a keyed answer; None: the answer is a list."""
    subs: Subs = NO_SUBS
    beside: Callable[[int], dict[str, Any]] | None = None
    """What stands beside the buckets: by owner."""
    tail: dict[str, Any] = field(default_factory=dict)
    """What each bucket shows behind its count."""
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        numbers = range(int(self.firsts[owner]), int(self.firsts[owner + 1]))
        body = {} if self.beside is None else self.beside(owner)
        if self.name is None:
            return {**body, "buckets": [self._bucket(number) for number in numbers]}
        return {
            **body,
            "buckets": {self.name(number): self._bucket(number) for number in numbers},
        }

    def _bucket(self, number: int) -> dict[str, Any]:
        count = int(self.counts[number])
        return {
            **self.head(number), "doc_count": count, **self.tail, **self.subs.body(number)
        }  # fmt: skip


@dataclass(slots=True)
class Single(Result):
    """One bucket for each owner."""

    type_name: str
    counts: I64
    subs: Subs = NO_SUBS
    meta: dict[str, Any] | None = None

    def body(self, owner: int) -> dict[str, Any]:
        return {"doc_count": int(self.counts[owner]), **self.subs.body(owner)}

    def number(self, names: Sequence[str], number: str) -> F64:
        if names:
            return self.subs.number(names, number)
        return self.counts.astype(np.float64)


def finite(value: float) -> float | None:
    """Return a number as JSON has it; null where there was none to take."""
    return value if math.isfinite(value) else None
