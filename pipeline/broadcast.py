"""Live subscriptions of one index: snapshot, then hits and leaves, without gap or duplicate.

Theory of operation: one task works through a queue, in order: batches as they were published,
and the catching-up of single subscribers. A new subscriber is put into the queue together with
what all shards show at that moment, so whatever comes after it in the queue and lies past that
moment is what it has not seen. The task exists while there are subscribers.

Recent batches are kept while there are subscribers, and a minute longer, so that one who lost
the connection can go on; who comes later gets a `gap` frame and a new snapshot. Who has seen
more than is searchable, because after a crash the index is still reading its log again, waits
for that: nobody is taken back in time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from index.errors import InvalidRequestError, OverloadError, TailraceError
from index.query.ast import Query
from index.reader import View
from index.schema import SchemaRef
from pipeline.applied import AppliedBatch, Visible
from pipeline.budget import Budget
from pipeline.history import History
from pipeline.matching import LiveBatch, Matcher, SizedFrame, take_snapshot
from pipeline.subscription import Subscription, SubscriptionState
from pipeline.telemetry import Telemetry
from pipeline.threads import Threads
from pipeline.tokens import Vector, encode_token

log = logging.getLogger(__name__)

MAX_SUBSCRIBERS: Final = 1_000
MAX_SNAPSHOT: Final = 1_000
LINGER_S: Final = 60.0
"""How long recent batches are kept once nobody subscribes."""
MAX_QUEUED_CHANGES: Final = 50_000
"""Changes that wait to be matched; past it, everyone gets a gap instead."""


class _CatchUp(NamedTuple):
    """A subscriber that needs a snapshot of `views`, the log up to `vector`."""

    subscription: Subscription
    views: tuple[View, ...]
    vector: Vector


class _Replay(NamedTuple):
    """A subscriber that goes on after `after`, from batches that are still kept."""

    subscription: Subscription
    after: Vector
    batches: list[LiveBatch]
    vector: Vector
    """Where it stands after them."""


class Broadcaster:
    """Thread rule: the event loop's thread; matching runs in the query pool."""

    def __init__(
        self,
        index: str,
        schema_ref: SchemaRef,
        *,
        threads: Threads,
        telemetry: Telemetry,
        visible: Callable[[], Mapping[int, Visible]],
        is_recovering: Callable[[], bool] = lambda: False,
        budget: Budget,
    ) -> None:
        """`budget`: of the frames that wait, shared by all subscribers of a node."""
        self._budget = budget
        self._index = index
        self._schema_ref = schema_ref
        self._threads = threads
        self._telemetry = telemetry
        self._visible = visible
        self._is_recovering = is_recovering
        self._ahead: dict[Subscription, Vector] = {}
        """Those who have seen more than is searchable, and how much."""
        self._subscriptions: set[Subscription] = set()
        self._work: deque[LiveBatch | _CatchUp | _Replay] = deque()
        self._n_queued = 0
        self._epoch = 0
        """Counts resyncs: what was begun in an earlier one must not be finished."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._history = History()
        self._forget_timer: asyncio.TimerHandle | None = None

    @property
    def n_subscribers(self) -> int:
        return len(self._subscriptions)

    @property
    def n_history(self) -> int:
        """Return how many changes are kept for those who come back."""
        return self._history.n_changes

    # --- subscribers -----------------------------------------------------------------------
    def subscribe(
        self, query: Query, *, snapshot: int = 10, after: Vector | None = None
    ) -> Subscription:
        """Register a standing query; the frames come from the subscription.

        `after`: go on from there, without a snapshot where recent batches still reach back so far.
        Raises: InvalidRequestError, OverloadError.
        """
        if not 0 <= snapshot <= MAX_SNAPSHOT:
            raise InvalidRequestError(f"snapshot must be between 0 and {MAX_SNAPSHOT}")
        if len(self._subscriptions) >= MAX_SUBSCRIBERS:
            raise OverloadError(f"{MAX_SUBSCRIBERS} subscribers are there already")
        subscription = Subscription(
            query,
            snapshot,
            on_gap_taken=self._catch_up,
            on_closed=self._forget,
            budget=self._budget,
        )
        self._begin_history()
        self._subscriptions.add(subscription)
        if after is None:
            self._catch_up(subscription)
        else:
            self._resume(subscription, after)
        self._telemetry.set_subscribers(self._index, len(self._subscriptions))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"broadcast {self._index}")
        return subscription

    def _catch_up(self, subscription: Subscription) -> None:
        visible = self._visible()
        views = tuple(view for shard in sorted(visible) for view in visible[shard].views)
        self._put(_CatchUp(subscription, views, _vector(visible)))

    def _resume(self, subscription: Subscription, after: Vector) -> None:
        now = _vector(self._visible())
        is_ahead = any(offset > now.get(shard, 0) for shard, offset in after.items())
        if is_ahead and self._is_recovering():
            self._ahead[subscription] = after
            return
        self._ahead.pop(subscription, None)
        batches = self._history.since(after, now)
        if batches is None:
            subscription.resume_from(encode_token(after))
            subscription.gap()
            self._telemetry.count_gap(self._index)
            return
        vector = dict(after)
        for batch in batches:
            vector[batch.shard] = max(vector.get(batch.shard, 0), batch.next_offset)
        self._put(_Replay(subscription, after, batches, vector))

    def recheck(self) -> None:
        """Let those go on who waited for the index to recover. To be called now and then."""
        for subscription, after in list(self._ahead.items()):
            self._resume(subscription, after)

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        self._ahead.pop(subscription, None)
        self._telemetry.set_subscribers(self._index, len(self._subscriptions))
        if not self._subscriptions:
            self._wake.set()
            loop = asyncio.get_running_loop()
            self._forget_timer = loop.call_later(LINGER_S, self._history.end)

    def resync(self) -> None:
        """Give every subscriber a new snapshot: shards have come or gone."""
        self._epoch += 1
        self._work.clear()
        self._n_queued = 0
        self._history.end()
        if self._subscriptions:
            self._begin_history()
        for subscription in self._subscriptions - self._ahead.keys():
            if subscription.state is SubscriptionState.CATCHING_UP:
                self._catch_up(subscription)
            else:
                subscription.gap()
        self.recheck()

    async def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
        if self._forget_timer is not None:
            self._forget_timer.cancel()
        self._history.end()
        if self._task is not None:
            await self._task

    def wants_changes(self) -> bool:
        """Return whether `publish` looks at what changed. Any thread."""
        return self._history.is_kept

    # --- batches ---------------------------------------------------------------------------
    def publish(self, done: AppliedBatch) -> None:
        """Take a batch that has become searchable. Costs nothing while nobody has subscribed."""
        if not self._history.is_kept:
            return
        visible = dict(self._visible())
        visible[done.shard] = done.visible
        views: list[View] = []
        view_no = 0
        for shard in sorted(visible):
            views.extend(visible[shard].views)
            if shard == done.shard:
                view_no = len(views) - 1
        batch = LiveBatch(
            shard=done.shard,
            next_offset=done.visible.next_offset,
            changes=done.changes,
            views=tuple(views),
            view_no=view_no,
            published=asyncio.get_running_loop().time(),
        )
        self._history.keep(batch)
        if not self._subscriptions:
            return
        self._n_queued += len(batch.changes)
        if self._n_queued > MAX_QUEUED_CHANGES:
            log.warning("live matching is too far behind", extra={"index": self._index})
            self.resync()
            return
        self._put(batch)
        self.recheck()

    def _begin_history(self) -> None:
        if self._forget_timer is not None:
            self._forget_timer.cancel()
            self._forget_timer = None
        self._history.begin(_vector(self._visible()))

    def _put(self, work: LiveBatch | _CatchUp | _Replay) -> None:
        self._work.append(work)
        self._wake.set()

    # --- the task --------------------------------------------------------------------------
    async def _run(self) -> None:
        while self._subscriptions:
            if not self._work:
                self._wake.clear()
                await self._wake.wait()
                continue
            work = self._work.popleft()
            try:
                if isinstance(work, LiveBatch):
                    self._n_queued -= len(work.changes)
                    await self._match(work)
                elif isinstance(work, _CatchUp):
                    await self._send_snapshot(work)
                else:
                    await self._send_replay(work)
            except Exception as error:
                log.error("live matching failed", extra={"index": self._index}, exc_info=error)
                for subscription in list(self._subscriptions):
                    subscription.fail(TailraceError("live matching failed"))
        self._work.clear()
        self._n_queued = 0
        self._task = None

    async def _match(self, batch: LiveBatch) -> None:
        live = [s for s in self._subscriptions if s.state is SubscriptionState.LIVE]
        if not live:
            return
        found = await self._threads.query(
            partial(self._match_all, batch, [(s, dict(s.position)) for s in live])
        )
        for subscription, frames in zip(live, found, strict=True):
            # Who met a gap meanwhile gets a snapshot, and nothing from before it.
            if subscription.state is SubscriptionState.LIVE:
                self._offer(subscription, frames)
                subscription.position[batch.shard] = batch.next_offset

    def _offer(self, subscription: Subscription, frames: list[SizedFrame] | TailraceError) -> None:
        if isinstance(frames, TailraceError):
            subscription.fail(frames)
            return
        n_gaps = subscription.n_gaps
        for frame, n_bytes in frames:
            subscription.offer(frame, n_bytes)
        self._telemetry.count_frames(self._index, len(frames))
        if subscription.n_gaps > n_gaps:
            self._telemetry.count_gap(self._index)

    async def _send_snapshot(self, work: _CatchUp) -> None:
        subscription = work.subscription
        if subscription.state is not SubscriptionState.CATCHING_UP:
            return
        snapshot = partial(
            take_snapshot,
            work.views,
            self._schema_ref.current,
            self._now_ms(),
            subscription.query,
            subscription.snapshot_size,
            work.vector,
        )
        epoch = self._epoch
        try:
            frame = await self._threads.query(snapshot)
        except Exception as error:
            subscription.fail(_as_failure(error))
            return
        if epoch != self._epoch:
            return
        subscription.offer_snapshot(frame.frame, frame.n_bytes)
        subscription.begin(work.vector)

    async def _send_replay(self, work: _Replay) -> None:
        subscription = work.subscription
        position = dict(work.after)
        epoch = self._epoch
        for batch in work.batches:
            found = await self._threads.query(
                partial(self._match_all, batch, [(subscription, dict(position))])
            )
            if epoch != self._epoch:
                return
            self._offer(subscription, found[0])
            if subscription.state is not SubscriptionState.CATCHING_UP:
                return
            position[batch.shard] = max(position.get(batch.shard, 0), batch.next_offset)
        subscription.begin(work.vector)

    def _match_all(
        self, batch: LiveBatch, wanted: list[tuple[Subscription, Vector]]
    ) -> list[list[SizedFrame] | TailraceError]:
        """Match one batch for several subscribers. Any thread."""
        matcher = Matcher(batch, self._schema_ref.current, self._now_ms())
        found: list[list[SizedFrame] | TailraceError] = []
        for subscription, position in wanted:
            try:
                found.append(matcher.match(subscription.query, position))
            except Exception as error:
                found.append(_as_failure(error))
        return found

    def _now_ms(self) -> int:
        return int(self._threads.wall_s() * 1000)


def _as_failure(error: Exception) -> TailraceError:
    """Return what the subscriber is told; a bug is logged and ends that subscriber alone."""
    if isinstance(error, TailraceError):
        return error
    log.error("live query failed", exc_info=error)
    return TailraceError("live query failed")


def _vector(visible: Mapping[int, Visible]) -> Vector:
    return {shard: shown.next_offset for shard, shown in visible.items()}
