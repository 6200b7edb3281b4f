"""The runner tells violations, lost children and figures that were not reached."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.reliability import run as lanes
from tests.reliability.program import Program, Run, Tally, Violation


def program(search: Callable[[Run], Tally], **given: object) -> Program:
    return Program("some", "cases", fast=3, deep=5, run=search, replay=lambda case: None, **given)  # type: ignore[arg-type]


def counting(run: Run) -> Tally:
    return Tally(run.size, {"parts": 1})


def breaking(run: Run) -> Tally:
    raise Violation("17:3", "a document is lost")


def short(run: Run) -> Tally:
    return Tally(run.size - 1)


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a lane of one program, its parts in this process."""

    def run(given: Program, name: str = "fast") -> int:
        monkeypatch.setattr(lanes, "load", lambda _: given)
        monkeypatch.setattr(
            lanes, "start_child", lambda lane, name, run: lanes.run_child(name, run)
        )
        return lanes.run_lane(name, ["some"], 1)

    return run


def test_a_lane_without_violations_ends_with_0(
    lane: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lane(program(counting)) == 0
    assert "3 of 3 cases, none broken" in capsys.readouterr().out


def test_parts_share_the_figure(
    lane: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lane(program(counting), "deep") == 0
    assert "5 of 5 cases, none broken, 0 s (parts 2)" in capsys.readouterr().out


def test_a_violation_tells_its_seed_and_how_to_replay_it(
    lane: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert lane(program(breaking)) == 1
    told = capsys.readouterr().out
    assert "a document is lost" in told
    assert "seed 1, case 17:3" in told
    assert 'make rel-replay ARGS="some 17:3"' in told


def test_a_figure_that_is_not_reached_fails_the_lane(lane: Callable[..., int]) -> None:
    assert lane(program(short)) == 1


def test_what_cannot_run_here_is_told_and_fails_where_all_is_required(
    lane: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAILRACE_TEST_REQUIRE", raising=False)
    assert lane(program(breaking, needs=lambda: "no broker here")) == 0
    assert "skipped: no broker here" in capsys.readouterr().out
    monkeypatch.setenv("TAILRACE_TEST_REQUIRE", "all")
    assert lane(program(breaking, needs=lambda: "no broker here")) == 1


def test_a_child_that_dies_is_a_failure() -> None:
    told = lanes.start_child("fast", "no such program", Run(1, 1))
    assert "ended with 1" in told["failure"]
    assert "KeyError" in told["failure"]


def test_an_unknown_lane_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "tests.reliability.run", "slow"]
    assert subprocess.run(command, capture_output=True).returncode == 2
