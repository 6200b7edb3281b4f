"""The partitions that this node owns of one index: opening and closing their shards.

Thread rule: the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from index.errors import StorageError
from index.rebuild import DamagedShardError
from pipeline.maintenance import Maintenance
from pipeline.shard import Shard, ShardState

Opening: TypeAlias = Callable[[Shard], Awaitable[int | None]]
"""Opens a new shard; returns the offset to go on at."""


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

        Raises: DamagedShardError, StorageError; the shard is there and FAILED then.
        """
        async with self._locks[number]:
            if (old := self.shards.get(number)) is not None:
                await self._end(old, flush=False)
            return await self._open(number, Shard.open)

    async def rebuild(self, number: int, bounds: tuple[int, int]) -> int:
        """Let a damaged shard begin anew; return the offset to go on at.

        Raises: DamagedShardError where the log, with its offsets `[start, end)`, does not hold all
        that the shard was made of; StorageError.
        """
        async with self._locks[number]:
            damaged = self.shards.get(number)
            damage = damaged.failure if damaged is not None else None
            if damaged is None or not isinstance(damage, DamagedShardError):
                raise StorageError(f"shard {number} is not damaged")
            origin, (start, end) = max(damage.origin, 0), bounds
            if start > origin or damage.checkpoint > end:
                damaged.failure = _not_rebuilt(damaged, damage, bounds)
                raise damaged.failure
            await self._end(damaged, flush=False)
            await self._open(number, lambda shard: shard.rebuild(damage, end))
            return origin

    async def _open(self, number: int, opening: Opening) -> int | None:
        shard = self._make_shard(number)
        try:
            next_offset = await opening(shard)
            self._maintenance.check(shard)
        except Exception:
            await self._put(shard)
            raise
        await self._put(shard)
        return next_offset

    async def _put(self, shard: Shard) -> None:
        self.shards[shard.number] = shard
        async with self._changed:
            self._changed.notify_all()

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


def _not_rebuilt(
    shard: Shard, damage: DamagedShardError, bounds: tuple[int, int]
) -> DamagedShardError:
    """Return the damage, with why the log does not help and what the operator can do."""
    covered = f"[{max(damage.origin, 0)}, {max(damage.checkpoint, 0)})"
    return damage.because(
        f"the shard covers offsets {covered} and the log holds [{bounds[0]}, {bounds[1]}), so it "
        f"cannot be rebuilt: restore {shard.path} from a backup, or move it away to begin with "
        "what the log still holds"
    )
