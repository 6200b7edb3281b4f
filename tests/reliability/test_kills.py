"""The kills program: that it does what its name says, and that it would notice."""

from __future__ import annotations

import functools
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from index.directory import FsDirectory
from index.manifest import Manifest
from index.ownership import take_over, write_manifest
from tests.face.process import ROOT, environment
from tests.reliability import kills
from tests.reliability.kills_checks import check_hints, possible_numbers
from tests.reliability.kills_faults import BESIDE_DEEP, N_KILLED, plan_rounds
from tests.reliability.kills_journal import Journal, Write, read_journal
from tests.reliability.kills_points import ORDER_VARIABLE, POINTS
from tests.reliability.kills_topic import EVENTS, Topic


@pytest.mark.parametrize(("n_kills", "is_deep"), [(10, False), (25, True), (1, False)])
def test_a_schedule_kills_as_often_as_it_should_and_is_its_seed_s_alone(
    n_kills: int, is_deep: bool
) -> None:
    for seed in range(50):
        rounds = plan_rounds(seed, n_kills, is_deep=is_deep)
        faults = [fault for each in rounds for fault in each]
        assert sum(fault.n_kills for fault in faults) == n_kills
        assert sum(fault.kind == "kill_broker" for fault in faults) == (2 if is_deep else 0)
        assert rounds == plan_rounds(seed, n_kills, is_deep=is_deep)
        assert {fault.kind for fault in faults} <= {*N_KILLED, *BESIDE_DEEP}


@pytest.mark.parametrize("name", POINTS)
def test_each_named_place_is_a_function_of_the_product(name: str) -> None:
    module, path = POINTS[name]
    assert callable(functools.reduce(getattr, path.split("."), import_module(module)))


@pytest.mark.parametrize(("when", "n_written"), [("before", 1), ("after", 2)])
def test_a_process_ends_at_the_named_place(tmp_path: Path, when: str, n_written: int) -> None:
    order = tmp_path / "order"
    order.write_text(f"write_file {when} 2")
    program = (
        "from index.directory import FsDirectory\n"
        "for number in range(3):\n"
        f"    FsDirectory({str(tmp_path / 'files')!r}).write_file(str(number), (b'x',))\n"
    )
    python_path = f"{Path(__file__).parent / 'preload'}:{ROOT}"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(PYTHONPATH=python_path, **{ORDER_VARIABLE: str(order)}),
    )
    assert ended.returncode == -9
    assert len(FsDirectory(tmp_path / "files").list()) == n_written


def test_a_key_may_be_at_what_was_acknowledged_last_or_at_what_was_not_answered_since() -> None:
    def write(number: int | None, *, answered: bool) -> Write:
        return Write(EVENTS, "k", number, answered)

    assert possible_numbers([]) == {None}
    assert possible_numbers([write(1, answered=True), write(2, answered=True)]) == {2}
    assert possible_numbers([write(1, answered=True), write(None, answered=False)]) == {1, None}
    assert possible_numbers([write(1, answered=False), write(2, answered=True)]) == {2}


def test_an_acknowledged_write_that_is_not_in_the_topic_is_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.note([Write(EVENTS, "k", 7, True, 0, 3), Write(EVENTS, "h", 1, True)])
    journal.close()
    topic = Topic("nowhere:1")
    topic._take(0, 3, b"k", b'{"n": 7}')
    topic._take(0, 4, b"h", b'{"n": 1}')
    assert topic.check_acknowledged(read_journal(tmp_path / "journal")) == 2
    for lost in (Write(EVENTS, "k", 7, True, 0, 2), Write(EVENTS, "h", 2, True)):
        with pytest.raises(AssertionError):
            topic.check_acknowledged([lost])


def test_a_hint_ahead_of_every_manifest_is_noticed(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path / "indexes" / EVENTS / "shards" / "3")
    before = take_over(directory)
    write_manifest(directory, Manifest(before.generation + 1, epoch=before.epoch, next_offset=10))
    check_hints({3: 10}, [tmp_path])
    with pytest.raises(AssertionError):
        check_hints({3: 11}, [tmp_path])


def test_a_server_that_was_held_while_another_took_its_directory_ends_and_harms_nothing() -> None:
    kills.replay("zombie.fake.publish-before")


def test_a_wrong_version_is_found_out() -> None:
    kills.replay("mutant.answered_early")
