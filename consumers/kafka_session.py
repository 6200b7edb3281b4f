"""One life of a consumer in its group: join, open what is assigned, fetch, close, leave.

aiokafka calls the listener from its coordination task. A revocation waits for the shards to
close, because only then may another member have them; an assignment waits for nothing, because
there is no heartbeat while it does: the shards are opened in a task beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Coroutine
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from consumers.kafka_client import AIOKAFKA, KafkaClients
from consumers.kafka_continuity import Continuity
from consumers.kafka_fetch import FetchLoop, SinkError
from consumers.kafka_options import KafkaOptions
from consumers.kafka_positions import FetchCounts, Positions
from consumers.kafka_probe import OffsetProbe
from consumers.source import Sink, SourceError
from consumers.watchdog import Watchdog
from index.errors import TailraceError
from index.rebuild import DamagedShardError

log = logging.getLogger(__name__)

STOP_FETCH_S = 1.0
CLOSE_SHARDS_S = 6.0
COMMIT_S = 5.0
STOP_CONSUMER_S = 3.0


class StalledError(Exception):
    """A new session must be made, such as where the consumer fetches nothing though there is
    something."""


class Session(ConsumerRebalanceListener):  # type: ignore[misc]
    """Thread rule: the event loop's thread. `run` once."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: tuple[str, ...],
        sink: Sink,
        hints: dict[int, int],
        options: KafkaOptions,
        counts: FetchCounts,
        *,
        clients: KafkaClients = AIOKAFKA,
    ) -> None:
        self._topics = topics
        self._sink = sink
        self._hints = hints
        self._options = options
        self._clock = asyncio.get_running_loop().time
        self._consumer = clients.consumer(bootstrap, group_id=group, **options.consumer_arguments())
        self._probe = OffsetProbe(bootstrap, options, clients)
        self.positions = Positions(topics)
        self.positions.gate.set()
        self._continuity = Continuity(sink, self.positions, self._probe, options, counts)
        self._fetch = FetchLoop(
            self._consumer, sink, self.positions, self._probe, self._continuity, options, counts
        )
        self._opened: set[TopicPartition] = set()
        self._transition: asyncio.Task[None] | None = None
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost_at: float | None = self._clock()
        self._unowned_since: float | None = None
        self._is_ending = False
        self.was_assigned = False
        """Whether the group has given its first assignment, and it is open."""

    def lag(self) -> dict[int, int]:
        """Return, per shard, how many offsets are not delivered, as far as is known."""
        positions = self.positions
        lags = {}
        assigned = self._consumer.assignment()
        for tp, next_offset in positions.next.items():
            seen = self._consumer.highwater(tp) if tp in assigned else None
            end = max(positions.ends[tp], seen or 0)
            lags[positions.shard_no(tp)] = max(end - next_offset, 0)
        return lags

    async def run(self, stop: asyncio.Event) -> None:
        """Feed the sink until `stop`; on return, or error, every shard opened here is closed.

        Raises: SinkError; StalledError, KafkaError, OSError where a new session may do better.
        """
        tasks: list[asyncio.Task[Any]] = []
        try:
            await self._consumer.start()
            self._consumer.subscribe(topics=list(self._topics), listener=self)
            fetch = asyncio.create_task(self._fetch.run())
            tasks = [
                fetch,
                asyncio.create_task(self._commit_forever()),
                asyncio.create_task(self._watch_forever()),
                asyncio.create_task(stop.wait()),
            ]
            await asyncio.wait([*tasks, self._fatal], return_when=asyncio.FIRST_COMPLETED)
            for task in [*tasks, self._fatal]:
                if task.done():
                    task.result()
        finally:
            await self._end(tasks)

    # -- what aiokafka calls ------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Close the shards; wait for it at most a third of the rebalance timeout."""
        self._lost_at = self._clock()
        self.positions.begin_generation()
        self.positions.gate.set()
        closing = self._begin(self._close_shards())
        await asyncio.wait([closing], timeout=self._options.rebalance_timeout_ms / 3000)
        if not closing.done():
            log.warning("shards close slowly", extra={"partitions": len(revoked)})
        try:
            await self._commit_hints(revoked)
        except Exception as error:
            self._fail(error)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Hold the partitions back until their shards are open."""
        if self._is_ending:
            return  # a rebalance under way must end before the group can be left
        self._lost_at = None
        self.positions.begin_generation()
        self.positions.gate.clear()
        try:
            self._consumer.pause(*assigned)
        except Exception as error:
            self._fail(error)
            return
        self._begin(self._open_shards(assigned, self.positions.generation))

    def restart(self, reason: str) -> None:
        """End the session, so that another opens all shards again."""
        self._fail(StalledError(reason))

    def _fail(self, error: BaseException) -> None:
        """End the session with `error`; aiokafka would only log what its listener raises."""
        if not self._fatal.done():
            self._fatal.set_exception(error)

    # -- shards ------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a transition after the one before it; what it raises ends the session."""
        before = self._transition

        async def chained() -> None:
            if before is not None:
                await asyncio.wait([before])
            await work

        self._transition = asyncio.create_task(chained())
        self._transition.add_done_callback(self._note_failure)
        return self._transition

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    async def _open_shards(self, tps: set[TopicPartition], generation: int) -> None:
        if self.positions.generation != generation:
            return
        stored = await _gather_sink([self._open_shard(tp) for tp in tps])
        bounds = await self._probe.bounds([*tps])
        stored = await _gather_sink(
            [self._rebuild_damaged(tp, at, bounds[tp]) for tp, at in stored]
        )
        replaced = await self._continuity.find_other_topics([*tps])
        others = {tp: at for tp, at in bounds.items() if tp not in replaced}
        replaced |= await self._continuity.find_other_records(others)
        if self.positions.generation != generation:
            return  # revoked meanwhile: the closing is queued behind this
        for tp, next_offset in stored:
            if self.positions.generation != generation:
                return
            await self._start_fetching(tp, next_offset, bounds[tp], replaced.get(tp))
        if self.positions.generation != generation:
            return
        self.was_assigned = True
        self.positions.gate.set()

    async def _open_shard(
        self, tp: TopicPartition
    ) -> tuple[TopicPartition, int | TailraceError | None]:
        self._opened.add(tp)
        try:
            next_offset = await self._sink.open_partition(self.positions.shard_no(tp))
        except TailraceError as error:
            return tp, error  # this shard's own trouble: the others go on
        return tp, next_offset

    async def _rebuild_damaged(
        self, tp: TopicPartition, stored: int | TailraceError | None, bounds: tuple[int, int]
    ) -> tuple[TopicPartition, int | TailraceError | None]:
        """Let a damaged shard begin anew, if the log holds all that it was made of."""
        if not isinstance(stored, DamagedShardError):
            return tp, stored
        try:
            number = self.positions.shard_no(tp)
            return tp, await self._sink.rebuild_partition(number, bounds)
        except TailraceError as error:
            return tp, error

    async def _start_fetching(
        self,
        tp: TopicPartition,
        stored: int | TailraceError | None,
        bounds: tuple[int, int],
        replaced: SourceError | None,
    ) -> None:
        """Seek to where the shard stands; an empty shard begins at the start of the log."""
        positions, generation = self.positions, self.positions.generation
        try:
            if isinstance(stored, TailraceError):
                raise stored
            if replaced is not None:
                raise replaced
            next_offset = bounds[0] if stored is None else stored
            next_offset = await self._continuity.enter(tp, next_offset, bounds)
        except TailraceError as error:
            await self._halt(tp, error, bounds[0])
            return
        except Exception as error:
            raise SinkError from error
        if positions.generation != generation:
            return
        positions.next[tp] = next_offset
        positions.ends[tp] = positions.first_ends[tp] = bounds[1]
        with contextlib.suppress(IllegalStateError):
            self._consumer.seek(tp, next_offset)
            self._consumer.resume(tp)

    async def _halt(self, tp: TopicPartition, error: TailraceError, log_start: int) -> None:
        log.error("partition halted", extra={"reason": str(error)})
        # It stays paused; without a position aiokafka would ask for one for ever.
        with contextlib.suppress(IllegalStateError):
            self._consumer.seek(tp, log_start)
        await _gather_sink([self._sink.fail_partition(self.positions.shard_no(tp), error)])

    async def _close_shards(self) -> None:
        tps = [*self._opened]
        self._opened.clear()
        await _gather_sink([self._close_shard(tp) for tp in tps])

    async def _close_shard(self, tp: TopicPartition) -> None:
        try:
            await self._sink.close_partition(self.positions.shard_no(tp), True)
        except TailraceError as error:
            # It is closed all the same, and its next owner reads on from what is durable.
            log.error("shard not flushed as it closed", extra={"reason": str(error)})

    # -- beside the fetching -------------------------------------------------------------------

    async def _commit_forever(self) -> None:
        while True:
            await asyncio.sleep(self._options.commit_interval_s)
            await self._commit_hints({*self.positions.next})

    async def _commit_hints(self, tps: set[TopicPartition]) -> None:
        """Tell the broker the durable offsets of `tps`. It failing hurts dashboards alone."""
        found = {tp: self._hints.get(self.positions.shard_no(tp)) for tp in tps}
        offsets = {tp: offset for tp, offset in found.items() if offset is not None}
        if not offsets:
            return
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), COMMIT_S)
        except (KafkaError, TimeoutError, OSError) as error:
            log.info("offsets not committed", extra={"reason": repr(error)})
            return
        for tp, offset in offsets.items():
            shard = self.positions.shard_no(tp)
            if self._hints.get(shard) == offset:
                del self._hints[shard]

    async def _watch_forever(self) -> None:
        """Raise StalledError when the consumer has silently stopped."""
        watchdog = Watchdog(self._options.stall_s)
        unowned_s = 2 * self._options.rebalance_timeout_ms / 1000 + self._options.stall_s
        while True:
            await asyncio.sleep(self._options.probe_interval_s)
            if self._lost_at is not None and self._clock() - self._lost_at > unowned_s:
                raise StalledError(f"the group has assigned nothing for {unowned_s:.0f} s")
            await self._watch(watchdog)
            if self._options.group_instance_id is not None:
                await self._watch_owners()

    async def _watch(self, watchdog: Watchdog) -> None:
        positions, generation = self.positions, self.positions.generation
        try:
            ends = await self._probe.ends([*positions.next])
            if positions.generation != generation:
                return
            replaced = await self._continuity.find_other_topics([*positions.next])
        except (KafkaError, TimeoutError, OSError) as error:
            log.info("ends of partitions not known", extra={"reason": repr(error)})
            return
        for tp, trouble in replaced.items():
            if positions.generation == generation and tp in positions.next:
                await self._fetch.halt(tp, trouble)
        now = self._clock()
        for tp, end in ends.items():
            if tp in positions.next:
                positions.ends[tp] = end
            if tp not in positions.next or self._fetch.is_excused(tp):
                watchdog.excuse(tp)
            else:
                watchdog.observe(tp, positions.next[tp], end, now)
        stalled = [tp for tp in watchdog.stalled(now) if tp in positions.next]
        if stalled:
            raise StalledError(f"no records for {self._options.stall_s:g} s from {stalled[0]}")

    async def _watch_owners(self) -> None:
        """Leave and come back where the group has forgotten a partition: that wakes it up."""
        try:
            unowned = await self._consumer.unowned([*self._topics])
        except (KafkaError, TimeoutError, OSError) as error:
            log.info("owners of partitions not known", extra={"reason": repr(error)})
            return
        if not unowned:
            self._unowned_since = None
            return
        now = self._clock()
        self._unowned_since = self._unowned_since or now
        # Until then the group's leader may learn of new partitions by itself.
        patience_s = self._options.metadata_max_age_ms / 1000 + self._options.probe_interval_s
        if now - self._unowned_since > patience_s:
            self._consumer.leave_for_good()
            raise StalledError(f"the group has no owner for {min(unowned)}")

    # -- the end -------------------------------------------------------------------------------

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Stop fetching, close the shards, tell the last offsets, leave the group; bounded."""
        self._is_ending = True
        self._fetch.stop()
        for task in tasks[1:]:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks[:1], timeout=STOP_FETCH_S)
        mine = {*self._opened}
        self.positions.begin_generation()
        closing = self._begin(self._close_shards())
        await asyncio.wait([closing], timeout=CLOSE_SHARDS_S)
        await self._bounded(self._commit_hints(mine), STOP_CONSUMER_S)
        await self._bounded(self._consumer.stop(), STOP_CONSUMER_S)
        await self._bounded(self._probe.close(), STOP_CONSUMER_S)
        for task in tasks:
            task.cancel()  # the fetching only now: a cancelled getmany spoils a living consumer
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self._fatal.cancel():
            self._fatal.exception()  # told already, or told below
        if closing.done():
            closing.result()

    async def _bounded(self, work: Awaitable[None], timeout_s: float) -> None:
        try:
            await asyncio.wait_for(work, timeout_s)
        except Exception as error:
            log.info("consumer not ended cleanly", extra={"reason": repr(error)})


async def _gather_sink(calls: list[Any]) -> list[Any]:
    """Await calls of the sink together; all end, then the first error is raised as SinkError."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise SinkError from result
        if isinstance(result, BaseException):
            raise result
    return results
