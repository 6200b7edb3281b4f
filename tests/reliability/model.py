"""Histories of an index on the real engine and searcher, compared with a naive oracle.

A history is run on eight random configurations, which must all answer as the oracle does. A case
is one step of one configuration; a run is named `SEED.STEPS.CONFIGURATION`, and a run in which
only some of the steps are left `SEED.STEPS.CONFIGURATION:3,8,21`, as the shrinker prints it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from tests.reliability.model_machine import OWN, Machine
from tests.reliability.model_oracle import Expectation, Expected
from tests.reliability.model_steps import (
    Configuration,
    RandomSteps,
    Step,
    Woven,
    random_configuration,
    weave,
)
from tests.reliability.program import Program, Run, Tally, Violation

N_CONFIGURATIONS = 8
STEPS = {False: 30, True: 50}
"""Of a run, by whether the lane is deep."""
MAX_SHRINKS = 400


class Name(NamedTuple):
    seed: int
    n_steps: int
    number: int
    kept: tuple[int, ...] | None = None
    """The steps that are left; None: all."""

    def __str__(self) -> str:
        kept = "" if self.kept is None else ":" + ",".join(map(str, self.kept))
        return f"{self.seed}.{self.n_steps}.{self.number}{kept}"

    @classmethod
    def parse(cls, text: str) -> Name:
        numbers, _, kept = text.partition(":")
        seed, n_steps, number = map(int, numbers.split("."))
        return cls(seed, n_steps, number, tuple(map(int, kept.split(","))) if kept else None)


def history_of(seed: int, n_steps: int) -> list[Step]:
    return RandomSteps(random.Random(f"history {seed}")).history(2 * n_steps // 3)


def configured(name: Name, history: list[Step]) -> tuple[Configuration, list[Woven]]:
    """Return a configuration of a history, with the steps that are left."""
    r = random.Random(f"configuration {name.seed} {name.number}")
    chosen = random_configuration(r)
    steps = weave(history, chosen, name.n_steps, r)
    return chosen, steps if name.kept is None else [steps[at] for at in name.kept]


def expected_of(steps: list[Step]) -> list[Expected]:
    """Return what the oracle says of a history."""
    expectation = Expectation()
    return [expectation.of(step) for step in steps]


def run_steps(chosen: Configuration, steps: list[Woven], expected: Iterator[Expected]) -> None:
    """Raises: whatever a wrong engine raises, AssertionError where it answers wrongly."""
    machine = Machine(chosen, expected)
    for number, woven in enumerate(steps):
        try:
            machine.do(woven)
        except Exception as error:
            error.add_note(f"step {number}, {woven.step.kind}")
            raise
    machine.end()


def run_named(name: Name, history: list[Step], expected: list[Expected] | None = None) -> None:
    """Raises: Violation."""
    chosen, steps = configured(name, history)
    if expected is None:
        expected = expected_of([woven.step for woven in steps if woven.step.kind not in OWN])
    try:
        run_steps(chosen, steps, iter(expected))
    except Exception as error:
        notes = ", ".join(getattr(error, "__notes__", ["at the end"]))
        raise Violation(str(name), f"{notes}: {type(error).__name__}: {error}") from error


def replay(case: str) -> None:
    """Raises: Violation."""
    name = Name.parse(case)
    run_named(name, history_of(name.seed, name.n_steps))


def shrink(violation: Violation) -> Violation:
    """Return a violation with as few steps as can be found by leaving some out."""
    least = violation
    name = Name.parse(violation.case)
    kept = list(range(name.n_steps)) if name.kept is None else list(name.kept)
    history = history_of(name.seed, name.n_steps)
    size, n_tries = max(len(kept) // 2, 1), 0
    while n_tries < MAX_SHRINKS:
        first = 0
        is_smaller = False
        while first < len(kept) and n_tries < MAX_SHRINKS:
            fewer = kept[:first] + kept[first + size :]
            n_tries += 1
            try:
                if fewer:
                    run_named(name._replace(kept=tuple(fewer)), history)
                first += size
            except Violation as smaller:
                least, kept, is_smaller = smaller, fewer, True
        if size == 1 and not is_smaller:
            break
        size = max(size // 2, 1)
    return least


def run(asked: Run) -> Tally:
    tally = Tally()
    n_steps = STEPS[asked.is_deep]
    number = asked.part
    while tally.n_cases < asked.size:
        seed = asked.seed * 1_000_000 + number
        number += asked.n_parts
        history = history_of(seed, n_steps)
        expected = expected_of(history)
        for configuration in range(N_CONFIGURATIONS):
            if tally.n_cases >= asked.size:
                break
            try:
                run_named(Name(seed, n_steps, configuration), history, expected)
            except Violation as violation:
                raise shrink(violation) from violation
            tally.n_cases += n_steps
            tally.note("runs")
        tally.note("histories")
    return tally


PROGRAM = Program(
    name="model",
    counts="steps",
    fast=400 * STEPS[False],
    deep=8_000 * STEPS[True],
    run=run,
    replay=replay,
)
