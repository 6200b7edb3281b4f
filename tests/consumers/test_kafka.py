from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from consumers.kafka import KafkaOptions, KafkaSource
from tests.consumers.sinks import RecordingSink, wait_for
from tests.kafka.brokers import Kafka, produce

GROUP = "tests"


def values(n: int, start: int = 0) -> list[bytes | None]:
    return [b"%d" % i for i in range(start, start + n)]


@asynccontextmanager
async def running(
    kafka: Kafka,
    topic: str,
    sink: RecordingSink,
    options: KafkaOptions | None = None,
    group: str | None = None,
) -> AsyncIterator[KafkaSource]:
    source = KafkaSource(
        kafka.bootstrap, [topic], group or f"{GROUP}-{topic}", options=options or kafka.options
    )
    task = asyncio.create_task(source.run(sink))
    try:
        yield source
        assert not task.done(), task.result()
    finally:
        async with asyncio.timeout(15):
            await source.stop()
            await task


async def test_every_record_arrives_once_and_in_order(kafka: Kafka) -> None:
    topic = await kafka.create_topic(3)
    for partition in range(3):
        await produce(kafka, topic, values(500), partition=partition)
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(1500)
    for partition in range(3):
        records = sink.records[partition]
        assert [r.offset for r in records] == list(range(500))
        assert [r.value for r in records] == values(500)
        assert {(r.topic, r.partition, r.key) for r in records} == {(topic, partition, b"k")}
    assert not sink.open


async def test_null_values_headers_and_timestamps_come_through(kafka: Kafka) -> None:
    from aiokafka import AIOKafkaProducer

    topic = await kafka.create_topic()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
    await producer.start()
    await producer.send_and_wait(
        topic, None, b"id", timestamp_ms=1_700_000_000_123, headers=[("op", b"delete")]
    )
    await producer.stop()
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(1)
    (record,) = sink.records[0]
    assert (record.key, record.value) == (b"id", None)
    assert record.headers == (("op", b"delete"),)
    assert record.timestamp_ms == 1_700_000_000_123


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_compressed_records_are_read(kafka: Kafka, compression: str) -> None:
    topic = await kafka.create_topic()
    sent = [b"some words that repeat " * 20 + b"%d" % i for i in range(200)]
    await produce(kafka, topic, [*sent], compression_type=compression)
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(200)
    assert sink.values == sent


async def test_the_shards_offset_wins_over_the_groups(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    await produce(kafka, topic, values(30))
    first = RecordingSink()
    async with running(kafka, topic, first) as source:
        await first.wait_count(30)
        source.commit_hint(0, 30)
    second = RecordingSink({0: 12})
    async with running(kafka, topic, second):
        await second.wait_count(18)
    assert [r.offset for r in second.records[0]] == list(range(12, 30))


async def test_records_produced_while_running_arrive(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    sink = RecordingSink()
    async with running(kafka, topic, sink) as source:
        await sink.wait_until(lambda: len(sink.open) == 2)
        for i in range(5):
            await produce(kafka, topic, values(10, 10 * i), partition=i % 2)
            await sink.wait_count(10 * (i + 1))
        await wait_for(source.is_caught_up)
    assert sink.n_records == 50


async def test_durable_offsets_are_told_to_the_broker(kafka: Kafka) -> None:
    from aiokafka import AIOKafkaConsumer, TopicPartition

    topic = await kafka.create_topic()
    await produce(kafka, topic, values(10))
    sink = RecordingSink()
    async with running(kafka, topic, sink) as source:
        await sink.wait_count(10)
        source.commit_hint(0, 7)
    reader = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=f"{GROUP}-{topic}", enable_auto_commit=False
    )
    await reader.start()
    try:
        assert await reader.committed(TopicPartition(topic, 0)) == 7
    finally:
        await reader.stop()


async def test_a_full_sink_pauses_its_partition_and_no_other(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    options = replace(kafka.options, budget_bytes=1000)
    sink = RecordingSink()
    sink.backlog = {0: 5000}
    async with running(kafka, topic, sink, options):
        await sink.wait_until(lambda: len(sink.open) == 2)
        await produce(kafka, topic, values(10), partition=0)
        await produce(kafka, topic, values(10), partition=1)
        await sink.wait_count(10)
        assert 0 not in sink.records
        sink.backlog = {}
        await sink.wait_count(20)
    assert [r.offset for r in sink.records[0]] == list(range(10))


async def test_an_error_of_the_sink_ends_the_run(kafka: Kafka) -> None:
    class Broken(RecordingSink):
        async def deliver(self, *args: Any) -> None:
            raise ValueError("the shelf is full")

    topic = await kafka.create_topic()
    await produce(kafka, topic, values(1))
    sink = Broken()
    source = KafkaSource(kafka.bootstrap, [topic], "g", options=kafka.options)
    with pytest.raises(ValueError, match="shelf"):
        async with asyncio.timeout(20):
            await source.run(sink)
    assert not sink.open


async def test_an_error_while_opening_a_shard_ends_the_run(kafka: Kafka) -> None:
    class Broken(RecordingSink):
        async def open_partition(self, partition: int) -> int | None:
            raise OSError("no such disk")

    topic = await kafka.create_topic()
    source = KafkaSource(kafka.bootstrap, [topic], "g", options=kafka.options)
    with pytest.raises(OSError, match="no such disk"):
        async with asyncio.timeout(20):
            await source.run(Broken())


async def test_two_members_share_the_partitions_and_hand_them_over(kafka: Kafka) -> None:
    topic = await kafka.create_topic(4)
    first, second = RecordingSink(), RecordingSink()
    # Both sinks stand on one store, as two nodes do on shared storage.
    second.stored = first.stored
    async with running(kafka, topic, first, group=topic):
        await first.wait_until(lambda: len(first.open) == 4)
        await _produce_all(kafka, topic, 0)
        await first.wait_count(100)
        async with running(kafka, topic, second, group=topic):
            await second.wait_until(lambda: len(second.open) == 2)
            await first.wait_until(lambda: len(first.open) == 2)
            assert not first.open & second.open
            await _produce_all(kafka, topic, 100)
            await wait_for(lambda: first.n_records + second.n_records >= 200)
        await first.wait_until(lambda: len(first.open) == 4)
        await _produce_all(kafka, topic, 200)
        await wait_for(lambda: first.n_records + second.n_records >= 300)
    for partition in range(4):
        both = first.records.get(partition, []) + second.records.get(partition, [])
        assert sorted(r.offset for r in both) == list(range(75))


async def _produce_all(kafka: Kafka, topic: str, start: int) -> None:
    for partition in range(4):
        await produce(kafka, topic, values(25, start), partition=partition)


async def test_several_topics_feed_shards_of_their_own(kafka: Kafka) -> None:
    topics = [await kafka.create_topic(2), await kafka.create_topic(1)]
    await produce(kafka, topics[0], values(3), partition=1)
    await produce(kafka, topics[1], values(4))
    sink = RecordingSink()
    source = KafkaSource(kafka.bootstrap, topics, "several", options=kafka.options)
    task = asyncio.create_task(source.run(sink))
    await sink.wait_count(7)
    await source.stop()
    await task
    assert (
        sorted(sink.records)
        == [1, 65_536]
        == sorted({source.shard_no(topics[0], 1), source.shard_no(topics[1], 0)})
    )
    assert {r.topic for r in sink.records[65_536]} == {topics[1]}


async def test_the_default_options_join_without_delay(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    await produce(kafka, topic, values(3))
    sink = RecordingSink()
    async with running(kafka, topic, sink, KafkaOptions()):
        async with asyncio.timeout(10):
            await sink.wait_count(3)


async def test_stopping_before_anything_was_assigned_is_quick(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    async with asyncio.timeout(10):
        async with running(kafka, topic, RecordingSink()):
            await asyncio.sleep(0)


async def test_a_shard_ahead_of_the_log_is_told_and_others_go_on(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    await produce(kafka, topic, values(5), partition=0)
    await produce(kafka, topic, values(5), partition=1)
    sink = RecordingSink({0: 99})
    async with running(kafka, topic, sink):
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 5)
    assert "ends at offset 5" in str(sink.errors[0])
