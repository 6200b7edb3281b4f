"""The gauges of a node, read from its indexes whenever the metrics are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pipeline.shard import ShardState

if TYPE_CHECKING:
    from pipeline.index import Index
    from pipeline.node import Node

# name -> (help, attribute of IndexStats)
INDEX_GAUGES = {
    "tailrace_docs": ("live documents", "n_docs"),
    "tailrace_deleted_docs": ("dead documents that a merge will drop", "n_deleted"),
    "tailrace_store_bytes": ("bytes of segment files", "n_bytes"),
    "tailrace_segments": ("searchable units, memtables too", "n_segments"),
    "tailrace_memtable_docs": ("documents not flushed", "memtable_docs"),
    "tailrace_memtable_bytes": ("memory of what is not flushed", "memtable_bytes"),
    "tailrace_backlog_bytes": ("bytes delivered and not searchable yet", "backlog_bytes"),
    "tailrace_unsettled_segments": ("segments that merges could make fewer", "n_unsettled"),
    "tailrace_stalled_shards": ("shards that wait for merges before they take more", "n_stalled"),
    "tailrace_flushed_bytes": ("bytes of segments that flushes wrote", "bytes_flushed"),
    "tailrace_merged_bytes": ("bytes of segments that merges wrote", "bytes_merged"),
    "tailrace_write_amplification": (
        "how often a flushed byte was written, merges included",
        "write_amplification",
    ),
    "tailrace_live_subscribers": ("live subscribers", "n_subscribers"),
}


def collect_gauges(node: Node) -> Iterable[Metric]:
    """Yield all gauges of a node. Thread rule: the event loop's thread."""
    indexes = list(node.indexes.values())
    stats = {index.name: index.stats() for index in indexes}
    for name, (text, attribute) in INDEX_GAUGES.items():
        family = GaugeMetricFamily(name, text, labels=("index",))
        for index, values in stats.items():
            family.add_metric((index,), getattr(values, attribute))
        yield family
    caught_up = "1: caught up with what the logs held at start"
    yield _gauge("tailrace_ready", caught_up, float(node.is_ready))
    waiting, refused = node.searches()
    yield _gauge("tailrace_waiting_searches", "reads that wait for a thread or have it", waiting)
    told = CounterMetricFamily("tailrace_refused_searches", "reads refused with 429")
    told.add_metric((), refused)
    yield told
    yield from _collect_disk(node)
    yield from _collect_shards(indexes)


def _gauge(name: str, text: str, value: float) -> Metric:
    gauge = GaugeMetricFamily(name, text)
    gauge.add_metric((), value)
    return gauge


def _collect_disk(node: Node) -> Iterable[Metric]:
    disk = node.disk
    states = "0: open, 1: no merges, 2: partitions paused, 3: read-only"
    yield _gauge("tailrace_disk_state", states, float(disk.state))
    yield _gauge("tailrace_disk_used_share", "share of the disk that is used", disk.used_share)
    text = "bytes that may still be written"
    yield _gauge("tailrace_disk_free_bytes", text, float(disk.free_bytes))
    full = CounterMetricFamily("tailrace_disk_full", "how often something found no room")
    full.add_metric((), disk.n_full)
    yield full


def _collect_shards(indexes: list[Index]) -> Iterable[Metric]:
    labels = ("index", "shard")
    searchable = GaugeMetricFamily("tailrace_searchable_offset", "the watermark", labels=labels)
    durable = GaugeMetricFamily("tailrace_durable_offset", "the checkpoint", labels=labels)
    lag = GaugeMetricFamily("tailrace_lag_records", "records behind the log's end", labels=labels)
    failed = GaugeMetricFamily("tailrace_failed_shards", "shards that stopped", labels=("index",))
    halted = GaugeMetricFamily(
        "tailrace_halted_partition",
        "1: the log of this shard cannot be read on, an operator has to act",
        labels=(*labels, "reason"),
    )
    skipped = GaugeMetricFamily(
        "tailrace_data_gap_offsets",
        "offsets that the log lost before they were read",
        labels=labels,
    )
    again = CounterMetricFamily(
        "tailrace_duplicate_records", "records delivered again and dropped", labels=labels
    )
    gaps = CounterMetricFamily(
        "tailrace_offset_gaps", "holes in the log, as compaction makes them", labels=labels
    )
    for index in indexes:
        shards = list(index.shards.values())
        n_failed = sum(shard.state is ShardState.FAILED for shard in shards)
        failed.add_metric((index.name,), n_failed)
        for shard in shards:
            names = (index.name, str(shard.number))
            searchable.add_metric(names, shard.watermark.next_offset)
            if not shard.is_open:
                continue
            durable.add_metric(names, max(shard.engine.durable_offset, 0))
            again.add_metric(names, shard.n_duplicates)
            gaps.add_metric(names, shard.n_gaps)
            if shard.halted is not None:
                halted.add_metric((*names, type(shard.halted).__name__), 1)
            if lost := sum(gap.end - gap.first for gap in shard.engine.gaps):
                skipped.add_metric(names, lost)
        for number, n_records in index.lag().items():
            lag.add_metric((index.name, str(number)), n_records)
    yield from (searchable, durable, lag, failed, halted, skipped, again, gaps)
