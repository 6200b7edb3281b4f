"""What can be tuned in the flow, each with its effect and when to change it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Options of one node; all of its indexes share them."""

    max_batch_docs: int = 2_000
    """Most documents applied together. Larger: a little more throughput, later searchable under
    load, because a batch becomes searchable as a whole."""

    max_batch_bytes: int = 4 << 20
    """Most bytes applied together."""

    max_batch_age_s: float = 0.005
    """Least time between two batches of a shard that are not full. Larger: less work each,
    later searchable."""

    flush_age_s: float = 60.0
    """Flush a shard when its oldest document in memory is this old. Larger: fewer small
    segments, a longer replay after a crash."""

    query_threads: int = 2
    """Threads that answer searches and check writes."""

    filter_cache_bytes: int = 32 << 20
    """What an index may keep of filters that are asked again and again. Larger: more of them
    cost next to nothing."""

    max_backlog_bytes: int = 64 << 20
    """Records of one shard that wait to be applied; past it, a source has to wait."""

    max_node_backlog_bytes: int = 256 << 20
    """The same of all shards together."""

    max_stall_memtables: int = 4
    """Stop applying when a shard holds this many full memtables that no flush has taken yet."""

    slow_segments: int = 32
    """Apply slower while merges have so many segments of a shard still to do, the slower the more
    there are. Lower: searches stay faster under load that merges cannot keep up with."""

    max_segments: int = 64
    """Stop applying at so many, until a merge is done."""

    merge_cpu_share: float = 0.3
    """Share of one processor that merges take while searches run. Larger: fewer segments, and
    slower searches meanwhile. They take all they can get where no search runs, and where
    ingestion waits for them."""

    merge_bytes_per_s: int = 128 << 20
    """Bytes a second that merges read or write while searches run."""

    disk_merge_share: float = 0.85
    """Begin no merge while the disk is this full."""

    disk_pause_share: float = 0.90
    """Apply nothing while the disk is this full, and refuse writes to an embedded log with 429;
    sources wait."""

    disk_read_only_share: float = 0.95
    """Refuse every write with 429 while the disk is this full."""

    disk_hysteresis_share: float = 0.02
    """What was stopped goes on this far below its mark."""

    disk_headroom_bytes: int = 32 << 30
    """With this much free, none of the three marks counts, however large the disk."""

    disk_reserve_bytes: int = 4 << 20
    """Size of a file that keeps room back for the small files that an edit needs when nothing
    else is left."""

    max_write_bytes: int = 128 << 20
    """Writes under way at once, of all indexes; past it, a write is refused with 429."""

    max_waiting_searches: int = 500
    """Searches, gets and counts that wait for a thread or are answered by one; past it, one is
    refused with 429. Larger: they wait longer before anybody is told."""

    max_live_bytes: int = 64 << 20
    """Frames that wait for all live subscribers together; past it, who has some waiting gets a
    gap for them."""

    write_timeout_s: float = 30.0
    """How long a write waits for its outcome once it is durable in the log."""

    drain_s: float = 9.0
    """How long a stop may take to apply and flush what is queued."""

    loop_late_s: float = 0.1
    """Log where the event loop is when it comes so late to what is due (in code, 0:
    never)."""

    otlp_endpoint: str = ""
    """URL of an OpenTelemetry collector; empty: no traces, and nothing of them imported."""

    sample_ratio: float = 0.001
    """Share of documents without a traceparent that get a trace."""
