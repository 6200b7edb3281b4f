"""What an index holds, summed over its shards that are open here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from index.engine import EngineStats
from index.query.filter_cache import CacheStats
from pipeline.shard import Shard, ShardState


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
    shards: dict[int, EngineStats]
    filters: CacheStats


def sum_stats(
    shards: Iterable[Shard],
    *,
    n_subscribers: int = 0,
    n_live_changes: int = 0,
    filters: CacheStats,
) -> IndexStats:
    open_shards = [shard for shard in shards if shard.state is not ShardState.CLOSED]
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
        shards=each,
        filters=filters,
    )
