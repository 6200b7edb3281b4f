from __future__ import annotations

import asyncio

import pytest

from index.query.stop import Stop
from pipeline.threads import Threads


@pytest.fixture
def threads():
    threads = Threads(query_threads=1)
    yield threads
    threads.close()


def run_until_told(stop: Stop) -> str:
    while not stop[0]:
        pass
    return "stopped"


async def test_a_search_is_told_to_stop_when_its_time_is_over(threads: Threads) -> None:
    assert await threads.query_for(run_until_told, 0.01) == "stopped"


async def test_no_time_at_all_stops_a_search_before_it_begins(threads: Threads) -> None:
    assert await threads.query_for(lambda stop: bool(stop[0]), 0.0) is True


async def test_a_search_that_nobody_waits_for_is_stopped(threads: Threads) -> None:
    waiting = asyncio.create_task(threads.query_for(run_until_told, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    # its one thread is free again
    assert await threads.query(lambda: "next") == "next"
