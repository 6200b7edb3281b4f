"""Logs that do not go on where a shard stands: told, never jumped over."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from consumers.kafka_options import KafkaOptions
from consumers.source import DataGapError, ReplacedError, TopicReplacedError, TruncatedError
from tests.consumers.sinks import NamedSink, RecordingSink, wait_for
from tests.consumers.test_kafka import running, values
from tests.kafka.brokers import ApacheKafka, Kafka, produce


def skipping(options: KafkaOptions) -> KafkaOptions:
    return replace(options, on_data_gap="skip")


async def test_the_id_of_a_topic_is_noted(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    await produce(kafka, topic, values(3))
    sink = NamedSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(3)
    assert sink.topic_ids[0] == sink.topic_ids[1] != ""
    again = NamedSink(sink.stored, sink.topic_ids[0])
    async with running(kafka, topic, again):
        await produce(kafka, topic, values(3))
        await again.wait_count(3)


async def test_another_id_is_another_topic(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    await produce(kafka, topic, values(5))
    sink = NamedSink({0: 3}, "c0ffee")
    async with running(kafka, topic, sink):
        await sink.wait_until(lambda: 0 in sink.errors)
    error = sink.errors[0]
    assert isinstance(error, TopicReplacedError)
    assert error.seen == "c0ffee"
    assert sink.n_records == 0


async def test_a_broker_that_tells_no_ids_is_read_as_before(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await kafka.create_topic()
    await produce(kafka, topic, values(5))
    monkeypatch.setattr("consumers.topic_ids._Request._CLASSES", ())
    sink = NamedSink({0: 3}, "c0ffee")
    async with running(kafka, topic, sink):
        await sink.wait_count(2)
    assert sink.topic_ids == {0: "c0ffee"}


async def test_a_topic_made_anew_is_told(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, values(5))
    sink = NamedSink()
    async with running(apache_kafka, topic, sink):
        await sink.wait_count(5)
    await apache_kafka.delete_topic(topic)
    await apache_kafka.make_topic(topic)
    await produce(apache_kafka, topic, values(9))
    again = NamedSink(sink.stored, sink.topic_ids[0])
    async with running(apache_kafka, topic, again):
        await again.wait_until(lambda: 0 in again.errors)
    assert isinstance(again.errors[0], TopicReplacedError)
    assert again.n_records == 0


async def test_a_topic_made_anew_meanwhile_is_told(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, values(5))
    sink = NamedSink()
    options = replace(apache_kafka.options, metadata_max_age_ms=300)
    async with running(apache_kafka, topic, sink, options):
        await sink.wait_count(5)
        await apache_kafka.delete_topic(topic)
        # The broker makes it anew by itself: the consumer asks for it.
        await sink.wait_until(lambda: 0 in sink.errors)
        await produce(apache_kafka, topic, values(9))
        await asyncio.sleep(0.3)
    assert isinstance(sink.errors[0], ReplacedError | TruncatedError)
    assert sink.n_records == 5


async def test_a_gap_is_skipped_where_that_was_chosen(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic(2)
    for partition in range(2):
        await produce(apache_kafka, topic, values(20), partition=partition)
    await apache_kafka.delete_records(topic, 0, 15)
    sink = RecordingSink({0: 3})
    async with running(apache_kafka, topic, sink, skipping(apache_kafka.options)) as source:
        await sink.wait_count(25)
        assert source.counts.gaps_skipped == 1
    assert sink.skipped == [(0, 3, 15)]
    assert not sink.errors
    assert [r.offset for r in sink.records[0]] == list(range(15, 20))


@pytest.mark.parametrize("on_data_gap", ["stop", "skip"])
async def test_a_gap_that_opens_while_running_is_told(
    apache_kafka: ApacheKafka, on_data_gap: str
) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, values(5))
    sink = RecordingSink()
    options = replace(apache_kafka.options, budget_bytes=10, on_data_gap=on_data_gap)
    async with running(apache_kafka, topic, sink, options):
        await sink.wait_count(5)
        sink.backlog = {0: 100}
        await wait_paused(sink)
        await produce(apache_kafka, topic, values(20, 5))
        await apache_kafka.delete_records(topic, 0, 15)
        sink.backlog = {}
        if on_data_gap == "stop":
            await sink.wait_until(lambda: 0 in sink.errors)
            assert isinstance(sink.errors[0], DataGapError)
            assert (sink.errors[0].first, sink.errors[0].end) == (5, 15)
        else:
            await sink.wait_count(15)
            assert sink.skipped == [(0, 5, 15)]
            assert [r.offset for r in sink.records[0]][5:] == list(range(15, 25))


async def wait_paused(sink: RecordingSink) -> None:
    """Wait until the source has asked for the backlog often enough to have paused."""
    n_calls = 0

    def count(partition: int) -> int:
        nonlocal n_calls
        n_calls += 1
        return sink.backlog.get(partition, 0)

    sink.backlog_bytes = count  # type: ignore[method-assign]
    await wait_for(lambda: n_calls > 3)


@pytest.mark.parametrize("on_data_gap", ["stop", "skip"])
async def test_a_log_that_was_cut_is_never_skipped(kafka: Kafka, on_data_gap: str) -> None:
    topic = await kafka.create_topic(2)
    for partition in range(2):
        await produce(kafka, topic, values(5), partition=partition)
    sink = RecordingSink({0: 99})
    options = replace(kafka.options, on_data_gap=on_data_gap)
    async with running(kafka, topic, sink, options):
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 5)
    error = sink.errors[0]
    assert isinstance(error, TruncatedError)
    assert (error.first, error.end) == (5, 99)
