from __future__ import annotations

import pytest

from tests.reliability import errors, errors_engine, errors_log, errors_shard
from tests.reliability.faulty_disk import Faults, FaultyDisk
from tests.reliability.program import Run


@pytest.mark.parametrize(
    "case",
    [
        # A second sync of the log's file would have said that all is well; after a power loss
        # what was acknowledged later could not be read.
        "log.aab.8.EIO.once",
        # An empty file of the log whose name could not be made durable, nor removed.
        "log.aab.5.EIO.sticky",
        # The reserve could be neither written nor removed, and was never made again.
        "shard.uuadu.8.EIO.after",
        # Files ran out behind the publish of an edit.
        "engine.filled.uf.22.EMFILE.once",
        "reserve.uuadu.1",
    ],
)
def test_what_was_once_broken_holds(case: str) -> None:
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
    verbs = {verb for name in errors_engine.WORKLOADS for verb in errors_engine.verbs_of(*name)}
    verbs |= {verb for letters in errors_log.WORKLOADS for verb in errors_log.verbs_of(letters)}
    verbs |= {verb for letters in errors_shard.WORKLOADS for verb in errors_shard.verbs_of(letters)}
    missing = {"write_file", "publish", "delete", "sync", "map", "read", "list"} - verbs
    assert not missing | ({"append", "truncate", "fsync", "open", "append_file"} - verbs)
