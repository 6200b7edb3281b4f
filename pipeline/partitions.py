"""The partitions that this node owns of one index: opening and closing their shards.

Thread rule: the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from pipeline.maintenance import Maintenance
from pipeline.shard import Shard, ShardState


class Partitions:
    def __init__(self, make_shard: Callable[[int], Shard], maintenance: Maintenance) -> None:
        self.shards: dict[int, Shard] = {}
        """Those that are open; one that is closing is here until it is closed."""
        self._make_shard = make_shard
        self._maintenance = maintenance
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        """Of each partition, held while it is opened or closed."""
        self._changed = asyncio.Condition()

    async def open(self, number: int) -> int | None:
        """Recover the shard; return the offset to go on at, None: nothing is stored.

        Raises: CorruptionError, StorageError.
        """
        async with self._locks[number]:
            if (old := self.shards.get(number)) is not None:
                await self._end(old, flush=False)
            shard = self._make_shard(number)
            next_offset = await shard.open()
            self.shards[number] = shard
            self._maintenance.check(shard)
        async with self._changed:
            self._changed.notify_all()
        return next_offset

    async def close(self, number: int, *, flush: bool) -> None:
        """Apply and flush what was delivered, or drop it, and close the shard. Goes on to its
        end if the caller is cancelled; the next `open` waits for it."""
        shard = self.shards.get(number)
        if shard is not None:
            await asyncio.shield(asyncio.ensure_future(self._close(shard, flush=flush)))

    async def _close(self, shard: Shard, *, flush: bool) -> None:
        async with self._locks[shard.number]:
            # Opened anew meanwhile: then that ended it, and this one is not the caller's.
            if self.shards.get(shard.number) is shard:
                await self._end(shard, flush=flush)

    async def _end(self, shard: Shard, *, flush: bool) -> None:
        try:
            if not flush:
                shard.drop_queue()
            await shard.drain()
            await self._maintenance.settle(shard)
            if flush and shard.state is not ShardState.FAILED:
                await self._maintenance.flush(shard)
        finally:
            await shard.close()
            self.shards.pop(shard.number, None)

    async def wait_open(self, number: int) -> Shard:
        """Return the shard, once it is open here."""
        async with self._changed:
            await self._changed.wait_for(lambda: number in self.shards)
        return self.shards[number]
