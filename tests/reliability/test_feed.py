from __future__ import annotations

import pytest

from tests.reliability.feed import PROGRAM, SCENARIOS, Case
from tests.reliability.feed_poison import POISON, Letter
from tests.reliability.mutant import Mutant
from tests.reliability.mutants_of_feed import MUTANTS
from tests.reliability.program import Run, Violation


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_feed_keeps_its_promises_in(scenario: str) -> None:
    Case("tests.200", scenario).run()


def test_a_run_counts_its_records_and_derives_from_its_seed() -> None:
    tallies = [PROGRAM.run(Run(size=200, seed=3)) for _ in range(2)]
    assert tallies[0] == tallies[1]
    assert tallies[0].n_cases >= 200


def test_parts_do_other_cases() -> None:
    halves = [PROGRAM.run(Run(1, seed=3, part=part, n_parts=2)) for part in range(2)]
    assert halves[0] != halves[1]


def test_kinds_of_poison_have_names_of_their_own() -> None:
    assert len({poison.name for poison in POISON}) == len(POISON) >= 40
    assert sum(isinstance(poison.becomes, Letter) for poison in POISON) >= 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_wrong_feed_is_found_out(mutant: Mutant) -> None:
    mutant.search()
    with mutant.switched(), pytest.raises(Violation):
        mutant.search()
