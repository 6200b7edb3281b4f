"""The threads of a node, and its clock: one applies, few answer, one flushes, one merges."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from index.errors import OverloadError
from index.query.stop import Stop, new_stop

T = TypeVar("T")


MERGE_NICENESS = 10


def _give_way() -> None:
    """Let the system prefer every other thread to this one."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), MERGE_NICENESS)


class Threads:
    """Four pools with a fixed number of threads. Each method takes a function without arguments,
    runs it in its pool, and hands its result or exception to the awaiting task."""

    def __init__(
        self,
        query_threads: int = 2,
        *,
        max_waiting: int = 500,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.wall_s = wall_s
        """The time of day, in seconds. It may jump: for what is told and for date math, never for
        time-outs or order. Any thread."""
        self._apply = ThreadPoolExecutor(1, thread_name_prefix="apply")
        self._query = ThreadPoolExecutor(query_threads, thread_name_prefix="query")
        self._flush = ThreadPoolExecutor(1, thread_name_prefix="flush")
        self._merge = ThreadPoolExecutor(1, thread_name_prefix="merge", initializer=_give_way)
        self.max_waiting = max_waiting
        self.n_waiting = 0
        """Reads that wait for their turn or have it."""
        self.n_refused = 0
        self.n_queries = 0
        """Queries begun so far. Any thread may look."""

    async def apply(self, work: Callable[[], T]) -> T:
        """Run in the one thread that may change an engine or a schema, in the order of calls."""
        return await asyncio.get_running_loop().run_in_executor(self._apply, work)

    async def query(self, work: Callable[[], T]) -> T:
        """Run something short that only reads. Who asks has bounds of its own: see `read`."""
        self.n_queries += 1
        return await asyncio.get_running_loop().run_in_executor(self._query, work)

    async def read(self, work: Callable[[], T]) -> T:
        """Run something short that only reads and that somebody outside asked for.

        Raises: OverloadError where too many wait already.
        """
        if self.n_waiting >= self.max_waiting:
            self.n_refused += 1
            raise OverloadError(f"{self.n_waiting} searches wait for their turn or have it")
        self.n_waiting += 1
        try:
            return await self.query(work)
        finally:
            self.n_waiting -= 1

    async def query_for(self, work: Callable[[Stop], T], timeout_s: float) -> T:
        """Run a search that is told to stop after `timeout_s`, the wait for its turn counted, or
        once nobody waits for it any more. Raises: OverloadError, as `read`."""
        stop = new_stop()
        if timeout_s <= 0:
            stop.fill(1)
        timer = asyncio.get_running_loop().call_later(timeout_s, stop.fill, 1)
        try:
            return await self.read(lambda: work(stop))
        finally:
            timer.cancel()
            stop.fill(1)

    async def maintain(self, work: Callable[[], T]) -> T:
        """Run what is slow and disk-bound and must not wait for a merge: a flush, a commit."""
        return await asyncio.get_running_loop().run_in_executor(self._flush, work)

    async def merge(self, work: Callable[[], T]) -> T:
        """Run what may take minutes: the writing of a merge."""
        return await asyncio.get_running_loop().run_in_executor(self._merge, work)

    def close(self) -> None:
        """Take no more work and drop what has not begun. What runs is not waited for."""
        for pool in (self._query, self._flush, self._merge, self._apply):
            pool.shutdown(wait=False, cancel_futures=True)
