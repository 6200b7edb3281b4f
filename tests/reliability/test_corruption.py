from __future__ import annotations

import numpy as np
import pytest

from tests.reliability import corruption, forgery
from tests.reliability.corruption_world import sound_files
from tests.reliability.guarded import guarded
from tests.reliability.mutant import Mutant
from tests.reliability.mutants import kill
from tests.reliability.mutants_of_corruption import MUTANTS
from tests.reliability.program import Run, Tally


def test_the_world_is_as_large_as_the_figure_says() -> None:
    assert corruption.N_FAST - corruption.N_OPENS <= sum(map(len, sound_files().values())) <= 70_000


def test_a_sample_of_all_damages_is_found_or_harmless() -> None:
    tally = corruption.run(Run(300, seed=5))
    assert tally.n_cases == 300
    assert set(tally.notes) <= {"found", "harmless", "opens refused", "opens answered"}


@pytest.mark.parametrize("case", ["cut:index.json:30", "junk:log/0/closed:3", "forge:7"])
def test_a_case_can_be_replayed(case: str) -> None:
    corruption.replay(case)


def test_swapped_files_are_found() -> None:
    for case in corruption.swaps():
        corruption.replay(case)


def test_forgeries_stay_within_their_bytes() -> None:
    tally = Tally()
    forgery.run_chunk(range(5_000, 5_060), tally)
    assert tally.notes["forgeries"] == 60


def test_guarded_bytes_are_themselves() -> None:
    for n_bytes in (1, 4095, 4096, 4097, 10_000):
        data = bytes(np.arange(n_bytes, dtype=np.uint8))
        assert guarded(data).tobytes() == data


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_check_that_is_missing_is_found_out(mutant: Mutant) -> None:
    kill(mutant.name, mutant)
