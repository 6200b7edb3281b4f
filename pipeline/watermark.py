"""The watermark of a shard: how far its log is searchable, and who waits for it to pass."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class Watermark:
    """Only rises. Thread rule: the event loop's thread."""

    def __init__(self, next_offset: int) -> None:
        self._next_offset = next_offset
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        self._failure: Exception | None = None
        self._end: int | None = None
        """Where it will stop; None: not known."""

    @property
    def next_offset(self) -> int:
        """Return the offset after the last searchable one."""
        return self._next_offset

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    def advance(self, next_offset: int) -> None:
        self._next_offset = max(self._next_offset, next_offset)
        while self._waiting and self._waiting[0][0] < self._next_offset:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    async def wait_for_offset(self, offset: int) -> None:
        """Wait until the record at `offset` is searchable. Safe to cancel.

        Raises: what `fail` was given, where the offset was not reached by then.
        """
        if offset < self._next_offset:
            return
        if self._failure is not None and (self._end is None or offset >= self._end):
            raise self._failure
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (offset, next(self._order), future))
        try:
            await future
        finally:
            if future.cancelled():
                # A waiter that gave up leaves nothing behind, however often it comes back.
                self._waiting = [entry for entry in self._waiting if entry[2] is not future]
                heapq.heapify(self._waiting)

    def fail(self, error: Exception) -> None:
        """Make every waiter raise `error`, now and later: it will not move any more."""
        self._fail_from(None, error)

    def end_at(self, next_offset: int, error: Exception) -> None:
        """Make who waits for `next_offset` or more raise `error`: it moves up to there alone."""
        self._fail_from(next_offset, error)

    def _fail_from(self, end: int | None, error: Exception) -> None:
        self._failure, self._end = error, end
        kept = []
        for entry in self._waiting:
            offset, _, future = entry
            if end is not None and offset < end:
                kept.append(entry)
            elif not future.done():
                future.set_exception(error)
        self._waiting = kept
        heapq.heapify(kept)
