"""`GET /_freshness`: how long documents have taken to become searchable just now.

The node's histogram only grows. Whoever asks twice sees the difference: percentiles and rate
since about `WINDOW_S` ago, or since the first question where that is later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from aiohttp import web

from pipeline.freshness import NAME
from pipeline.node import Node
from server.answers import json_answer
from server.parameters import Parameters
from server.routes import Route

WINDOW_S: Final = 10.0
MIN_AGE_S: Final = 0.2
"""Readings closer together than this are not kept: many pages may ask at once."""

Key = tuple[str, str]
"""(index, since what)."""
Counts = dict[Key, list[tuple[float, float]]]
"""Of each series: (upper bound in seconds, how many documents took at most so long)."""


class _Reading(NamedTuple):
    at: float
    counts: Counts


class FreshnessEndpoints:
    """Thread rule: the event loop's thread."""

    def __init__(self, node: Node, clock: Callable[[], float]) -> None:
        self._node = node
        self._clock = clock
        self._readings: deque[_Reading] = deque()

    def routes(self) -> list[Route]:
        return [Route("GET", "/_freshness", self._answer)]

    async def _answer(self, request: web.Request, parameters: Parameters) -> web.Response:
        now = _Reading(self._clock(), self._read())
        before = self._window_start(now)
        seconds = now.at - before.at
        indexes: dict[str, Any] = {}
        for (index, since), buckets in now.counts.items():
            old = before.counts.get((index, since), [])
            series = indexes.setdefault(index, {})
            series[since] = summarise(buckets, old, seconds)
        return json_answer(request, {"window_seconds": round(seconds, 3), "indexes": indexes})

    def _window_start(self, now: _Reading) -> _Reading:
        """Keep this reading, drop those that are too old, and return the oldest left."""
        readings = self._readings
        while len(readings) > 1 and readings[1].at <= now.at - WINDOW_S:
            readings.popleft()
        before = readings[0] if readings else now
        if not readings or now.at - readings[-1].at >= MIN_AGE_S:
            readings.append(now)
        return before

    def _read(self) -> Counts:
        counts: Counts = {}
        registry = self._node.telemetry.registry.restricted_registry([f"{NAME}_bucket"])
        for metric in registry.collect():
            for sample in metric.samples:
                key = (sample.labels["index"], sample.labels["since"])
                counts.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        return counts


def summarise(
    buckets: Sequence[tuple[float, float]], old: Sequence[tuple[float, float]], seconds: float
) -> dict[str, Any]:
    """Return rate and percentiles (milliseconds) of what came between two readings."""
    before = dict(old)
    since = [(bound, count - before.get(bound, 0.0)) for bound, count in buckets]
    n_docs = int(since[-1][1]) if since else 0
    return {
        "documents": n_docs,
        "total": int(buckets[-1][1]) if buckets else 0,
        "per_second": round(n_docs / seconds, 1) if seconds > 0 else 0.0,
        "p50_ms": percentile_ms(since, 0.50),
        "p95_ms": percentile_ms(since, 0.95),
        "p99_ms": percentile_ms(since, 0.99),
    }


def percentile_ms(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return the time that `share` of the documents stayed below, straight within a bucket.

    `buckets` are cumulative. None: there is no document. Past the last bound: that bound.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    wanted = share * total
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return round(low * 1000, 2)
            part = (wanted - below) / (count - below) if count > below else 1.0
            return round((low + (bound - low) * part) * 1000, 2)
        low, below = bound, count
    return round(low * 1000, 2)
