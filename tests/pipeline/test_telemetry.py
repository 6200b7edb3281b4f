from __future__ import annotations

import re

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from index.document import Outcome
from index.engine import Applied
from index.options import IndexOptions
from pipeline.applied import AppliedBatch, Visible
from pipeline.batcher import Arrival, Batch
from pipeline.decoding import decode_batch
from pipeline.events import Headers, Record, Rejected
from pipeline.options import PipelineOptions
from pipeline.telemetry import Telemetry
from pipeline.tracing import Tracing

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()


def applied_batch(produced_ms: list[int], headers: Headers = ()) -> AppliedBatch:
    """Records consumed at 100 s, taken at 100.002, decoded at .003, searchable at .004."""
    records = [
        Record("docs", 0, n, timestamp, b"k%d" % n, b"{}", headers)
        for n, timestamp in enumerate(produced_ms)
    ]
    batch = Batch(len(records), [Arrival(records, 500, 100.0)], len(records), 500)
    return AppliedBatch(
        index="docs",
        shard=0,
        batch=batch,
        decoded=decode_batch(batch, IndexOptions()),
        applied=Applied([Outcome.CREATED] * len(records), [0] * len(records), [], list),
        visible=Visible((), len(records)),
        taken_s=100.002,
        decoded_s=100.003,
        searchable_s=100.004,
    )


def series(telemetry: Telemetry, pattern: str) -> list[str]:
    lines = telemetry.exposition().decode().splitlines()
    return [line for line in lines if re.search(pattern, line)]


def value(telemetry: Telemetry, start: str) -> float:
    [line] = [s for s in telemetry.exposition().decode().splitlines() if s.startswith(start)]
    return float(line.removeprefix(start).split("#")[0])


def test_freshness_is_measured_from_production_and_from_consumption() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([99_990, 99_000]))
    name = "tailrace_ingest_to_searchable_seconds"
    assert value(telemetry, f'{name}_count{{index="docs",since="produced"}} ') == 2
    assert value(telemetry, f'{name}_sum{{index="docs",since="produced"}} ') == pytest.approx(1.018)
    assert value(telemetry, f'{name}_bucket{{index="docs",le="0.015",since="produced"}} ') == 1
    assert value(telemetry, f'{name}_bucket{{index="docs",le="0.005",since="consumed"}} ') == 2


def test_a_record_without_timestamp_counts_from_consumption_alone() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([-1]))
    assert series(telemetry, 'since="produced"') == []
    assert series(telemetry, 'since="consumed"') != []


def test_a_clock_that_is_ahead_counts_as_zero() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([200_000]))
    name = "tailrace_ingest_to_searchable_seconds"
    assert value(telemetry, f'{name}_bucket{{index="docs",le="0.001",since="produced"}} ') == 1


def test_a_sampled_record_leaves_its_trace_id_as_exemplar() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([99_990], (("traceparent", SAMPLED),)))
    assert len(series(telemetry, f'trace_id="{TRACE_ID}"')) == 2


def test_a_record_that_is_not_sampled_leaves_none() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([99_990], (("traceparent", SAMPLED[:-1] + b"0"),)))
    assert series(telemetry, "trace_id") == []


def test_bad_traceparents_are_counted() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([0, 0], (("traceparent", b"x"),)))
    assert value(telemetry, 'tailrace_bad_traceparents_total{index="docs"} ') == 2


def test_events_are_counted_by_what_became_of_them() -> None:
    telemetry = Telemetry()
    done = applied_batch([0, 0, 0])
    done.applied.outcomes[2] = Outcome.CONFLICT
    done.rejected.append(Rejected(done.decoded.records[0], "mapper_parsing_exception", "no"))
    telemetry.observe_batch(done)
    assert value(telemetry, 'tailrace_events_total{index="docs",outcome="created"} ') == 2
    assert value(telemetry, 'tailrace_events_total{index="docs",outcome="conflict"} ') == 1
    [line] = series(telemetry, "tailrace_dead_letters_total")
    assert line.endswith('type="mapper_parsing_exception"} 1.0')


def test_a_deleted_index_leaves_no_freshness_behind() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([0]))
    telemetry.forget("docs")
    assert series(telemetry, 'seconds_count{index="docs",since') == []


def test_an_empty_batch_counts_as_a_batch() -> None:
    telemetry = Telemetry()
    telemetry.observe_batch(applied_batch([]))
    assert value(telemetry, 'tailrace_batches_total{index="docs"} ') == 1


def test_tracing_is_off_unless_a_collector_is_named() -> None:
    assert Telemetry().tracing is None
    on = Telemetry(PipelineOptions(otlp_endpoint="http://127.0.0.1:9"))
    assert on.tracing is not None


class Traces:
    def __init__(self, sample_ratio: float = 0.0) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = Tracing("", sample_ratio, exporter=self.exporter)

    def of(self, done: AppliedBatch) -> dict[str, object]:
        self.tracing.record_batch(done)
        self.tracing.close()
        return {span.name: span for span in self.exporter.get_finished_spans()}


def test_a_batch_has_a_span_with_its_stages_and_links_to_sampled_records() -> None:
    spans = Traces().of(applied_batch([0, 0], (("traceparent", SAMPLED),)))
    batch = spans["process docs"]
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [TRACE_ID] * 2
    assert spans["decode"].parent.span_id == batch.context.span_id
    assert spans["apply"].start_time == int(100.003 * 1e9)
    assert batch.attributes["messaging.batch.message_count"] == 2


def test_a_sampled_document_has_its_way_as_child_of_the_producers_span() -> None:
    spans = Traces().of(applied_batch([0], (("traceparent", SAMPLED),)))
    way = spans["ingest docs"]
    assert f"{way.context.trace_id:032x}" == TRACE_ID
    assert f"{way.parent.span_id:016x}" == "b7ad6b7169203331"
    for stage in ("buffered", "decoded", "indexed"):
        assert spans[stage].parent.span_id == way.context.span_id
    assert (way.start_time, way.end_time) == (int(100.0 * 1e9), int(100.004 * 1e9))


def test_documents_that_nobody_samples_make_no_spans() -> None:
    assert Traces().of(applied_batch([0, 0])) == {}


def test_the_sample_ratio_begins_traces_of_our_own() -> None:
    spans = Traces(sample_ratio=1.0).of(applied_batch([0]))
    assert spans["ingest docs"].parent is None


def test_a_job_has_a_span() -> None:
    traces = Traces()
    traces.tracing.record_job("docs", 0, "flush", 1.0, 2.0)
    traces.tracing.close()
    [span] = traces.exporter.get_finished_spans()
    assert (span.name, span.attributes["tailrace.index"]) == ("flush", "docs")
