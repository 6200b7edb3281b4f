"""Kills of real processes: what was acknowledged is there afterwards, once, and the newest of it.

An act: three `tailrace serve` of one consumer group, a producer with a journal of what the broker
has acknowledged, and clients over HTTP, while servers and brokers are killed, held, drained and
started again. After each round all must be quiet again, and everything is compared. Beside the
acts: servers that lose their directory while they are held (kills_zombie.py), and wrong versions
of the product that must be found out (kills_mutants.py).

A case is `LANE.SEED.KILLS.ROUND`: the schedule up to a round. It does the same things again to
the same processes; what they are in the middle of then is not in its power, so a replay may need
some tries. `zombie.BROKER.PLACE` and `mutant.NAME` are the others.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.node import missing
from tests.reliability.kills_act import Act
from tests.reliability.kills_brokers import ApacheBroker, Broker, running_apache, running_fake
from tests.reliability.kills_faults import Fault, plan_rounds
from tests.reliability.kills_launch import LaunchMixed, launch_fork
from tests.reliability.kills_mutants import MUTANTS
from tests.reliability.kills_points import MUTANT_VARIABLE
from tests.reliability.kills_zombie import PLACES, play_zombie
from tests.reliability.program import Program, Run, Tally, Violation

KILLS_PER_ACT = 25
N_PARTITIONS = 5
BESIDE = 3
"""Zombies and mutants that are played at a time."""
MUTANT_QUIET_S = 15.0
MUTANT_ROUNDS = [[Fault("kill_all", member=0, delay_s=2.0, lasts_s=0.0)]]


def run(run: Run) -> Tally:
    tally = Tally()
    if not run.is_deep:
        play_act(f"fast.{run.seed}.{run.size}", plan_rounds(run.seed, run.size), tally)
        return tally
    lane = "deep" if missing() is None else "fast"
    if lane == "fast":
        tally.notes["Apache Kafka"] = missing() or ""
    for number, n_done in enumerate(range(0, run.size, KILLS_PER_ACT)):
        seed = (run.seed << 16) + (run.part << 8) + number
        name = f"{lane}.{seed}.{min(KILLS_PER_ACT, run.size - n_done)}"
        play_act(name, rounds_of(name), tally)
    zombies = [f"zombie.fake.{place.replace(' ', '-')}" for place in PLACES]
    zombies += ["zombie.apache.anywhere"] if lane == "deep" else []
    mutants = [f"mutant.{name}" for name in MUTANTS]
    with ThreadPoolExecutor(BESIDE) as beside:  # they wait most of their time
        for _ in beside.map(replay, [*zombies, *mutants]):
            pass
    tally.notes |= {"zombies fenced": len(zombies), "mutants found out": len(mutants)}
    return tally


def replay(case: str) -> None:
    kind, rest = case.split(".", 1)
    if kind == "zombie":
        play_zombie_of(case)
    elif kind == "mutant":
        find_out(rest)
    else:
        name, number = case.rsplit(".", 1)
        play_act(name, rounds_of(name)[: int(number) + 1], Tally())


def rounds_of(name: str) -> list[list[Fault]]:
    lane, seed, n_kills = name.split(".")
    return plan_rounds(int(seed), int(n_kills), is_deep=lane == "deep")


def play_act(name: str, rounds: list[list[Fault]], tally: Tally) -> None:
    """Run an act from its beginning. Raises: Violation."""
    lane, seed, _ = name.split(".")
    with scene(is_apache=lane == "deep") as (broker, folder):
        launch = LaunchMixed() if lane == "deep" else launch_fork
        act = Act(name, folder, broker, launch, tally, int(seed))
        asyncio.run(act.run(rounds))
    tally.notes |= act.tell()


def play_zombie_of(case: str) -> None:
    """Raises: Violation."""
    _, broker_name, place = case.split(".")
    where = "" if place == "anywhere" else place.replace("-", " ")
    with scene(is_apache=broker_name == "apache") as (broker, folder):
        asyncio.run(play_zombie(case, folder, broker, launch_fork, where))


def find_out(name: str) -> None:
    """Demand that a wrong version is found out. Raises: Violation."""
    with scene(is_apache=False) as (broker, folder):
        broker.variables[MUTANT_VARIABLE] = name
        try:
            if name == "never_fenced":
                asyncio.run(play_zombie("", folder, broker, launch_fork))
            else:
                act = Act(name, folder, broker, launch_fork, Tally(), 1, quiet_s=MUTANT_QUIET_S)
                asyncio.run(act.run(MUTANT_ROUNDS))
        except Violation:
            return
    raise Violation(f"mutant.{name}", "not found out")


@contextmanager
def scene(*, is_apache: bool) -> Iterator[tuple[Broker, Path]]:
    """Yield a broker of its own and an empty folder."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our own clients see all of it
    with tempfile.TemporaryDirectory(prefix="tailrace-kills-") as name:
        folder = Path(name)
        if is_apache:
            with running_apache(folder / "kafka") as node:
                yield ApacheBroker(node, N_PARTITIONS), folder
        else:
            with running_fake() as fake:
                yield fake, folder


PROGRAM = Program(
    name="kills",
    counts="kills of processes",
    fast=10,
    deep=100,
    run=run,
    replay=replay,
    deep_parts=1,
    is_mostly_waiting=True,
)
"""The deep lane is with Apache Kafka where it is there, and else says that it is not."""
