"""Recent batches of an index, for live subscribers who lost the connection and come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from pipeline.matching import LiveBatch
from pipeline.tokens import Vector

MAX_CHANGES: Final = 20_000
MAX_AGE_S: Final = 60.0


class History:
    """Bounded by changes and age. Batches hold on to their views, so nothing is kept before
    `begin` or after `end`. Thread rule: the event loop's thread."""

    def __init__(self) -> None:
        self._batches: deque[LiveBatch] = deque()
        self._start: Vector | None = None
        """Shard -> offset from which on there is everything; None: nothing is kept."""
        self._n_changes = 0

    @property
    def is_kept(self) -> bool:
        return self._start is not None

    @property
    def n_changes(self) -> int:
        return self._n_changes

    def begin(self, vector: Vector) -> None:
        """Keep what comes after `vector`, unless something is kept already."""
        if self._start is None:
            self._start = dict(vector)

    def end(self) -> None:
        """Keep nothing any more."""
        self._batches.clear()
        self._n_changes = 0
        self._start = None

    def keep(self, batch: LiveBatch) -> None:
        """Add the newest batch; the oldest go where a bound is passed. Requires: `is_kept`."""
        assert self._start is not None
        self._batches.append(batch)
        self._n_changes += len(batch.changes)
        while self._batches and self._is_too_much(batch.published):
            gone = self._batches.popleft()
            self._n_changes -= len(gone.changes)
            self._start[gone.shard] = gone.next_offset

    def _is_too_much(self, now: float) -> bool:
        return self._n_changes > MAX_CHANGES or self._batches[0].published < now - MAX_AGE_S

    def since(self, after: Vector, now: Mapping[int, int]) -> list[LiveBatch] | None:
        """Return the batches that lead from `after` to `now`, maybe some from before it; None:
        not all of them are kept, or `after` is of another log."""
        start = self._start
        if start is None:
            return None
        for shard, next_offset in now.items():
            if not start.get(shard, 0) <= after.get(shard, 0) <= next_offset:
                return None
        return list(self._batches)
