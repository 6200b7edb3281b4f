"""The program that demands that every mutant is found out."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from tests.reliability import mutants
from tests.reliability.mutant import Mutant
from tests.reliability.program import Run, Violation

is_wrong = False


def search() -> None:
    if is_wrong:
        raise Violation("case", "wrong")


def passes() -> None:
    pass


def test_there_are_mutants_and_each_has_a_name() -> None:
    found = mutants.all_mutants()
    assert len(found) >= mutants.PROGRAM.fast
    assert all(mutant.name.isidentifier() and mutant.wrong for mutant in found.values())


def test_a_survivor_is_a_violation_that_names_it() -> None:
    with pytest.raises(Violation, match="survivor: not found out: harmless"):
        mutants.kill("survivor", Mutant("survivor", "harmless", nullcontext, passes))


def test_a_search_must_pass_while_its_mutant_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mutants, "all_mutants", lambda: {"m": Mutant("m", "w", nullcontext, search)}
    )
    monkeypatch.setattr("tests.reliability.test_mutants.is_wrong", True)
    with pytest.raises(Violation, match="case: wrong"):
        mutants.run(Run(size=1, seed=1))


def test_one_mutant_is_replayed_by_its_name() -> None:
    mutants.replay("crash.no_final_sync")
