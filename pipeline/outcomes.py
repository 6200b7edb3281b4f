"""What became of events, kept for as long as a writer waits to learn it.

A writer learns the offsets of its records only when the log has them, and by then they may have
been applied. So it opens a ticket before it appends; from then on every outcome of the shard is
kept until the ticket is closed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from index.document import Outcome

MAX_KEPT = 500_000
"""Most outcomes kept; past it the oldest go, and their writers learn only that they are durable."""


class EventOutcome(NamedTuple):
    outcome: Outcome
    version: int
    reason: str | None
    """Why it was rejected."""


class _Kept(NamedTuple):
    offsets: list[int]
    outcomes: list[Outcome]
    versions: list[int]
    reasons: dict[int, str]


class Outcomes:
    """Thread rule: the event loop's thread. Costs nothing while no ticket is open."""

    def __init__(self) -> None:
        self._tickets: dict[int, int] = {}
        self._next_ticket = 0
        self._batches: deque[_Kept] = deque()
        self._n_kept = 0

    @property
    def is_wanted(self) -> bool:
        """Return whether a writer waits."""
        return bool(self._tickets)

    @property
    def n_kept(self) -> int:
        return self._n_kept

    @contextmanager
    def ticket(self, next_offset: int) -> Iterator[None]:
        """Keep the outcomes of events from `next_offset` on, within this block."""
        number = self._next_ticket
        self._next_ticket += 1
        self._tickets[number] = next_offset
        try:
            yield
        finally:
            del self._tickets[number]
            self._prune()

    def keep(
        self,
        offsets: list[int],
        outcomes: list[Outcome],
        versions: list[int],
        reasons: dict[int, str],
    ) -> None:
        """Take the outcomes of one batch; `offsets` rise, `reasons` are by offset."""
        if not self._tickets or not offsets:
            return
        self._batches.append(_Kept(offsets, outcomes, versions, reasons))
        self._n_kept += len(offsets)
        while self._n_kept > MAX_KEPT:
            self._n_kept -= len(self._batches.popleft().offsets)

    def find(self, offset: int) -> EventOutcome | None:
        """Return what became of the event at `offset`; None where that is not kept."""
        for kept in reversed(self._batches):
            if offset < kept.offsets[0]:
                continue
            place = bisect_left(kept.offsets, offset)
            if place < len(kept.offsets) and kept.offsets[place] == offset:
                reason = kept.reasons.get(offset)
                return EventOutcome(kept.outcomes[place], kept.versions[place], reason)
            return None
        return None

    def _prune(self) -> None:
        if not self._tickets:
            self._batches.clear()
            self._n_kept = 0
            return
        oldest = min(self._tickets.values())
        while self._batches and self._batches[0].offsets[-1] < oldest:
            self._n_kept -= len(self._batches.popleft().offsets)
