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


def all_mutants() -> dict[str, Mutant]:
    """Return those of the programs, and of the modules beside them: `feed.gap_unseen`."""
    beside = {
        module.name
        for module in pkgutil.iter_modules(tests.reliability.__path__)
        if "mutants" in module.name and not module.name.startswith("test_")
    }
    found: dict[str, Mutant] = {}
    for name in sorted({*MODULES.values(), *beside} - {"mutants"}):
        module = import_module(f"tests.reliability.{name}")
        listed = getattr(module, "MUTANTS", [])
        if isinstance(listed, list):  # those of real processes are run by their own program
            found |= {f"{name.removeprefix('mutants_of_')}.{each.name}": each for each in listed}
    return found


def run(asked: Run) -> Tally:
    tally = Tally()
    sound: set[Callable[[], None]] = set()
    for number, (case, mutant) in enumerate(all_mutants().items()):
        if number % asked.n_parts != asked.part:
            continue
        if mutant.search not in sound:
            mutant.search()
            sound.add(mutant.search)
        kill(case, mutant)
        tally.n_cases += 1
    return tally


def kill(case: str, mutant: Mutant) -> None:
    """Demand that the search finds the mutant out. Raises: Violation."""
    try:
        with mutant.switched():
            mutant.search()
    except Violation:
        return
    raise Violation(case, f"not found out: {mutant.wrong}")


def replay(case: str) -> None:
    mutant = all_mutants()[case]
    mutant.search()
    kill(case, mutant)


PROGRAM = Program(
    name="mutants",
    counts="wrong versions of the product",
    fast=98,
    deep=98,
    run=run,
    replay=replay,
)
