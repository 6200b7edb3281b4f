"""Kills of real processes: what was acknowledged is there afterwards, once, and the newest of it.

Three `tailrace serve` of one consumer group, a producer with a journal of what the broker has
acknowledged, and clients over HTTP, while servers and brokers are killed, held, drained and
started again. After each round all must be quiet again, and everything is compared.

A case is `LANE.SEED.KILLS.ROUND`: the schedule up to a round. It does the same things again to
the same processes; what they are in the middle of then is not in its power, so a replay may need
some tries.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

from tests.reliability.kills_act import Act
from tests.reliability.kills_brokers import ApacheBroker, running_apache, running_fake
from tests.reliability.kills_faults import Fault, plan_rounds
from tests.reliability.kills_launch import launch_fork, launch_new
from tests.reliability.program import Program, Run, Tally

KILLS_PER_ACT = 25
N_PARTITIONS = 5


def run(run: Run) -> Tally:
    tally = Tally()
    if not run.is_deep:
        play(f"fast.{run.seed}.{run.size}", plan_rounds(run.seed, run.size, is_deep=False), tally)
        return tally
    n_acts = -(-run.size // KILLS_PER_ACT)
    for number in range(n_acts):
        seed = (run.seed << 16) + (run.part << 8) + number
        n_kills = min(KILLS_PER_ACT, run.size - number * KILLS_PER_ACT)
        play(f"deep.{seed}.{n_kills}", plan_rounds(seed, n_kills, is_deep=True), tally)
    return tally


def replay(case: str) -> None:
    lane, seed, n_kills, number = case.split(".")
    rounds = plan_rounds(int(seed), int(n_kills), is_deep=lane == "deep")
    play(case.rpartition(".")[0], rounds[: int(number) + 1], Tally())


def play(name: str, rounds: list[list[Fault]], tally: Tally) -> None:
    """Run an act from its beginning. Raises: Violation."""
    lane, seed = name.split(".")[:2]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients see all of it
    with tempfile.TemporaryDirectory(prefix="tailrace-kills-") as folder:
        if lane == "fast":
            with running_fake() as fake:
                act = Act(name, Path(folder), fake, launch_fork, tally, int(seed))
                asyncio.run(act.run(rounds))
        else:
            with running_apache(Path(folder) / "kafka") as node:
                apache = ApacheBroker(node, N_PARTITIONS)
                act = Act(name, Path(folder), apache, launch_new, tally, int(seed))
                asyncio.run(act.run(rounds))
    tally.notes |= act.tell()


PROGRAM = Program(
    name="kills",
    counts="kills of processes",
    fast=10,
    deep=100,
    run=run,
    replay=replay,
    deep_parts=1,
)
"""The deep lane needs Apache Kafka, and says so where it is not there."""
