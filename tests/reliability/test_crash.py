"""Crashes of short workloads: what the crash program looks for, and that it finds it."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import pytest

from tests.reliability import crash, mutants_of_crash
from tests.reliability.crash import SCENES, exhaustive, replay, scene, speeded_up
from tests.reliability.crash_disk import CrashDisk
from tests.reliability.explorer import Explorer, OsScene
from tests.reliability.program import Run, Violation
from tests.reliability.shard_life import ShardLife
from tests.reliability.short_workloads import (
    LETTERS,
    answer_at,
    history_of,
    log_of,
    outcomes_of,
)

WORKLOADS = {"log": ("sb", "ssmbcr"), "index": ("nf", "pnfmnr")}


@pytest.mark.parametrize("name", SCENES)
def test_no_crash_and_no_crash_of_a_recovery_breaks_a_promise(name: str) -> None:
    with speeded_up():
        explorer = Explorer(scene(name))
        for letters in WORKLOADS.get(name, ("uf", "dfmuf")):
            explorer.crash(letters)
            n_states = explorer.n_states
            explorer.crash_twice(letters, Random(1), n_states + 60)
            assert explorer.n_states > n_states > 0
    assert explorer.n_lives > 1


@pytest.mark.parametrize("name", ["one_dir_sync", "applied_again", "takeover_not_synced"])
def test_a_violation_is_replayed_by_its_name(name: str) -> None:
    mutant = next(m for m in mutants_of_crash.MUTANTS if m.name == name)
    with mutant.switched():
        with pytest.raises(Violation) as found:
            mutant.search()
        with pytest.raises(Violation) as again:
            replay(found.value.case)
    assert str(again.value) == str(found.value)
    replay(found.value.case)


def test_a_recovery_that_breaks_a_promise_itself_is_replayed() -> None:
    def fails(life: ShardLife) -> None:
        raise AssertionError("broken")

    for case in ("empty.u.0", "empty.u.k5"):
        with (
            patch.object(ShardLife, "go_on", fails),
            pytest.raises(Violation, match="broken") as found,
        ):
            replay(case)
        assert found.value.case == case
    with patch.object(ShardLife, "do", lambda life, letter: fails(life)):
        with pytest.raises(Violation, match="broken") as found:
            replay("empty.u")
        assert found.value.case == "empty.u"


def test_a_crash_of_a_recovery_is_replayed_by_its_name() -> None:
    replay("filled.ufm.3.20")
    replay("filled-spread.ufm.k9.12")


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("empty", "ufuafmdfr"),
        ("empty-spread", "ufufmcurf"),
        ("log", "sbmbbsbcrs"),
        ("index", "npfnfmr"),
    ],
)
def test_the_system_is_asked_for_what_the_disk_in_memory_remembers(name: str, letters: str) -> None:
    in_memory = scene(name)
    below = OsScene("system", in_memory.letters, in_memory.life)
    with speeded_up():
        asked, remembered = below.live(letters)[0].disk, in_memory.live(letters)[0].disk
    assert asked.files == remembered.files
    # To make a folder syncs those above it; in memory each folder is there.
    more = iter(asked.steps)
    assert all(step in more for step in remembered.steps), "in this order"
    is_sync = [step.verb == "sync" for step in asked.steps]
    n_more = len(asked.steps) - len(remembered.steps)
    assert n_more == sum(is_sync) - sum(step.verb == "sync" for step in remembered.steps)
    assert n_more == 0 or name == "index"


def test_a_run_reaches_its_size_and_is_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "exhaustive", lambda letters, longest: [letters[:1], letters[:2]])
    asked = Run(size=400, seed=3)
    tally = crash.run(asked)
    assert 400 <= tally.n_cases < 1000
    assert crash.run(asked) == tally


def test_parts_share_out_the_workloads() -> None:
    disk = CrashDisk()
    assert disk.files == {}
    works = list(exhaustive(LETTERS, 3))
    assert len(works) == len(set(works)) == 7 + 49 + 343
    assert all(set(work) <= set(LETTERS) for work in works)


def test_a_log_is_a_function_of_its_history() -> None:
    history = history_of("ufadcmus")
    assert history == "uadcus"
    log = log_of(history)
    assert log.events[:3] == log_of("uad").events
    assert [event.offset for event in log.events] == list(range(len(log.events)))
    assert len(outcomes_of(history)) == len(log.events)
    assert set(answer_at("uu", 2).documents) == {b"k0", b"k1"}
    assert set(answer_at("uud", 3).documents) == {b"k1"}
    assert answer_at("uuds", 5).documents == answer_at("uud", 3).documents
