"""A plan as a program for `kernels/evaluate.py`, and its run.

Everything in the program but the leaves' rows is the same for all views, so one kernel call
answers for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.kernels import operations as op
from index.kernels.evaluate import evaluate
from index.kernels.rows import BLOCK, CURSOR_WIDTH, ROW_WIDTH
from index.query import plan as plans
from index.query.plan import Best, Constant, Every, Leaf, Plan, Some
from index.query.statistics import Statistics, address
from index.query.stop import NEVER, Stop, check_stop
from index.reader import I64, U64

F32 = npt.NDArray[np.float32]

_NO_F32 = np.empty(0, np.float32)
_NO_I64 = np.empty(0, np.int64)
_NO_U64 = np.empty(0, np.uint64)
NO_LIMIT = 1 << 62
"""A limit of the count that no index reaches: all matches are counted."""
BOUND_SLACK = 1.0 + 1e-5
"""Sums of f32 may round up past the bound by a little."""


class Program:
    """The operations of one plan; `scored` False leaves all scores out."""

    def __init__(self, plan: Plan, *, scored: bool) -> None:
        self.leaves: list[Leaf] = []
        self._ops: list[tuple[int, ...]] = []
        self._weights: list[float] = []
        self._leaf_nos: dict[int, int] = {}
        self._counts = False
        self.n_registers = 1
        self._place(plan, 0, 0, scored)
        drivers = [self._leaf_nos[id(leaf)] for leaf in plans.drivers(plan)]
        self.drivers = np.array(drivers, np.int64)
        self.ops = np.array(self._ops, np.int64).reshape(-1, op.OP_WIDTH)
        self.weights = np.array(self._weights, np.float32)
        self.bound = plans.bound(plan) if scored else 0.0
        if not plans.is_constant(plan):
            self.bound *= BOUND_SLACK

    @property
    def n_counted(self) -> int:
        return op.WINDOW if self._counts else 0

    # --- assembly ------------------------------------------------------------------------
    def _emit(
        self,
        code: int,
        register: int,
        *,
        leaf: int = -1,
        source: int = -1,
        depth: int = 0,
        mode: int = op.UNSCORED,
        arg: int = 0,
        weight: float = 0.0,
    ) -> int:
        self._ops.append((code, register, leaf, source, depth, mode, arg, 0))
        self._weights.append(weight)
        return len(self._ops) - 1

    def _place(self, plan: Plan, register: int, depth: int, scored: bool) -> None:
        """Emit what makes `register` the documents of `plan`, with scores if `scored`."""
        self.n_registers = max(self.n_registers, register + 1)
        if isinstance(plan, Every):
            self._place_every(plan, register, depth, scored)
        elif isinstance(plan, Constant):
            self._place(plan.part, register, depth, False)
            if scored:
                self._emit(op.CONST, register, weight=plan.score)
        elif isinstance(plan, Best) and scored:
            self._place_best(plan, register, depth)
        elif isinstance(plan, Some) and plan.at_least > 1:
            self._counts = True
            self._emit(op.CLEAR, register)
            for part in plan.parts:
                self._take(op.COUNT, part, register, depth, scored)
            self._emit(op.LEAST, register, arg=plan.at_least)
        else:
            parts = plan.parts if isinstance(plan, Some | Best) else (plan,)
            self._emit(op.CLEAR, register)
            for part in parts:
                self._take(op.OR, part, register, depth, scored)

    def _place_every(self, plan: Every, register: int, depth: int, scored: bool) -> None:
        required = sorted(plan.required, key=lambda pair: plans.cost(pair[0]))
        first, first_scores = required[0]
        self._place(first, register, depth, scored and first_scores)
        if scored and not first_scores:
            self._emit(op.CONST, register, weight=0.0)
        inner = depth + 1
        jumps = [self._limit(register, inner)]
        for part, scores in required[1:]:
            self._take(op.AND, part, register, inner, scored and scores)
            jumps.append(self._limit(register, inner))
        for part in plan.excluded:
            self._take(op.NOT, part, register, inner, False)
            jumps.append(self._limit(register, inner))
        for part in plan.optional if scored else ():
            self._take(op.MAYBE, part, register, inner, True)
        for at in jumps:
            self._ops[at] = (*self._ops[at][: op.JUMP], len(self._ops))

    def _limit(self, register: int, depth: int) -> int:
        return self._emit(op.LIMIT, register, arg=depth)

    def _place_best(self, plan: Best, register: int, depth: int) -> None:
        self._emit(op.CLEAR, register)
        if plan.tie_breaker == 0.0:
            for part in plan.parts:
                self._take(op.MAX, part, register, depth, True)
            return
        total, each = register + 1, register + 2
        self.n_registers = max(self.n_registers, each + 1)
        self._emit(op.CLEAR, total)
        for part in plan.parts:
            self._place(part, each, depth, True)
            for code, target in ((op.MAX, register), (op.OR, total)):
                self._emit(code, target, source=each, mode=op.REGISTER_SCORES)
        self._emit(op.TIE, register, source=total, weight=plan.tie_breaker)

    def _take(self, code: int, part: Plan, register: int, depth: int, scored: bool) -> None:
        """Emit what takes `part` into `register`: a leaf directly, else by way of a register."""
        if isinstance(part, Every | Some | Best | Constant):
            source = register + 1
            if isinstance(part, Constant):
                scores = (op.CONSTANT, part.score) if scored else (op.UNSCORED, 0.0)
                part, scored = part.part, False
                if not isinstance(part, Every | Some | Best | Constant):
                    self._take_leaf(code, part, register, depth, *scores)
                    return
            else:
                scores = (op.REGISTER_SCORES if scored else op.UNSCORED, 0.0)
            self._place(part, source, depth, scored)
            self._emit(code, register, source=source, mode=scores[0], weight=scores[1])
            return
        scores = (part.mode, part.weight) if scored else (op.UNSCORED, 0.0)
        self._take_leaf(code, part, register, depth, *scores)

    def _take_leaf(
        self, code: int, leaf: Leaf, register: int, depth: int, mode: int, weight: float
    ) -> None:
        number = self._leaf_nos[id(leaf)] = len(self.leaves)
        self.leaves.append(leaf)
        self._emit(
            code, register, leaf=number, depth=depth, mode=mode, arg=leaf.table, weight=weight
        )

    # --- run -----------------------------------------------------------------------------
    def run(
        self,
        statistics: Statistics,
        view_nos: range,
        *,
        k: int = 0,
        min_score: float = -np.inf,
        limit: int = NO_LIMIT,
        stop: Stop = NEVER,
        out_mask: U64 = _NO_U64,
        out_scores: F32 = _NO_F32,
    ) -> Matches:
        """Run over some of the views; the best `k` are kept as (score, view, doc), best first.

        `limit`: once so many matches are counted, what cannot become a hit need not be looked at;
        the total is then above it. `stop`: ends the run early where it is set.
        Raises: StoppedError where it is set before the run begins.
        """
        n_leaves = len(self.leaves)
        leaves = np.zeros((len(view_nos), n_leaves, ROW_WIDTH), np.int64)
        norms = np.zeros((len(view_nos), n_leaves), np.int64)
        owners: list[np.ndarray] = []
        for j, leaf in enumerate(self.leaves):
            check_stop(stop)
            leaf.fill_views(view_nos, leaves[:, j], norms[:, j], owners)
        heap_scores = np.empty(k, np.float32) if k else _NO_F32
        heap_docs = np.empty(k, np.int64) if k else _NO_I64
        result = np.zeros(2, np.int64)
        n_registers = self.n_registers
        evaluate(
            self.ops,
            self.weights,
            leaves,
            norms,
            self.drivers,
            statistics.view_table(view_nos),
            np.array([self.bound, min_score], np.float32),
            limit,
            address(stop),
            np.zeros((n_registers + 1, op.WINDOW_WORDS), np.uint64),
            np.zeros((n_registers, 1), np.uint64),
            np.zeros((n_registers, op.WINDOW), np.float32),
            np.zeros((n_registers, self.n_counted), np.uint16),
            np.empty((n_leaves, BLOCK), np.uint32),
            np.empty((n_leaves, BLOCK), np.uint32),
            np.empty(BLOCK, np.float32),
            np.empty((n_leaves, CURSOR_WIDTH), np.int64),
            np.empty((n_leaves, 2), np.int64),
            np.empty((op.MAX_LEVELS, 2), np.int64),
            heap_scores,
            heap_docs,
            out_mask,
            out_scores,
            result,
        )
        n = int(result[1])
        return Matches(int(result[0]), heap_scores[:n], heap_docs[:n])


@dataclass(frozen=True, slots=True)
class Matches:
    """What a run found: how many, and the best of them, best first; ties in log order."""

    total: int
    scores: F32
    docs: I64
    """Index of the view within the run << 32 | doc id."""

    def ranked(self) -> list[tuple[int, int, float]]:
        """Return (view, doc id, score) of each."""
        return [
            (doc >> 32, doc & 0xFFFFFFFF, score)
            for doc, score in zip(self.docs.tolist(), self.scores.tolist(), strict=True)
        ]
