"""The model's histories: replayed by name, shrunk, and able to find planted bugs."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from index import engine
from tests.reliability import model
from tests.reliability.model import N_CONFIGURATIONS, Name, history_of, run_named
from tests.reliability.model_machine import OWN
from tests.reliability.model_steps import LOGICAL, PHYSICAL
from tests.reliability.mutant import Mutant
from tests.reliability.mutants_of_model import MUTANTS, no_carry_over
from tests.reliability.program import Run, Violation


def test_a_history_answers_the_same_on_every_configuration() -> None:
    tally = model.run(Run(size=N_CONFIGURATIONS * 30, seed=77))
    assert tally.n_cases == N_CONFIGURATIONS * 30
    assert tally.notes == {"runs": N_CONFIGURATIONS, "histories": 1}


def test_there_are_many_kinds_of_steps() -> None:
    assert PHYSICAL.keys() == OWN.keys()
    assert len(LOGICAL) + len(PHYSICAL) >= 60


def test_names_are_read_as_they_are_written() -> None:
    for name in (Name(7, 30, 2), Name(7, 30, 2, (0, 4, 11))):
        assert Name.parse(str(name)) == name


def test_a_run_is_the_same_whenever_it_is_made() -> None:
    assert history_of(5, 30) == history_of(5, 30)
    name = Name(5, 30, 3)
    assert model.configured(name, history_of(5, 30)) == model.configured(name, history_of(5, 30))


def test_a_violation_is_shrunk_to_few_steps_and_replayed() -> None:
    with patch.object(engine, "carry_over", no_carry_over):
        with pytest.raises(Violation) as found:
            model.run(Run(size=24_000, seed=1))
        shrunk = Name.parse(found.value.case)
        assert shrunk.kept is not None
        assert len(shrunk.kept) <= 12
        with pytest.raises(Violation):
            model.replay(found.value.case)
    model.replay(found.value.case)
    run_named(shrunk._replace(kept=None), history_of(shrunk.seed, shrunk.n_steps))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_found_out(mutant: Mutant) -> None:
    mutant.search()
    with mutant.switched(), pytest.raises(Violation):
        mutant.search()
