"""What a query means for one searcher: leaves, and how they combine.

`rewrite` makes plans, `program` turns one into operations for the kernel. The boosts of the
query are in the weights of the leaves already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from index.kernels.operations import CONSTANT
from index.reader import I64


class Leaf(Protocol):
    """A source of documents.

    `mode` and `weight` as `kernels/operations.py` has them; `table` is the address for BM25.
    """

    mode: int
    weight: float
    table: int

    @property
    def cost(self) -> int:
        """Return about how many documents it has, over all views."""

    @property
    def bound(self) -> float:
        """Return the highest score it can give."""

    def fill(self, view_no: int, row: I64, owners: list[np.ndarray]) -> int:
        """Fill the row of one view (zeros: no document), and return the address of its norms or
        0; what must outlive the kernel's run goes into `owners`."""

    def fill_views(
        self, view_nos: range, rows: I64, norms: I64 | None, owners: list[np.ndarray]
    ) -> None:
        """Fill the rows of several views (i64[views, ROW_WIDTH], zeros) as `fill` does, and the
        addresses of their norms where they are wanted."""


@dataclass(frozen=True, slots=True)
class Every:
    """All of `required` (each with whether it scores) and none of `excluded`; the `optional`
    add to the score. Requires: `required` is not empty."""

    required: tuple[tuple[Plan, bool], ...]
    excluded: tuple[Plan, ...] = ()
    optional: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """At least `at_least` of the parts; the scores add up. No parts: nothing."""

    parts: tuple[Plan, ...]
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Best:
    """Any of the parts; the best score, and `tie_breaker` times the others."""

    parts: tuple[Plan, ...]
    tie_breaker: float = 0.0


@dataclass(frozen=True, slots=True)
class Constant:
    """What the part matches, every score the same."""

    part: Plan
    score: float


Plan: TypeAlias = "Leaf | Every | Some | Best | Constant"

NOTHING = Some(())


def cost(plan: Plan) -> int:
    """Return about how many documents a plan has to look at."""
    if isinstance(plan, Every):
        return min(cost(part) for part, _ in plan.required)
    if isinstance(plan, Some | Best):
        return sum(cost(part) for part in plan.parts)
    if isinstance(plan, Constant):
        return cost(plan.part)
    return plan.cost


def bound(plan: Plan) -> float:
    """Return a score that no document passes."""
    if isinstance(plan, Every):
        return sum(bound(part) for part, scores in plan.required if scores) + sum(
            bound(part) for part in plan.optional
        )
    if isinstance(plan, Some):
        return sum(bound(part) for part in plan.parts)
    if isinstance(plan, Best):
        each = [bound(part) for part in plan.parts]
        best = max(each, default=0.0)
        return best + plan.tie_breaker * (sum(each) - best)
    if isinstance(plan, Constant):
        return plan.score
    return plan.bound


def is_constant(plan: Plan) -> bool:
    """Return whether every match has the same score."""
    if isinstance(plan, Every | Some | Best):
        return False
    return isinstance(plan, Constant) or plan.mode == CONSTANT


def drivers(plan: Plan) -> list[Leaf]:
    """Return leaves whose union holds every match: the cheapest."""
    if isinstance(plan, Every):
        return drivers(min((part for part, _ in plan.required), key=cost))
    if isinstance(plan, Some | Best):
        return [leaf for part in plan.parts for leaf in drivers(part)]
    if isinstance(plan, Constant):
        return drivers(plan.part)
    return [plan]
