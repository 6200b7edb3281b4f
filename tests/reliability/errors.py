"""Errors of the disk at every operation: EIO, ENOSPC and EMFILE, once, after the fact and for good;
disks that are too small by every step of 256 bytes; disks that others fill and empty.

Whatever the disk says, searches are right meanwhile, nothing that was promised is lost, nothing is
half done, nothing is taken for damage; and when the disk is well, all goes on by itself and ends
durable. The fast lane goes through every operation of some short workloads and through some of the
rest, the deep lane through all of them and through workloads chosen by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from random import Random

from tests.reliability import errors_engine, errors_log, errors_shard, errors_store
from tests.reliability.program import Program, Run, Tally

REPLAYS: dict[str, Callable[[str], None]] = {
    "engine": errors_engine.replay,
    "full": errors_engine.replay,
    "shard": errors_shard.replay,
    "tight": errors_shard.replay,
    "tide": errors_shard.replay,
    "reserve": errors_shard.replay,
    "slow": errors_shard.replay,
    "log": errors_log.replay,
    "store": errors_store.replay,
    "logfull": errors_log.replay,
}


def replay(case: str) -> None:
    """Raises: Violation."""
    REPLAYS[case.partition(".")[0]](case)


def every_operation() -> Iterator[str]:
    """Yield every error at every operation of a few short workloads, which use them all."""
    for workload in errors_engine.SHORT:
        yield from errors_engine.cases_of(*workload)
    for letters in errors_log.WORKLOADS[:2]:
        yield from errors_log.cases_of(letters)
    for letters in errors_store.WORKLOADS:
        yield from errors_store.cases_of(letters)


def the_rest() -> Iterator[str]:
    for workload in errors_engine.LONGER:
        yield from errors_engine.cases_of(*workload)
    for workload in errors_engine.SHORT + errors_engine.LONGER:
        yield from errors_engine.sizes_of(*workload)
    for letters in errors_log.WORKLOADS[2:]:
        yield from errors_log.cases_of(letters)
    for letters in errors_log.WORKLOADS:
        yield from errors_log.sizes_of(letters)
    for letters in errors_shard.WORKLOADS:
        yield from errors_shard.cases_of(letters)
        yield from errors_shard.sizes_of(letters)
        yield from (f"slow.{letters}.{delay}" for delay in errors_shard.DELAYS_MS)


def by_chance(chosen: Random) -> Iterator[str]:
    """Yield cases of workloads that nobody thought of, without end."""
    while True:
        name, letters = errors_engine.random_workload(chosen)
        cases = [*errors_engine.cases_of(name, letters), *errors_engine.sizes_of(name, letters)]
        yield from chosen.sample(cases, len(cases) // 2)
        yield f"tide.{errors_shard.random_letters(chosen)}.{chosen.randrange(1 << 30)}"


def run(asked: Run) -> Tally:
    chosen = Random(asked.seed)
    rest = [*the_rest()]
    if not asked.is_deep:
        chosen.shuffle(rest)
    cases = chain(every_operation(), rest, by_chance(chosen))
    tally = Tally()
    for case in islice(cases, asked.part, asked.size * asked.n_parts, asked.n_parts):
        replay(case)
        tally.n_cases += 1
        tally.note(case.partition(".")[0])
    return tally


PROGRAM = Program(
    name="errors", counts="injected I/O errors", fast=1_500, deep=10_000, run=run, replay=replay
)
