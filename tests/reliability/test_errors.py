from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.reliability import errors, errors_engine, errors_log, errors_shard, errors_store
from tests.reliability.faulty_disk import Faults, FaultyDisk
from tests.reliability.program import Run


def test_a_sync_of_the_log_that_failed_is_not_taken_for_done_by_who_opens_it_next() -> None:
    replay_all(errors_log.cases_of("aab"), ".EIO.")


def test_fields_whose_sync_failed_are_saved_again_by_who_opens_the_index_next() -> None:
    replay_all(errors_store.cases_of("sr"), "")


def test_a_reserve_that_could_neither_be_written_nor_removed_is_made_again() -> None:
    replay_all(errors_shard.cases_of("uuadu"), ".after")


def replay_all(cases: Iterable[str], part: str) -> None:
    for case in cases:
        if part in case:
            errors.replay(case)


@pytest.mark.parametrize("case", ["reserve.uuadu.1", "slow.uuaduudu.200", "tide.uuuuaduudu.1"])
def test_what_is_kept_back_is_enough_and_nobody_waits_for_the_disk(case: str) -> None:
    errors.replay(case)


def test_a_small_run_goes_through_every_kind_of_case() -> None:
    tally = errors.run(Run(60, seed=3, part=5, n_parts=25))
    assert tally.n_cases == 60
    assert tally.notes["engine"]


def test_what_a_failed_sync_dropped_no_later_one_brings_back() -> None:
    disk = FaultyDisk(Faults(first=1))
    disk.write_file("a", [b"1"])
    with pytest.raises(Exception, match="EIO"):
        disk.sync()
    disk.write_file("b", [b"2"])
    disk.sync()
    assert disk.durable == {"b": b"2"}


def test_where_files_ran_out_before_a_sync_a_later_one_does_it_all() -> None:
    disk = FaultyDisk(Faults(first=1, error="EMFILE"))
    disk.write_file("a", [b"1"])
    with pytest.raises(Exception, match="EMFILE"):
        disk.sync()
    disk.sync()
    assert disk.durable == {"a": b"1"}


def test_every_operation_meets_every_error_that_it_can() -> None:
    verbs = errors_engine.verbs_of("filled", "uf")
    cases = [*errors_engine.cases_of("filled", "uf")]
    assert {case.split(".")[3] for case in cases} == {str(n) for n in range(len(verbs))}
    assert len(set(cases)) == len(cases) > 2 * len(verbs)


def test_the_workloads_use_every_verb() -> None:
    verbs = {verb for name in errors_engine.SHORT for verb in errors_engine.verbs_of(*name)}
    verbs |= {verb for letters in errors_log.WORKLOADS for verb in errors_log.verbs_of(letters)}
    verbs |= {verb for letters in errors_shard.WORKLOADS for verb in errors_shard.verbs_of(letters)}
    missing = {"write_file", "publish", "delete", "sync", "map", "read", "list"} - verbs
    assert not missing | ({"append", "truncate", "fsync", "open", "append_file"} - verbs)
