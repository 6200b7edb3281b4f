"""One live subscriber: its query, its place in the log, and its bounded queue of frames.

A slow reader never slows the rest: past its bound the queue is dropped for one `gap` frame, and
when the reader has taken that, it catches up by a snapshot. A reader that does not even take the
gap is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from index.errors import OverloadError, TailraceError
from index.query.ast import Query
from pipeline.budget import Budget
from pipeline.tokens import Vector, encode_token

Frame = dict[str, Any]

MAX_FRAMES: Final = 256
MAX_FRAME_BYTES: Final = 256 << 10
STUCK_S: Final = 30.0


class SubscriptionState(Enum):
    CATCHING_UP = auto()
    """Its snapshot or replay is on the way; batches are not matched for it."""
    LIVE = auto()
    GAPPED = auto()
    """Its queue was dropped; it has to take the gap frame first."""
    CLOSED = auto()


class _Queued(NamedTuple):
    frame: Frame
    n_bytes: int
    """As they count for the bound of the queue."""
    held: int
    """As they count for the budget."""


class Subscription(AsyncIterator[Frame]):
    """An async iterator of frames as INTERFACE section 6 has them, but for the client's `id`.

    Ends when closed by `close`; raises OverloadError when it was stuck, or the error of a query
    that cannot be answered. Thread rule: the event loop's thread.
    """

    def __init__(
        self,
        query: Query,
        snapshot_size: int,
        *,
        on_gap_taken: Callable[[Subscription], None],
        on_closed: Callable[[Subscription], None],
        budget: Budget,
    ) -> None:
        """`budget`: of the frames that wait, shared with other subscribers."""
        self.query = query
        self.snapshot_size = snapshot_size
        self.state = SubscriptionState.CATCHING_UP
        self.position: Vector = {}
        """Shard -> offset up to which changes have been queued, or are known otherwise."""
        self.n_gaps = 0
        self._on_gap_taken = on_gap_taken
        self._on_closed = on_closed
        self._frames: deque[_Queued] = deque()
        self._n_bytes = 0
        self._budget = budget
        self._held = 0
        """What the budget holds for it."""
        self._last_token = encode_token({})
        self._error: TailraceError | None = None
        self._ready = asyncio.Event()
        self._closed = asyncio.Event()
        self._stuck_timer: asyncio.TimerHandle | None = None

    # --- the reader's side -----------------------------------------------------------------
    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Frame:
        while not self._frames:
            if self.state is SubscriptionState.CLOSED:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        frame, n_bytes, held = self._frames.popleft()
        self._n_bytes -= n_bytes
        self._put_back(held)
        self._last_token = frame["token"]
        if frame["type"] == "gap" and self.state is SubscriptionState.GAPPED:
            self._cancel_timer()
            self.state = SubscriptionState.CATCHING_UP
            self._on_gap_taken(self)
        return frame

    async def wait_closed(self) -> TailraceError | None:
        """Return when it is closed, with the reason where there is one: for a server whose
        sender is stuck in the socket and would not come back for the next frame."""
        await self._closed.wait()
        return self._error

    def close(self) -> None:
        """End it; frames that are queued can still be read."""
        self.fail(None)

    # --- the broadcaster's side ------------------------------------------------------------
    def begin(self, position: Vector) -> None:
        """It has caught up to `position`; from here on it is live."""
        if self.state is SubscriptionState.CATCHING_UP:
            self.position = dict(position)
            self.state = SubscriptionState.LIVE

    def resume_from(self, token: str) -> None:
        """The client's last token, from an earlier connection."""
        self._last_token = token

    def offer(self, frame: Frame, n_bytes: int) -> None:
        """Queue a frame, or turn the queue into a gap where it is full."""
        if self.state in (SubscriptionState.GAPPED, SubscriptionState.CLOSED):
            return
        is_full = len(self._frames) >= MAX_FRAMES or self._n_bytes + n_bytes > MAX_FRAME_BYTES
        if self._frames and (is_full or not self._budget.fits(n_bytes)):
            self._budget.n_refused += not is_full
            self.gap()
            return
        self._put(_Queued(frame, n_bytes, n_bytes))

    def offer_snapshot(self, frame: Frame, n_bytes: int) -> None:
        """Queue a snapshot, which may be larger than the queue: one frame, and the reader asked for
        its size."""
        if self.state not in (SubscriptionState.GAPPED, SubscriptionState.CLOSED):
            self._put(_Queued(frame, 0, n_bytes))

    def gap(self) -> None:
        """Announce that changes are missing from here on; a snapshot follows once it is read."""
        if self.state in (SubscriptionState.GAPPED, SubscriptionState.CLOSED):
            return
        self.n_gaps += 1
        self.state = SubscriptionState.GAPPED
        self._drop()
        self._put(_Queued({"type": "gap", "token": self._last_token}, 0, 0))
        self._stuck_timer = asyncio.get_running_loop().call_later(STUCK_S, self._close_stuck)

    def fail(self, error: TailraceError | None) -> None:
        """End it with `error` for the reader; None: just end it."""
        if self.state is SubscriptionState.CLOSED:
            return
        self._cancel_timer()
        self.state = SubscriptionState.CLOSED
        self._put_back(self._held)  # what is queued may never be read
        self._error = error
        self._ready.set()
        self._closed.set()
        self._on_closed(self)

    def _put(self, queued: _Queued) -> None:
        self._frames.append(queued)
        self._n_bytes += queued.n_bytes
        self._held += queued.held
        self._budget.hold(queued.held)
        self._ready.set()

    def _put_back(self, n_bytes: int) -> None:
        held = min(n_bytes, self._held)
        self._held -= held
        self._budget.put_back(held)

    def _drop(self) -> None:
        self._frames.clear()
        self._n_bytes = 0
        self._put_back(self._held)

    def _close_stuck(self) -> None:
        self._drop()
        self.fail(OverloadError(f"subscriber took no frame for {STUCK_S:g} s"))

    def _cancel_timer(self) -> None:
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None
