from __future__ import annotations

import asyncio
import random

import pytest

from tests.reliability.sim_loop import NODE, DeadlockError, SimLoop, TooManyStepsError


def new_loop(seed: int = 1) -> SimLoop:
    return SimLoop(random.Random(seed), max_steps=100_000)


def test_an_hour_passes_at_once() -> None:
    loop = new_loop()
    began = loop.time()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == began + 3600


def test_time_outs_and_locks_of_asyncio_work() -> None:
    async def work() -> list[str]:
        seen = []
        lock = asyncio.Lock()
        async with lock:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await lock.acquire()
            seen.append("timed out")
        done, _ = await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(1)), asyncio.create_task(asyncio.sleep(2))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        seen.append(f"{len(done)} done")
        seen.append(await asyncio.get_running_loop().run_in_executor(None, lambda: "inline"))
        return seen

    assert new_loop().run_until_complete(work()) == ["timed out", "1 done", "inline"]


def orders(seed: int) -> str:
    """Three nodes say their names, several times each."""
    loop = new_loop(seed)
    said: list[str] = []

    async def talk() -> None:
        for _ in range(5):
            said.append(NODE.get())
            await asyncio.sleep(0)

    tasks = [loop.spawn(name, talk()) for name in "abc"]
    loop.run_until(lambda: all(task.done() for task in tasks))
    return "".join(said)


def test_the_seed_chooses_who_is_next_and_always_the_same() -> None:
    assert orders(1) == orders(1)
    assert len({orders(seed) for seed in range(10)}) > 5


def test_what_a_node_makes_ready_first_runs_first() -> None:
    loop = new_loop()
    seen: list[int] = []
    for number in range(50):
        loop.call_soon(seen.append, number)
    loop.run_until(lambda: len(seen) == 50)
    assert seen == [*range(50)]


async def tick(seen: list[float]) -> None:
    while True:
        seen.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1)


def test_a_paused_node_stands_still_and_goes_on_later() -> None:
    loop = new_loop()
    paused: list[float] = []
    others: list[float] = []
    loop.spawn("a", tick(paused))
    loop.spawn("b", tick(others))
    began = loop.time()
    loop.run_until(lambda: loop.time() >= began + 3.5)
    n_paused = len(paused)
    loop.pause("a")
    loop.run_until(lambda: loop.time() >= began + 10.5)
    assert (len(paused), len(others) >= 10) == (n_paused, True)
    loop.go_on("a")
    loop.run_until(lambda: loop.time() >= began + 12.5)
    assert len(paused) > n_paused
    loop.close()


def test_a_killed_node_never_runs_again() -> None:
    loop = new_loop()
    seen: list[float] = []
    loop.spawn("a", tick(seen))
    loop.spawn("b", tick([]))
    began = loop.time()
    loop.run_until(lambda: loop.time() >= began + 2)
    loop.kill("a")
    n_seen = len(seen)
    loop.run_until(lambda: loop.time() >= began + 9)
    assert len(seen) == n_seen
    loop.close()


def test_nothing_to_wait_for_is_a_deadlock() -> None:
    loop = new_loop()
    with pytest.raises(DeadlockError):
        loop.run_until_complete(asyncio.Event().wait())
    loop.close()


def test_spinning_is_found() -> None:
    async def spin() -> None:
        while True:  # noqa: ASYNC110  that is the point
            await asyncio.sleep(0)

    loop = new_loop()
    with pytest.raises(TooManyStepsError):
        loop.run_until_complete(spin())
    loop.close()


def test_what_nobody_catches_is_kept() -> None:
    loop = new_loop()
    loop.call_soon(lambda: 1 / 0)
    loop.run_until_complete(asyncio.sleep(1))
    assert [type(error) for error in loop.errors] == [ZeroDivisionError]
