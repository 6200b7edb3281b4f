"""Traces over OTLP: one span per stage of a micro-batch, and the way of every sampled document.

This module alone imports OpenTelemetry, and is imported only where a collector is named. Spans
are made late, with explicit times, when a batch is searchable: a document that is not sampled
costs nothing. Thread rule: any thread.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from pipeline.decoding import SampledRecord

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from pipeline.applied import AppliedBatch

MAX_LINKS: Final = 128
"""The SDK keeps no more."""
MAX_DOCUMENT_TRACES: Final = 64
"""Per batch: a span costs 15 us, and the apply thread has documents to apply."""
QUEUE_SPANS: Final = 16_384
CLOSE_MS: Final = 2_000


class Tracing:
    def __init__(
        self, endpoint: str, sample_ratio: float, *, exporter: SpanExporter | None = None
    ) -> None:
        """Send spans to `endpoint` (as `OTEL_EXPORTER_OTLP_ENDPOINT`, without `/v1/traces`)."""
        if exporter is None:
            exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider = TracerProvider(resource=Resource.create({"service.name": "tailrace"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS))
        self._tracer = self._provider.get_tracer("tailrace")
        self._sample_ratio = sample_ratio

    def record_batch(self, done: AppliedBatch) -> None:
        """Make the spans of one batch, and of the sampled documents in it."""
        n_records = done.batch.n_records
        chosen = self._choose(done)
        if not done.sampled and not chosen:
            return
        parents = [s.traceparent for s in done.sampled[:MAX_LINKS] if s.traceparent is not None]
        batch = self._tracer.start_span(
            f"process {done.index}",
            kind=SpanKind.CONSUMER,
            links=[Link(_parent_context(traceparent)) for traceparent in parents],
            start_time=_ns(done.taken_s),
            attributes={
                "messaging.system": "tailrace",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": done.index,
                "messaging.destination.partition.id": str(done.shard),
                "messaging.batch.message_count": n_records,
                "tailrace.rejected": len(done.rejected),
            },
        )
        context = set_span_in_context(batch)
        self._span("decode", context, done.taken_s, done.decoded_s)
        self._span("apply", context, done.decoded_s, done.searchable_s)
        batch.end(_ns(done.searchable_s))
        for sampled in (done.sampled + chosen)[:MAX_DOCUMENT_TRACES]:
            self._record_document(done, sampled)

    def _choose(self, done: AppliedBatch) -> list[SampledRecord]:
        """Pick some records that nobody traces yet, `sample_ratio` of them on average."""
        wanted = int(done.batch.n_records * self._sample_ratio + random.random())
        chosen = []
        for _ in range(min(wanted, MAX_DOCUMENT_TRACES)):
            arrival = random.choice(done.batch.arrivals)
            record = random.choice(arrival.records)
            if not record.headers:
                chosen.append(SampledRecord(record, None, arrival.consumed_s))
        return chosen

    def _record_document(self, done: AppliedBatch, sampled: SampledRecord) -> None:
        """Make the document's chain: buffered, decoded, indexed; it ends where it is searchable."""
        record = sampled.record
        parent = None
        if sampled.traceparent is not None:
            parent = set_span_in_context(NonRecordingSpan(_parent_context(sampled.traceparent)))
        span = self._tracer.start_span(
            f"ingest {done.index}",
            context=parent,
            kind=SpanKind.CONSUMER,
            start_time=_ns(sampled.consumed_s),
            attributes={
                "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                "messaging.kafka.message.key": (record.key or b"").decode(errors="replace"),
                "messaging.kafka.message.tombstone": record.value is None,
                "tailrace.produced_ms": record.timestamp_ms,
            },
        )
        context = set_span_in_context(span)
        self._span("buffered", context, sampled.consumed_s, done.taken_s)
        self._span("decoded", context, done.taken_s, done.decoded_s)
        self._span("indexed", context, done.decoded_s, done.searchable_s)
        span.end(_ns(done.searchable_s))

    def record_job(
        self, index: str, shard: int, kind: str, started_s: float, ended_s: float
    ) -> None:
        """Make the span of a flush or merge."""
        attributes: dict[str, AttributeValue] = {"tailrace.index": index, "tailrace.shard": shard}
        span = self._tracer.start_span(kind, start_time=_ns(started_s), attributes=attributes)
        span.end(_ns(ended_s))

    def _span(self, name: str, context: Context, started_s: float, ended_s: float) -> None:
        self._tracer.start_span(name, context=context, start_time=_ns(started_s)).end(_ns(ended_s))

    def close(self) -> None:
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()


def _parent_context(traceparent: bytes) -> SpanContext:
    return SpanContext(
        trace_id=int(traceparent[3:35], 16),
        span_id=int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:55], 16)),
    )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
