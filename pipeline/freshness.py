"""The histogram of freshness: how long from a record's production, and from its consumption,
until it was searchable. Filled per batch from numpy bucket counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from pipeline.applied import AppliedBatch

NAME: Final = "tailrace_ingest_to_searchable_seconds"
BUCKETS: Final = np.array(
    (
        *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
        *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0),
    )
)
PRODUCED: Final = "produced"
CONSUMED: Final = "consumed"

F64 = npt.NDArray[np.float64]


class _Series:
    def __init__(self) -> None:
        self.counts = np.zeros(len(BUCKETS) + 1, np.int64)
        self.total_s = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        """Bucket -> its last one."""


class FreshnessHistogram(Collector):
    """Labels: index, and `since` (produced | consumed). Thread rule: any thread."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}
        self._lock = threading.Lock()

    def observe(self, done: AppliedBatch) -> None:
        """Add every record of the batch, rejected ones too; with the trace id of sampled ones."""
        produced_ms: list[int] = []
        consumed: list[F64] = []
        for arrival in done.batch.arrivals:
            produced_ms += [record.timestamp_ms for record in arrival.records]
            consumed.append(np.full(len(arrival.records), arrival.consumed_s))
        if not produced_ms:
            return
        timestamps = np.array(produced_ms, np.float64)
        since_produced = done.searchable_s - timestamps[timestamps > 0] / 1000.0
        with self._lock:
            self._add(done.index, PRODUCED, since_produced)
            self._add(done.index, CONSUMED, done.searchable_s - np.concatenate(consumed))
            for record, traceparent, consumed_s in done.sampled:
                if traceparent is None:
                    continue
                trace_id = traceparent[3:35].decode()
                seconds = done.searchable_s - consumed_s
                self._add_exemplar(done, CONSUMED, seconds, trace_id)
                if record.timestamp_ms > 0:
                    seconds = done.searchable_s - record.timestamp_ms / 1000.0
                    self._add_exemplar(done, PRODUCED, seconds, trace_id)

    def forget(self, index: str) -> None:
        with self._lock:
            self._series.pop((index, PRODUCED), None)
            self._series.pop((index, CONSUMED), None)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(
            NAME,
            "from a record's timestamp, or from its consumption, until it was searchable",
            labels=("index", "since"),
        )
        bounds = [*(f"{bound:g}" for bound in BUCKETS.tolist()), "+Inf"]
        with self._lock:
            for labels, series in self._series.items():
                cumulative = np.cumsum(series.counts).tolist()
                buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
                for number, (bound, count) in enumerate(zip(bounds, cumulative, strict=True)):
                    exemplar = series.exemplars.get(number)
                    buckets.append((bound, count, exemplar) if exemplar else (bound, count))
                family.add_metric(labels, buckets=buckets, sum_value=series.total_s)
        yield family

    def describe(self) -> Iterable[Metric]:
        yield HistogramMetricFamily(NAME, "")

    def _add(self, index: str, since: str, seconds: F64) -> None:
        if not len(seconds):
            return
        seconds = np.maximum(seconds, 0.0)  # clocks of other machines may be ahead of ours
        series = self._series.setdefault((index, since), _Series())
        places = np.searchsorted(BUCKETS, seconds, side="left")
        series.counts += np.bincount(places, minlength=len(BUCKETS) + 1)
        series.total_s += float(seconds.sum())

    def _add_exemplar(self, done: AppliedBatch, since: str, seconds: float, trace_id: str) -> None:
        seconds = max(seconds, 0.0)
        place = int(np.searchsorted(BUCKETS, seconds, side="left"))
        exemplar = Exemplar({"trace_id": trace_id}, seconds, done.searchable_s)
        self._series[done.index, since].exemplars[place] = exemplar
