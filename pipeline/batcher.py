"""Micro-batches: how many records become searchable together, and when.

Sans-IO: time comes in as an argument. A batch is due as soon as there is something, but not
within `max_age_s` of the last one, unless it is full. So a lone record is applied at once, a
stream at least every `max_age_s`, and under load, when applying takes longer than that, batches
grow with what has come in meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.events import Record


class Arrival(NamedTuple):
    """Records that came in together."""

    records: list[Record]
    n_bytes: int
    consumed_s: float
    """Wall clock, for freshness alone; nothing is ordered by it."""


@dataclass(slots=True)
class Batch:
    """Records [.., next_offset) of one shard, in log order."""

    next_offset: int
    arrivals: list[Arrival] = field(default_factory=list)
    n_records: int = 0
    n_bytes: int = 0


class Batcher:
    """The queue before a shard. Thread rule: the event loop's thread."""

    def __init__(self, *, max_records: int, max_bytes: int, max_age_s: float) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.max_age_s = max_age_s
        self._arrivals: deque[Arrival] = deque()
        self._next_offset: int | None = None
        self._oldest = 0.0
        self._last_taken = float("-inf")
        self._n_records = 0
        self._n_bytes = 0

    @property
    def n_records(self) -> int:
        return self._n_records

    @property
    def n_bytes(self) -> int:
        return self._n_bytes

    @property
    def is_full(self) -> bool:
        return self._n_records >= self.max_records or self._n_bytes >= self.max_bytes

    @property
    def deadline(self) -> float | None:
        """Return when a batch is due, full or not; None where there is nothing to apply."""
        if self._next_offset is None:
            return None
        return max(self._oldest, self._last_taken + self.max_age_s)

    def is_due(self, now: float) -> bool:
        deadline = self.deadline
        return deadline is not None and (self.is_full or now >= deadline)

    def add(
        self, records: list[Record], next_offset: int, *, now: float, consumed_s: float
    ) -> None:
        """Queue records. `next_offset` may lie past the last one, where the log has holes.

        Requires: offsets rise, within `records` and from call to call.
        """
        if self._next_offset is None:
            self._oldest = now
        self._next_offset = next_offset
        for first in range(0, len(records), self.max_records):
            piece = records[first : first + self.max_records]
            n_bytes = _n_bytes(piece)
            self._arrivals.append(Arrival(piece, n_bytes, consumed_s))
            self._n_records += len(piece)
            self._n_bytes += n_bytes

    def take(self, now: float) -> Batch | None:
        """Return what came first: whole arrivals until one of the bounds is reached, so it may
        pass a bound by one arrival. None where there is nothing to apply."""
        if self._next_offset is None:
            return None
        batch = Batch(self._next_offset)
        while (
            self._arrivals and batch.n_records < self.max_records and batch.n_bytes < self.max_bytes
        ):
            arrival = self._arrivals.popleft()
            batch.arrivals.append(arrival)
            batch.n_records += len(arrival.records)
            batch.n_bytes += arrival.n_bytes
        self._n_records -= batch.n_records
        self._n_bytes -= batch.n_bytes
        self._last_taken = now
        if self._arrivals:
            batch.next_offset = self._arrivals[0].records[0].offset
            self._oldest = now
        else:
            self._next_offset = None
        return batch

    def clear(self) -> None:
        """Forget all that is queued."""
        self._arrivals.clear()
        self._next_offset = None
        self._n_records = self._n_bytes = 0


RECORD_BYTES = 250
"""What a record takes beside its value."""


def _n_bytes(records: list[Record]) -> int:
    # One pass without a property call per record: this runs in the event loop.
    values = sum([len(record.value) for record in records if record.value is not None])
    return values + RECORD_BYTES * len(records)
