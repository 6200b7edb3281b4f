"""Notices a consumer that has silently stopped: decides, from numbers alone."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Watchdog:
    """A partition stalls when its log is ahead and its position has not moved for `stall_s`."""

    stall_s: float
    _seen: dict[Hashable, tuple[int, float]] = field(default_factory=dict)

    def observe(self, partition: Hashable, position: int, end: int, now: float) -> None:
        """Note where a partition stands and where its log ends."""
        seen = self._seen.get(partition)
        if seen is None or seen[0] != position or position >= end:
            self._seen[partition] = (position, now)

    def excuse(self, partition: Hashable) -> None:
        """Forget a partition: it is paused, or no longer ours."""
        self._seen.pop(partition, None)

    def stalled(self, now: float) -> list[Hashable]:
        """Return the partitions that should have moved since."""
        return [p for p, (_, since) in self._seen.items() if now - since > self.stall_s]
