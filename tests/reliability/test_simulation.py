from __future__ import annotations

import os
import subprocess
import sys

import pytest
from aiokafka import TopicPartition

from tests.reliability.fake_log import Entry, FakePartition
from tests.reliability.mutant import Mutant
from tests.reliability.mutants_of_simulation import MUTANTS
from tests.reliability.program import Violation
from tests.reliability.sim_faults import Faults
from tests.reliability.sim_node import TOPIC
from tests.reliability.sim_oracle import Fold, LogFolds
from tests.reliability.simulation import simulate


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_seed_replays_step_by_step(seed: int) -> None:
    first = simulate(seed)
    assert simulate(seed).trace_hash == first.trace_hash
    assert len(first.lines) > 50
    assert first.n_faults >= 50


def test_a_seed_is_the_same_in_every_process() -> None:
    """Strings hash otherwise in each process; what is seen must not depend on it."""
    script = "from tests.reliability.simulation import simulate; print(simulate(5).trace_hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_seeds_differ() -> None:
    assert simulate(1).trace_hash != simulate(2).trace_hash


def test_a_shard_that_lost_a_document_is_found_out() -> None:
    """The checks themselves: a log that says something else than what was applied."""

    def rewrite(faults: Faults) -> str | None:
        partition = faults.world.topic.partitions[0]
        applied = [e for e in partition.history if e.key == b"k3" and not e.headers]
        if len(applied) < 2:
            return None
        partition.history.remove(applied[-1])
        return "history is another"

    with pytest.raises(Violation, match="differs from its log"):
        simulate(1, {rewrite: 1, Faults.rebalance: 1})


@pytest.mark.parametrize("mutant", MUTANTS[:2], ids=lambda mutant: mutant.name)
def test_wrong_versions_are_found_out(mutant: Mutant) -> None:
    with mutant.switched(), pytest.raises(Violation):
        mutant.search()


def new_partition(*values: bytes | None) -> FakePartition:
    partition = FakePartition(TopicPartition(TOPIC, 0))
    for value in values:
        partition.append(b"k", value)
    return partition


def test_a_fold_may_be_asked_for_at_any_offset() -> None:
    partition = new_partition(*[b'{"n":%d}' % n for n in range(100)])
    folds = LogFolds()
    for offset in (100, 50, 7, 99, 0, 100):
        documents = folds.at(partition.history, offset).documents
        assert documents == ({b"k": (offset - 1, {"n": offset - 1})} if offset else {})


def test_deletes_and_broken_records_fold_as_the_index_has_them() -> None:
    partition = new_partition(b'{"n":1}', b"{", None, b'{"n":"x"}')
    fold = Fold()
    fold.advance(partition.history, 4)
    assert fold.documents == {}
    assert fold.refused == [1, 3]


def test_a_cut_log_keeps_what_it_was() -> None:
    partition = new_partition(b"1", b"2", b"3")
    before: list[Entry] = list(partition.history)
    partition.truncate(1)
    assert partition.past == [before]
    assert (partition.start, partition.end, len(partition.entries)) == (0, 1, 1)
