"""What an index holds, summed over its shards that are open here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from index.engine import EngineStats
from index.query.filter_cache import CacheStats
from pipeline.shard import Shard
from pipeline.stall import Stall


@dataclass(frozen=True, slots=True)
class IndexStats:
    n_docs: int
    n_deleted: int
    n_bytes: int
    """Of segment files."""
    n_segments: int
    memtable_docs: int
    memtable_bytes: int
    backlog_bytes: int
    """Delivered and not searchable yet."""
    n_subscribers: int
    n_live_changes: int
    """Recent changes kept for subscribers who come back."""
    bytes_flushed: int
    bytes_merged: int
    """Written to segment files by flushes and by merges, since the shards were opened."""
    n_unsettled: int
    """Segments that merges could make fewer."""
    n_stalled: int
    """Shards that take documents slower, or not at all, because merges cannot keep up."""
    shards: dict[int, EngineStats]
    filters: CacheStats

    @property
    def write_amplification(self) -> float:
        return write_amplification(self.bytes_flushed, self.bytes_merged)


def write_amplification(bytes_flushed: int, bytes_merged: int) -> float:
    """Return how often each byte that was flushed has been written, merges included."""
    return (bytes_flushed + bytes_merged) / bytes_flushed if bytes_flushed else 1.0


def sum_stats(
    shards: Iterable[Shard],
    *,
    n_subscribers: int = 0,
    n_live_changes: int = 0,
    filters: CacheStats,
) -> IndexStats:
    open_shards = [shard for shard in shards if shard.is_open]
    each = {shard.number: shard.engine.stats() for shard in open_shards}
    parts = list(each.values())
    return IndexStats(
        n_docs=sum(part.n_docs for part in parts),
        n_deleted=sum(part.n_deleted for part in parts),
        n_bytes=sum(part.n_bytes for part in parts),
        n_segments=sum(len(part.segments) for part in parts),
        memtable_docs=sum(part.memtable_docs for part in parts),
        memtable_bytes=sum(part.memtable_bytes for part in parts),
        backlog_bytes=sum(shard.backlog_bytes for shard in open_shards),
        n_subscribers=n_subscribers,
        n_live_changes=n_live_changes,
        bytes_flushed=sum(part.bytes_flushed for part in parts),
        bytes_merged=sum(part.bytes_merged for part in parts),
        n_unsettled=sum(part.n_unsettled for part in parts),
        n_stalled=sum(shard.stall is not Stall.NONE for shard in open_shards),
        shards=each,
        filters=filters,
    )
