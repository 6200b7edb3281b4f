"""The program `simulation`: whole clusters in one thread, on a virtual clock, under faults.

A case is a seed. Three nodes run the real source and the real index against a cluster in memory
(fake_broker.py); clients write, and from 50 to 200 faults happen to nodes, disks and the
cluster. The promises are checked all along (sim_checks.py); after the faults everything must be
caught up within a minute of virtual time.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random

from tests.reliability import regressions
from tests.reliability.program import Program, Run, Tally, Violation
from tests.reliability.sim_checks import BrokenError
from tests.reliability.sim_faults import Faults, Kinds
from tests.reliability.sim_loop import DeadlockError, TooManyStepsError
from tests.reliability.sim_world import World

CATCH_UP_S = 60.0


def simulate(seed: int, kinds: Kinds | None = None) -> World:
    """Run one seed, with faults of these kinds. Raises: Violation."""
    case = str(seed)
    world = World(seed)
    faults = Faults(world, kinds)
    collects = gc.isenabled()
    gc.disable()
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        _simulate(world, faults)
    except (BrokenError, DeadlockError, TooManyStepsError) as error:
        raise Violation(case, f"{type(error).__name__}: {error}") from error
    finally:
        world.loop.close()
        logging.disable(level)
        if collects:
            gc.enable()
    return world


def _simulate(world: World, faults: Faults) -> None:
    loop = world.loop
    story = loop.spawn("world", _tell(world, faults))
    loop.run_until(lambda: story.done() or world.broken is not None or bool(loop.errors))
    if world.broken is not None:
        raise world.broken
    if loop.errors:
        raise BrokenError(f"nobody took {loop.errors[0]!r}") from loop.errors[0]
    story.result()


async def _tell(world: World, faults: Faults) -> None:
    world.start()
    await faults.inject()
    faults.heal()
    world.trace("quiet")
    ends_at = world.loop.time() + CATCH_UP_S
    while not world.is_quiet():
        if world.loop.time() > ends_at:
            raise BrokenError(f"not caught up after {CATCH_UP_S:g} s: {faults.describe()}")
        await asyncio.sleep(0.25)
        faults.operate()
    world.check_end()


def run(run: Run) -> Tally:
    tally = Tally()
    rng = random.Random(f"simulation {run.seed} {run.part}")
    known = regressions.SEEDS if run.part == 0 else ()
    for number in range(run.size):
        world = simulate(known[number] if number < len(known) else rng.getrandbits(48))
        tally.n_cases += 1
        tally.note("faults", world.n_faults)
        tally.note("states", world.checks.n_states)
        tally.note("manifests", world.checks.n_manifests)
    return tally


def replay(case: str) -> None:
    simulate(int(case))


PROGRAM = Program("simulation", "seeds", fast=150, deep=5_000, run=run, replay=replay)
