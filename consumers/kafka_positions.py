"""Where each partition stands, within one generation of the group, and what was counted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from consumers.source import DataGapError, SourceError, TruncatedError, shard_no


@dataclass(slots=True)
class Positions:
    """Which offset each partition of ours wants next, within one generation of the group.

    Invariant: a partition is in `next` only between its opening and its revocation or halt.
    """

    topics: tuple[str, ...]
    next: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    """Newest known end of each partition."""
    first_ends: dict[TopicPartition, int] = field(default_factory=dict)
    """The end of each partition when it was opened: at it, the shard is caught up."""
    generation: int = 0
    """Bumped whenever ownership moves; what was begun in an older one is void."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Closed from an assignment until its partitions are opened and sought."""

    def shard_no(self, tp: TopicPartition) -> int:
        return shard_no(self.topics, tp.topic, tp.partition)

    def begin_generation(self) -> None:
        self.generation += 1
        self.next.clear()
        self.ends.clear()
        self.first_ends.clear()

    def gap(
        self, tp: TopicPartition, next_offset: int, bounds: tuple[int, int]
    ) -> SourceError | None:
        """Return why a shard cannot go on at `next_offset`, None where it can."""
        start, end = bounds
        if next_offset < start:
            return DataGapError(tp.topic, tp.partition, next_offset, start)
        if next_offset > end:
            return TruncatedError(tp.topic, tp.partition, next_offset, end)
        return None


@dataclass(slots=True)
class FetchCounts:
    """What the loop has seen; for metrics."""

    records: int = 0
    below_position: int = 0
    """Records dropped because they came again."""
    holes: int = 0
    """Jumps in the offsets: compaction, transaction markers."""
    gaps_skipped: int = 0
    """Losses by retention that the operator had chosen to go on behind."""
    unproven: int = 0
    """Shards whose last record could not be compared with the log's: compaction took it."""
    errors: int = 0
