"""Programs over many windows against the same plans evaluated with dicts."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.kernels import operations as op
from index.kernels.rows import ALL, BITS, LIST
from index.query.leaves import ViewLeaf
from index.query.plan import Best, Constant, Every, Plan, Some
from index.query.program import Program
from index.query.statistics import Statistics, address
from index.reader import View, bitset

N_DOCS = 10_000
SCORED_LIST = 99
"""A LIST with a score for each document."""


class FakeReader:
    """As many documents as wanted and nothing else."""

    def __init__(self, n_docs: int) -> None:
        self.n_docs = n_docs
        self.field_nos: frozenset[int] = frozenset()


class FakeLeaf(ViewLeaf):
    """Given documents of one view, scored in one of three ways."""

    table = 0

    def __init__(self, docs: np.ndarray, kind: int, weight: float) -> None:
        self.docs = docs
        self.kind = kind
        self.weight = weight
        self.cost = len(docs)
        self.mode = op.GIVEN if kind == SCORED_LIST else op.CONSTANT
        self.given = (docs % 7 + 1).astype(np.float32)
        self.bound = weight * 7

    def scores(self) -> dict[int, float]:
        each = self.given * self.weight if self.mode == op.GIVEN else [self.weight] * len(self.docs)
        return dict(zip(self.docs.tolist(), map(float, each), strict=True))

    def fill(self, view_no: int, row: np.ndarray, owners: list[np.ndarray]) -> int:
        if self.kind == BITS:
            words = bitset(N_DOCS)
            for doc in self.docs.tolist():
                words[doc >> 6] |= np.uint64(1) << np.uint64(doc & 63)
            owners.append(words)
            row[:4] = (BITS, N_DOCS, address(words), len(words))
        elif self.kind == ALL:
            row[:3] = (ALL, N_DOCS, N_DOCS)
        elif len(self.docs):
            given = address(self.given) if self.mode == op.GIVEN else 0
            row[:4] = (LIST, len(self.docs), address(self.docs), given)
        return 0


def random_leaf(r: random.Random) -> FakeLeaf:
    kind = r.choice([LIST, LIST, BITS, SCORED_LIST, ALL])
    n = r.choice([0, 1, 5, 300, 4000])
    first = r.choice([0, 0, 5000])
    docs = r.sample(range(first, N_DOCS), k=n)
    if kind == ALL:
        docs = list(range(N_DOCS))
    return FakeLeaf(np.array(sorted(docs), np.uint32), kind, r.choice([0.5, 1.0, 2.0]))


def random_plan(r: random.Random, depth: int = 0) -> Plan:
    kinds = ["leaf"] * (1 + depth) + ["every", "some", "best", "constant"] * (depth < 3)
    kind = r.choice(kinds)
    if kind == "leaf":
        return random_leaf(r)
    if kind == "constant":
        return Constant(random_plan(r, depth + 1), 1.5)
    parts = tuple(random_plan(r, depth + 1) for _ in range(r.randint(1, 3)))
    if kind == "some":
        return Some(parts, r.randint(1, len(parts)))
    if kind == "best":
        return Best(parts, r.choice([0.0, 0.25]))
    required = tuple((part, r.random() < 0.7) for part in parts)
    extra = [tuple(random_plan(r, depth + 1) for _ in range(r.randint(0, 1))) for _ in range(2)]
    return Every(required, extra[0], extra[1])


def scores_of(plan: Plan) -> dict[int, float]:
    """Return the score of each matching document: the plain-Python twin of the kernel."""
    if isinstance(plan, Constant):
        return dict.fromkeys(scores_of(plan.part), plan.score)
    if isinstance(plan, Every):
        return scores_of_every(plan)
    if not isinstance(plan, Some | Best):
        return plan.scores()  # type: ignore[attr-defined]
    found: dict[int, list[float]] = {}
    for part in plan.parts:
        for doc, score in scores_of(part).items():
            found.setdefault(doc, []).append(score)
    if isinstance(plan, Some):
        return {doc: sum(s) for doc, s in found.items() if len(s) >= plan.at_least}
    tie = plan.tie_breaker
    return {doc: max(s) + tie * (sum(s) - max(s)) for doc, s in found.items()}


def scores_of_every(plan: Every) -> dict[int, float]:
    parts = [(scores_of(part), scores) for part, scores in plan.required]
    docs = set.intersection(*(set(found) for found, _ in parts))
    docs -= {doc for part in plan.excluded for doc in scores_of(part)}
    adding = [found for found, scores in parts if scores] + [scores_of(p) for p in plan.optional]
    return {doc: sum(found.get(doc, 0.0) for found in adding) for doc in docs}


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32))
def test_programs_match_and_score_as_their_plans_say(seed: int) -> None:
    r = random.Random(seed)
    plan = random_plan(r)
    dead = set(r.sample(range(N_DOCS), k=r.choice([0, 0, 3000])))
    alive = None
    if dead:
        alive = np.packbits(
            [doc not in dead and doc < N_DOCS for doc in range((N_DOCS + 63) // 64 * 64)],
            bitorder="little",
        ).view(np.uint64)
    view: Any = View(FakeReader(N_DOCS), alive, N_DOCS - len(dead))  # type: ignore[arg-type]
    statistics = Statistics((view,))
    expected = {doc: score for doc, score in scores_of(plan).items() if doc not in dead}
    mask, scores = bitset(N_DOCS), np.zeros((N_DOCS + 63) // 64 * 64, np.float32)
    whole = range(1)
    found = Program(plan, scored=True).run(statistics, whole, out_mask=mask, out_scores=scores)
    docs = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()
    assert docs == sorted(expected)
    np.testing.assert_allclose(scores[docs], [expected[doc] for doc in docs], rtol=1e-5)
    assert found.total == len(expected)
    assert Program(plan, scored=False).run(statistics, whole).total == len(expected)

    k = r.choice([1, 10, 5000])
    best = Program(plan, scored=True).run(statistics, whole, k=k).ranked()
    by_score = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose([score for _, _, score in best], by_score, rtol=1e-5)
    ordered = [(-score, doc) for _, doc, score in best]
    assert ordered == sorted(ordered)


def test_equal_scores_rank_in_log_order() -> None:
    leaf = FakeLeaf(np.arange(0, N_DOCS, 3, dtype=np.uint32), LIST, 1.0)
    view: Any = View(FakeReader(N_DOCS), None, N_DOCS)  # type: ignore[arg-type]
    best = Program(leaf, scored=True).run(Statistics((view, view)), range(2), k=5).ranked()
    assert best == [(0, doc, 1.0) for doc in (0, 3, 6, 9, 12)]


def test_the_least_score_leaves_documents_out() -> None:
    leaf = FakeLeaf(np.arange(70, dtype=np.uint32), SCORED_LIST, 1.0)
    view: Any = View(FakeReader(N_DOCS), None, N_DOCS)  # type: ignore[arg-type]
    found = Program(leaf, scored=True).run(Statistics((view,)), range(1), k=100, min_score=7.0)
    assert found.total == 10
    assert set(found.scores.tolist()) == {7.0}


def test_no_views_give_nothing() -> None:
    leaf = FakeLeaf(np.arange(70, dtype=np.uint32), LIST, 1.0)
    assert Program(leaf, scored=True).run(Statistics(()), range(0), k=3).total == 0
