"""What a node tells of itself: one table of metrics, and traces where a collector is named.

Metrics are counted per batch, never per document. Thread rule: any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from index.document import Outcome
from pipeline.budget import Budget
from pipeline.freshness import FreshnessHistogram
from pipeline.options import PipelineOptions

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pipeline.applied import AppliedBatch
    from pipeline.tracing import Tracing

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

BATCH_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
JOB_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

LOOP_BUCKETS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

# name -> (kind, help, labels); the gauges are in `node_metrics.py`, read when they are asked for
METRICS: Final = {
    "tailrace_events": (Counter, "events applied, by what became of them", ("index", "outcome")),
    "tailrace_dead_letters": (Counter, "records that became no document", ("index", "type")),
    "tailrace_consumed_bytes": (Counter, "bytes of records applied", ("index",)),
    "tailrace_batches": (Counter, "micro-batches applied", ("index",)),
    "tailrace_bad_traceparents": (Counter, "traceparent headers ignored", ("index",)),
    "tailrace_live_frames": (Counter, "hit and leave frames queued", ("index",)),
    "tailrace_live_gaps": (Counter, "gaps announced to slow or late subscribers", ("index",)),
    "tailrace_loop_stalls": (Counter, "times that the event loop was late, by why", ("cause",)),
}


class Telemetry:
    def __init__(self, options: PipelineOptions | None = None) -> None:
        options = options or PipelineOptions()
        self.registry = CollectorRegistry()
        self._counters = {
            name: kind(name, text, labels, registry=self.registry)
            for name, (kind, text, labels) in METRICS.items()
        }
        self._batch_seconds = Histogram(
            "tailrace_batch_seconds",
            "time of one stage of a micro-batch",
            ("index", "stage"),
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        self._job_seconds = Histogram(
            "tailrace_job_seconds",
            "time of a flush or merge",
            ("index", "kind"),
            buckets=JOB_BUCKETS,
            registry=self.registry,
        )
        self._loop_seconds = Histogram(
            "tailrace_loop_late_seconds",
            "how late the event loop comes to what is due",
            buckets=LOOP_BUCKETS,
            registry=self.registry,
        )
        for cause in ("work", "waiting"):
            self._count("tailrace_loop_stalls", 0, cause)
        self._freshness = FreshnessHistogram()
        self.registry.register(self._freshness)
        self._subscribers: dict[str, int] = {}
        self._budgets: dict[str, Budget] = {}
        self.register(self._collect_budgets)
        self.tracing: Tracing | None = None
        """None: off, nothing of OpenTelemetry is imported."""
        if options.otlp_endpoint:
            from pipeline.tracing import Tracing

            self.tracing = Tracing(options.otlp_endpoint, options.sample_ratio)

    def exposition(self) -> bytes:
        """Return all metrics as OpenMetrics text, of type `CONTENT_TYPE`."""
        text: bytes = generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text

    def watch(self, budget: Budget) -> None:
        """Show what a budget holds and what it refused; it replaces one of the same name."""
        self._budgets[budget.what] = budget

    def _collect_budgets(self) -> Iterable[Metric]:
        held = GaugeMetricFamily(
            "tailrace_in_flight_bytes", "bytes in memory for work under way", labels=("what",)
        )
        refused = CounterMetricFamily(
            "tailrace_refused", "what was refused with 429 for want of room", labels=("what",)
        )
        for what, budget in self._budgets.items():
            held.add_metric((what,), budget.n_bytes)
            refused.add_metric((what,), budget.n_refused)
        return (held, refused)

    def register(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Add gauges that are read whenever the metrics are asked for."""
        self.registry.register(_Gauges(collect))

    # --- batches and jobs --------------------------------------------------------------------
    def observe_batch(self, done: AppliedBatch) -> None:
        """Count one batch that has become searchable. Cost: about 50 us and 0.1 us a record."""
        index = done.index
        self._count("tailrace_batches", 1, index)
        self._count("tailrace_consumed_bytes", done.batch.n_bytes, index)
        self._count_outcomes(done)
        if done.decoded.n_bad_traceparents:
            self._count("tailrace_bad_traceparents", done.decoded.n_bad_traceparents, index)
        stage = self._batch_seconds.labels
        stage(index, "decode").observe(done.decoded_s - done.taken_s)
        stage(index, "apply").observe(done.searchable_s - done.decoded_s)
        self._freshness.observe(done)
        if self.tracing is not None:
            self.tracing.record_batch(done)

    def _count_outcomes(self, done: AppliedBatch) -> None:
        outcomes = np.array(done.applied.outcomes, np.int64)
        for number, count in enumerate(np.bincount(outcomes).tolist()):
            if count:
                self._count("tailrace_events", count, done.index, Outcome(number).name.lower())
        for rejected in done.rejected:
            self._count("tailrace_dead_letters", 1, done.index, rejected.type)

    def observe_job(
        self, index: str, shard: int, kind: str, *, started_s: float, ended_s: float
    ) -> None:
        """Count one flush or merge that is durable."""
        self._job_seconds.labels(index, kind).observe(ended_s - started_s)
        if self.tracing is not None:
            self.tracing.record_job(index, shard, kind, started_s, ended_s)

    # --- the event loop ------------------------------------------------------------------------
    def observe_loop(self, late_s: float) -> None:
        """Count one beat of the event loop that came so late."""
        self._loop_seconds.observe(late_s)

    def count_late_loop(self, cause: str) -> None:
        """`cause`: `work` of its own, or `waiting` for the processor or the interpreter."""
        self._count("tailrace_loop_stalls", 1, cause)

    # --- live ----------------------------------------------------------------------------------
    def count_frames(self, index: str, count: int) -> None:
        if count:
            self._count("tailrace_live_frames", count, index)

    def count_gap(self, index: str) -> None:
        self._count("tailrace_live_gaps", 1, index)

    def set_subscribers(self, index: str, count: int) -> None:
        self._subscribers[index] = count

    def subscribers(self) -> dict[str, int]:
        """Return how many live subscribers each index has."""
        return dict(self._subscribers)

    def _count(self, name: str, count: int, *labels: str) -> None:
        self._counters[name].labels(*labels).inc(count)

    def forget(self, index: str) -> None:
        """Drop the series of an index that is gone."""
        self._subscribers.pop(index, None)
        self._freshness.forget(index)

    def close(self) -> None:
        """Send what traces are left, within two seconds."""
        if self.tracing is not None:
            self.tracing.close()


class _Gauges(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must not read a node that is still being built
