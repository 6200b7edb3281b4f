"""Putting plans together: what can be left out is left out, what can be flat is made flat.

None of this changes a score by more than the rounding of a sum. A part that matches nothing is
`NOTHING` itself, so that it is found by identity.
"""

from __future__ import annotations

from collections.abc import Iterable

from index.query.leaves import AllLeaf
from index.query.plan import NOTHING, Best, Constant, Every, Plan, Some
from index.query.statistics import Statistics


def some(parts: Iterable[Plan], at_least: int) -> Plan:
    """Return the plan of at least `at_least` of the parts, those that match nothing dropped."""
    kept = tuple(part for part in parts if part is not NOTHING)
    if not kept or len(kept) < at_least:
        return NOTHING
    if len(kept) == 1:
        return kept[0]
    if at_least == len(kept):
        return every(kept)
    return Some(_flat(kept) if at_least == 1 else kept, at_least)


def _flat(parts: tuple[Plan, ...]) -> tuple[Plan, ...]:
    """Return the parts with those that are alternatives themselves laid open."""
    return tuple(
        inner
        for part in parts
        for inner in (part.parts if isinstance(part, Some) and part.at_least == 1 else (part,))
    )


def every(parts: tuple[Plan, ...]) -> Plan:
    """Return the plan of all the parts, their scores added up."""
    if not parts or any(part is NOTHING for part in parts):
        return NOTHING
    return parts[0] if len(parts) == 1 else Every(tuple((part, True) for part in parts))


def best(parts: Iterable[Plan], tie_breaker: float) -> Plan:
    kept = tuple(part for part in parts if part is not NOTHING)
    if not kept:
        return NOTHING
    return kept[0] if len(kept) == 1 else Best(kept, tie_breaker)


def constant(part: Plan, score: float) -> Plan:
    """Return what the part matches, with one score for all."""
    return NOTHING if part is NOTHING else Constant(unscored(part), score)


def unscored(plan: Plan) -> Plan:
    """Return a plan of the same documents in which nothing is there for scores alone."""
    if isinstance(plan, Constant):
        return unscored(plan.part)
    if isinstance(plan, Best):
        return some(map(unscored, plan.parts), 1)
    if isinstance(plan, Some):
        return some(map(unscored, plan.parts), plan.at_least)
    if isinstance(plan, Every):
        required = tuple((unscored(part), False) for part, _ in plan.required)
        if len(required) == 1 and not plan.excluded:
            return required[0][0]
        return Every(required, plan.excluded)
    return plan


def conjunction(
    statistics: Statistics,
    required: Iterable[tuple[Plan, bool]],
    excluded: Iterable[Plan] = (),
    optional: Iterable[Plan] = (),
) -> Plan:
    """Return the documents of all the required parts (each with whether it scores) and of no
    excluded one; optional ones add to the score."""
    wanted: list[tuple[Plan, bool]] = []
    forbidden: list[Plan] = []
    extra = [part for part in optional if part is not NOTHING]
    for part, scores in required:
        if part is NOTHING:
            return NOTHING
        _require(part, scores, wanted, forbidden, extra)
    for part in excluded:
        _forbid(unscored(part), wanted, forbidden)
    if any(isinstance(part, AllLeaf) for part in forbidden):
        return NOTHING
    if any(part is NOTHING for part, _ in wanted):
        return NOTHING
    limiting = [(part, scores) for part, scores in wanted if not _is_idle(part, scores)]
    if not limiting:
        limiting = wanted[:1] or [(AllLeaf(statistics, 0.0), True)]
    if len(limiting) == 1 and not forbidden and not extra:
        part, scores = limiting[0]
        return part if scores else constant(part, 0.0)
    return Every(tuple(limiting), tuple(forbidden), tuple(extra))


def _require(
    part: Plan,
    scores: bool,
    wanted: list[tuple[Plan, bool]],
    forbidden: list[Plan],
    extra: list[Plan],
) -> None:
    """Add a required part; a conjunction within is laid open, because sums are one sum."""
    if not scores:
        part = unscored(part)
    if isinstance(part, Every):
        wanted += [(inner, own and scores) for inner, own in part.required]
        forbidden += part.excluded
        if scores:
            extra += part.optional
    else:
        wanted.append((part, scores))


def _forbid(part: Plan, wanted: list[tuple[Plan, bool]], forbidden: list[Plan]) -> None:
    """Add an excluded part. Neither of two is not the one and not the other; not without some is
    with some."""
    if part is NOTHING:
        return
    if isinstance(part, Some) and part.at_least == 1:
        forbidden += part.parts
    elif isinstance(part, Every) and all(_is_idle(inner, False) for inner, _ in part.required):
        wanted.append((some(part.excluded, 1), False))
    else:
        forbidden.append(part)


def _is_idle(part: Plan, scores: bool) -> bool:
    """Return whether a required part neither leaves a document out nor adds to a score."""
    return isinstance(part, AllLeaf) and (not scores or part.weight == 0.0)
