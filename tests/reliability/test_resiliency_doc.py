"""docs/resiliency.md names tests that are there, and every program of the lanes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.reliability.programs import MODULES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "resiliency.md").read_text()
ROWS = [line for line in TEXT.split("## Known failure modes")[1].splitlines() if "`" in line]


@pytest.mark.parametrize("row", ROWS)
def test_each_failure_mode_names_a_test_that_is_there(row: str) -> None:
    held_by = row.strip("| \n").split("|")[-1]
    names = re.findall(r"`([\w/.]+)::(\w+)`", held_by)
    programs = re.findall(r"program `(\w+)`", held_by)
    assert names or programs, "held by nothing"
    for path, name in names:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{path} has no {name}"
    assert set(programs) <= MODULES.keys()


def test_every_program_is_told_of() -> None:
    assert {name for name in MODULES if f"`{name}`" not in TEXT} == set()
