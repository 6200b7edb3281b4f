"""Crashes at every write: short workloads of the real engine, the embedded log and the files of an
index, and every disk that a power loss may leave of them.

The fast lane crashes every workload of up to three letters, and longer ones chosen by chance. The
deep lane crashes every workload of up to four letters, and recoveries from those crashes.

A case is `SCENE.LETTERS.STATE`, or `SCENE.LETTERS.STATE.STATE` for a crash of the recovery from a
crash; the first STATE is then `kSTEPS` where only the process ended, after so many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from itertools import product
from random import Random
from zlib import crc32

from tests.reliability import index_life, log_life
from tests.reliability.explorer import SHORT, Explorer, Known, Scene
from tests.reliability.kept_segments import kept_segments
from tests.reliability.program import Program, Run, Tally
from tests.reliability.shard_life import ShardLife
from tests.reliability.short_workloads import LETTERS

FILLED = "ufuaf"
"""What a shard went through that is not empty: two segments, a document dead in the first."""
LONG = range(8, 25)
"""Letters of workloads chosen by chance."""


def _filled(name: str, life: Callable[..., ShardLife]) -> Scene:
    before, _ = Scene("before", LETTERS, ShardLife).live(FILLED)
    return Scene(name, LETTERS, life, before.disk.files, before.history)


spread = partial(ShardLife, is_spread=True)
SCENES: dict[str, Callable[[], Scene]] = {
    "empty": lambda: Scene("empty", LETTERS, ShardLife),
    "filled": lambda: _filled("filled", ShardLife),
    "empty-spread": lambda: Scene("empty-spread", LETTERS, spread),
    "filled-spread": lambda: _filled("filled-spread", spread),
    "index": lambda: Scene("index", index_life.LETTERS, index_life.IndexLife),
    "log": lambda: Scene("log", log_life.LETTERS, log_life.LogLife),
}


FAST = ("empty", "filled-spread", "index", "log")
"""Scenes of which the fast lane crashes every workload of up to three letters."""
FILLING = tuple(name for name in SCENES if name != "index")
"""Scenes of which workloads are chosen by chance; those of an index are slow."""


@cache
def scene(name: str) -> Scene:
    return SCENES[name]()


def exhaustive(letters: str, longest: int) -> Iterator[str]:
    """Yield every workload of up to `longest` letters, each after those it begins with."""
    for length in range(1, longest + 1):
        yield from map("".join, product(letters, repeat=length))


def run(asked: Run) -> Tally:
    tally = Tally()
    with speeded_up():
        known = {scene(name).letters: Known() for name in SCENES}
        explorers = {name: Explorer(scene(name), known[scene(name).letters]) for name in SCENES}
        _run(asked, explorers)
        for name, explorer in explorers.items():
            tally.n_cases += explorer.n_states
            tally.note("workloads", explorer.n_workloads)
            tally.note("recoveries lived on with", explorer.n_lives)
            tally.note(name, explorer.n_states)
    return tally


def _run(asked: Run, explorers: dict[str, Explorer]) -> None:
    chosen = Random(f"{asked.seed} {asked.part}")

    def n_left() -> int:
        return asked.size - sum(explorer.n_states for explorer in explorers.values())

    work = [
        (explorer, letters)
        for name, explorer in explorers.items()
        if asked.is_deep or name in FAST
        for letters in exhaustive(explorer.scene.letters, SHORT if asked.is_deep else SHORT - 1)
        if crc32(f"{name} {letters[:2]}".encode()) % asked.n_parts == asked.part
    ]
    chosen.shuffle(work)
    for explorer, letters in work:
        explorer.crash(letters)
    if asked.is_deep:
        for number, (explorer, letters) in enumerate(work):
            share = n_left() // (len(work) - number)
            explorer.crash_twice(letters, chosen, explorer.n_states + share)
    while n_left() > 0:
        explorer = explorers[chosen.choice(FILLING)]
        explorer.crash("".join(chosen.choices(explorer.scene.letters, k=chosen.choice(LONG))))


def replay(case: str) -> None:
    with speeded_up():
        Explorer(scene(case.split(".")[0])).replay(case)


@contextmanager
def speeded_up() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(kept_segments())
        stack.enter_context(log_life.small_frames())
        yield


PROGRAM = Program(
    name="crash",
    counts="disks after a crash",
    fast=30_000,
    deep=1_000_000,
    run=run,
    replay=replay,
)
