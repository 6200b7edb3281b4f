"""What a search costs, part by part.

A search is one run of a kernel in which the parts of a plan take turns of a few hundred
nanoseconds, too short for a clock. So each part is run again alone, over all its documents:
what it would cost without the others. The parts of a conjunction cost less than that within
it, because they are asked only about what the cheapest of them has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from index.query import plan as plans
from index.query.describe import describe_plan
from index.query.filters import KeptLeaf
from index.query.leaves import AllLeaf, DocsLeaf, KeysLeaf, KeywordRangeLeaf, RangeLeaf, TermLeaf
from index.query.phrase import PhraseLeaf
from index.query.plan import NOTHING, Best, Constant, Every, Plan, Some
from index.query.program import Program
from index.query.rewrite import Notes
from index.query.statistics import Statistics
from index.query.stop import Stop
from index.schema import Schema

Clock: TypeAlias = Callable[[], int]
"""Nanoseconds from any beginning."""

_KINDS: dict[type[object], str] = {
    Every: "BooleanQuery",
    Some: "BooleanQuery",
    Best: "DisjunctionMaxQuery",
    Constant: "ConstantScoreQuery",
    TermLeaf: "TermQuery",
    PhraseLeaf: "PhraseQuery",
    RangeLeaf: "PointRangeQuery",
    KeywordRangeLeaf: "TermRangeQuery",
    AllLeaf: "MatchAllDocsQuery",
    KeysLeaf: "TermInSetQuery",
    DocsLeaf: "TermInSetQuery",
    KeptLeaf: "CachedQuery",
}


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    """As Lucene calls such a query."""
    description: str
    n_estimated: int
    """Documents it was thought to look at: what decides about the order of parts."""
    n_found: int
    """Live documents it has, alone."""
    time_ns: int
    children: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    asked: str
    """The query as it was understood."""
    rewritten: str
    """What is left of it for these documents."""
    rewrite_ns: int
    part: Part


def profile_plan(
    plan: Plan, schema: Schema, notes: Notes, statistics: Statistics, clock: Clock, stop: Stop
) -> Part:
    """Run a plan and each of its parts. Once `stop` is set, what is left costs 0."""
    began = clock()
    n_found = 0
    if plan is not NOTHING and not stop[0]:
        program = Program(plan, scored=True)
        n_found = program.run(statistics, range(len(statistics.views)), k=1, stop=stop).total
    time_ns = clock() - began
    return Part(
        "MatchNoDocsQuery" if plan is NOTHING else _KINDS.get(type(plan), "MultiTermQuery"),
        describe_plan(plan, schema, notes),
        plans.cost(plan),
        n_found,
        time_ns,
        tuple(profile_plan(part, schema, notes, statistics, clock, stop) for part in _parts(plan)),
    )


def _parts(plan: Plan) -> tuple[Plan, ...]:
    if isinstance(plan, Every):
        return (*(part for part, _ in plan.required), *plan.optional, *plan.excluded)
    if isinstance(plan, Some | Best):
        return plan.parts
    return (plan.part,) if isinstance(plan, Constant) else ()
