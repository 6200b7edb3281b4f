from __future__ import annotations

import asyncio

import pytest

from index.errors import StorageError
from pipeline.watermark import Watermark


async def started(*waits: asyncio.Task[None]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_searchable_offset_is_not_waited_for() -> None:
    await Watermark(5).wait_for_offset(4)


async def test_waiters_wake_when_their_offset_is_passed_and_not_before() -> None:
    watermark = Watermark(0)
    waits = [asyncio.create_task(watermark.wait_for_offset(offset)) for offset in (7, 3, 4)]
    await started(*waits)
    watermark.advance(4)
    await started()
    assert [wait.done() for wait in waits] == [False, True, False]
    watermark.advance(8)
    await asyncio.gather(*waits)


async def test_it_never_goes_back() -> None:
    watermark = Watermark(9)
    watermark.advance(3)
    assert watermark.next_offset == 9


async def test_a_waiter_that_gave_up_leaves_nothing_behind() -> None:
    watermark = Watermark(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await watermark.wait_for_offset(1)
    assert watermark.n_waiting == 0


async def test_a_failure_reaches_every_waiter() -> None:
    watermark = Watermark(0)
    wait = asyncio.create_task(watermark.wait_for_offset(1))
    await started(wait)
    watermark.fail(StorageError("closed"))
    with pytest.raises(StorageError):
        await wait


async def test_who_comes_after_a_failure_does_not_wait_in_vain() -> None:
    watermark = Watermark(5)
    watermark.fail(StorageError("closed"))
    await watermark.wait_for_offset(4)
    with pytest.raises(StorageError):
        await watermark.wait_for_offset(5)


async def test_an_end_fails_who_waits_for_more_and_nobody_else() -> None:
    watermark = Watermark(0)
    below = asyncio.create_task(watermark.wait_for_offset(4))
    beyond = asyncio.create_task(watermark.wait_for_offset(5))
    await started(below)
    watermark.end_at(5, StorageError("halted"))
    with pytest.raises(StorageError):
        await beyond
    with pytest.raises(StorageError):
        await watermark.wait_for_offset(9)
    watermark.advance(5)
    await below
