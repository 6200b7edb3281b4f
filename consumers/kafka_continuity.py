"""Whether a partition's log still goes on where its shard stands: the four ways it may not.

The topic was deleted and made anew (another topic id; where the broker tells none, another
record below the checkpoint), the log was cut (it ends before the shard does), or retention has
passed the shard (it begins after it). Only the last may be skipped, where the operator says so.
"""

from __future__ import annotations

from aiokafka import TopicPartition

from consumers.kafka_options import KafkaOptions
from consumers.kafka_positions import FetchCounts, Positions
from consumers.kafka_probe import OffsetProbe
from consumers.source import (
    DataGapError,
    KnowsTopic,
    ReplacedError,
    Sink,
    SourceError,
    TopicReplacedError,
    fence_of,
    is_behind_fence,
)

Bounds = dict[TopicPartition, tuple[int, int]]
Troubles = dict[TopicPartition, SourceError]


class Continuity:
    """Thread rule: the event loop's thread."""

    def __init__(
        self,
        sink: Sink,
        positions: Positions,
        probe: OffsetProbe,
        options: KafkaOptions,
        counts: FetchCounts,
    ) -> None:
        self._sink = sink
        self._positions = positions
        self._probe = probe
        self._options = options
        self._counts = counts

    async def find_other_topics(self, tps: list[TopicPartition]) -> Troubles:
        """Compare the topics' ids with those that the shards were read from."""
        found = await self._probe.topic_ids(sorted({tp.topic for tp in tps}))
        if not isinstance(self._sink, KnowsTopic):
            return {}
        troubles: Troubles = {}
        for tp in tps:
            shard = self._positions.shard_no(tp)
            seen, now = self._sink.topic_id(shard), found.get(tp.topic, "")
            if not now:
                continue
            if seen and seen != now:
                troubles[tp] = TopicReplacedError(tp.topic, tp.partition, seen, now)
            elif not seen:
                self._sink.note_topic_id(shard, now)
        return troubles

    async def find_other_records(self, bounds: Bounds) -> Troubles:
        """Compare the last record of each shard with the log's; one that is gone proves nothing."""
        fences: dict[TopicPartition, dict[str, int]] = {}
        for tp, (start, end) in bounds.items():
            fence = fence_of(self._sink, self._positions.shard_no(tp))
            if fence is not None and start <= fence["offset"] < end:
                fences[tp] = fence
        records = await self._probe.records_at({tp: f["offset"] for tp, f in fences.items()})
        self._counts.unproven += len(fences) - len(records)
        return {
            tp: ReplacedError(tp.topic, tp.partition, record.offset)
            for tp, record in records.items()
            if not is_behind_fence(fences[tp], record.timestamp, record.value)
        }

    async def enter(self, tp: TopicPartition, next_offset: int, bounds: tuple[int, int]) -> int:
        """Return where to read on: `next_offset`, or the log's start where a gap may be skipped.

        Raises: SourceError where it may not; what the sink raises.
        """
        trouble = self._positions.gap(tp, next_offset, bounds)
        if trouble is None:
            return next_offset
        if not isinstance(trouble, DataGapError) or self._options.on_data_gap != "skip":
            raise trouble
        await self._sink.skip_gap(self._positions.shard_no(tp), trouble.log_start)
        self._counts.gaps_skipped += 1
        return trouble.log_start
