"""Mutants of the product: each must be found out by the search that names it.

A mutant is a known wrong version: a promise that nothing guards any more. A search that passes
while its mutant is on proves nothing while it is off.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

import tests.reliability
from tests.reliability.mutant import Mutant
from tests.reliability.program import Program, Run, Tally, Violation
from tests.reliability.programs import MODULES


def all_mutants() -> list[Mutant]:
    """Return those of the programs, and of the modules beside them, by name."""
    beside = {
        module.name
        for module in pkgutil.iter_modules(tests.reliability.__path__)
        if "mutants" in module.name and not module.name.startswith("test_")
    }
    found: list[Mutant] = []
    for name in sorted({*MODULES.values(), *beside} - {"mutants"}):
        listed = getattr(import_module(f"tests.reliability.{name}"), "MUTANTS", [])
        # Those of real processes take minutes: their own program runs them.
        found += listed if isinstance(listed, list) else []
    names = [mutant.name for mutant in found]
    assert len(set(names)) == len(names), "two mutants have one name"
    return sorted(found, key=lambda mutant: mutant.name)


def run(asked: Run) -> Tally:
    tally = Tally()
    sound: set[Callable[[], None]] = set()
    mutants = [
        mutant
        for number, mutant in enumerate(all_mutants())
        if number % asked.n_parts == asked.part
    ]
    for mutant in mutants:
        if mutant.search not in sound:
            mutant.search()
            sound.add(mutant.search)
        kill(mutant)
        tally.n_cases += 1
    return tally


def kill(mutant: Mutant) -> None:
    """Demand that the search finds the mutant out. Raises: Violation."""
    try:
        with mutant.switched():
            mutant.search()
    except Violation:
        return
    raise Violation(mutant.name, f"not found out: {mutant.wrong}")


def replay(case: str) -> None:
    (mutant,) = (mutant for mutant in all_mutants() if mutant.name == case)
    mutant.search()
    kill(mutant)


PROGRAM = Program(
    name="mutants",
    counts="wrong versions of the product",
    fast=86,
    deep=86,
    run=run,
    replay=replay,
)
