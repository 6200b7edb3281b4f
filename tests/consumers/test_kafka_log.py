from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from consumers.kafka import KafkaLog
from consumers.partition import partition_of
from consumers.source import LogError, NewRecord
from index.errors import InvalidRequestError, OverloadError
from tests.consumers.sinks import RecordingSink
from tests.consumers.test_kafka import running
from tests.kafka.brokers import ApacheKafka, Kafka, MockKafka


async def test_appended_records_have_the_places_that_are_told(kafka: Kafka) -> None:
    topic = await kafka.create_topic(3)
    log = KafkaLog(kafka.bootstrap, topic)
    records = [NewRecord(b"key%d" % i, b"%d" % i, (("op", b"create"),)) for i in range(200)]
    places = await log.append(records)
    await log.close()
    assert [p for p, _ in places] == [partition_of(r.key or b"", 3) for r in records]
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(200)
    found = {(r.partition, r.offset): r for p in sink.records for r in sink.records[p]}
    for place, record in zip(places, records, strict=True):
        assert (found[place].key, found[place].value) == (record.key, record.value)
        assert found[place].headers == record.headers


async def test_deletes_and_empty_dead_letters_can_be_appended(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    log = KafkaLog(kafka.bootstrap, topic)
    await log.append([NewRecord(b"k", None), NewRecord(None, b"v"), NewRecord(None, None)])
    await log.close()
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(3)
    assert [(r.key, r.value) for r in sink.records[0]] == [(b"k", None), (None, b"v"), (None, b"")]


async def test_concurrent_appends_each_learn_their_own_places(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    log = KafkaLog(kafka.bootstrap, topic)
    await log.start()
    answers = await asyncio.gather(
        *[log.append([NewRecord(b"a", b"x"), NewRecord(b"b", b"y")]) for _ in range(50)]
    )
    await log.close()
    offsets = [offset for answer in answers for _, offset in answer]
    assert sorted(offsets) == list(range(100))


async def test_a_named_partition_must_exist(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    log = KafkaLog(kafka.bootstrap, topic)
    assert await log.append([NewRecord(b"k", b"v", (), 1)]) == [(1, 0)]
    with pytest.raises(InvalidRequestError, match="partition 2"):
        await log.append([NewRecord(b"k", b"v", (), 2)])
    await log.close()


async def test_a_topic_that_is_not_there_is_made(kafka: Kafka) -> None:
    topic = await kafka.create_topic() + ".dlq"
    log = KafkaLog(kafka.bootstrap, topic)
    assert await log.append([NewRecord(b"k", b"v", (), 0)]) == [(0, 0)]
    await log.close()


async def test_a_record_too_large_is_the_callers_fault(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    log = KafkaLog(kafka.bootstrap, topic, max_record_bytes=1000)
    with pytest.raises(InvalidRequestError, match="at most 1000"):
        await log.append([NewRecord(b"k", b"v" * 1000)])
    await log.close()


async def test_a_record_too_large_for_the_topic_is_the_callers_fault(
    apache_kafka: ApacheKafka,
) -> None:
    topic = await apache_kafka.create_topic(1, **{"max.message.bytes": "500"})
    log = KafkaLog(apache_kafka.bootstrap, topic)
    noise = Random(1).randbytes(900)
    with pytest.raises(InvalidRequestError, match="too large"):
        await log.append([NewRecord(b"k", noise)])
    assert await log.append([NewRecord(b"k", b"small")]) == [(0, 0)]
    await log.close()


async def test_too_much_in_flight_is_refused(kafka: Kafka) -> None:
    topic = await kafka.create_topic()
    log = KafkaLog(kafka.bootstrap, topic, max_pending_bytes=1000)
    first, second = await asyncio.gather(
        log.append([NewRecord(b"k", b"v" * 2000)]),
        log.append([NewRecord(b"k", b"v" * 2000)]),
        return_exceptions=True,
    )
    await log.close()
    assert {type(first), type(second)} == {list, OverloadError} or second == [(0, 1)]


async def test_a_closed_log_takes_nothing(kafka: Kafka) -> None:
    log = KafkaLog(kafka.bootstrap, await kafka.create_topic())
    await log.start()
    await log.close()
    with pytest.raises(LogError, match="closed"):
        await log.append([NewRecord(b"k", b"v")])


async def test_retries_of_the_producer_double_nothing(mock_kafka: MockKafka) -> None:
    topic = await mock_kafka.create_topic()
    log = KafkaLog(mock_kafka.bootstrap, topic)
    await log.append([NewRecord(b"k", b"0")])
    produce, leader_gone, drop_connection = 0, 6, -195
    mock_kafka.broker.push_errors(produce, leader_gone, drop_connection, leader_gone)
    assert await log.append([NewRecord(b"k", b"1")]) == [(0, 1)]
    await log.close()
    sink = RecordingSink()
    async with running(mock_kafka, topic, sink):
        await sink.wait_count(2)
    assert sink.values == [b"0", b"1"]


async def test_after_an_error_the_next_append_has_a_new_producer(mock_kafka: MockKafka) -> None:
    topic = await mock_kafka.create_topic()
    log = KafkaLog(mock_kafka.bootstrap, topic)
    await log.append([NewRecord(b"k", b"0")])
    produce, out_of_order = 0, 45
    mock_kafka.broker.push_errors(produce, out_of_order)
    with pytest.raises(LogError, match="did not take"):
        await log.append([NewRecord(b"k", b"1")])
    assert await log.append([NewRecord(b"k", b"2")]) == [(0, 1)]
    await log.close()


async def test_no_broker_is_an_error_that_says_so(mock_kafka: MockKafka) -> None:
    mock_kafka.broker.set_down()
    log = KafkaLog(mock_kafka.bootstrap, "t")
    with pytest.raises(LogError, match="cannot reach"):
        await log.append([NewRecord(b"k", b"v")])
    await log.close()


async def test_a_log_that_is_closed_while_it_connects_leaves_no_producer(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await kafka.create_topic()
    log = KafkaLog(kafka.bootstrap, topic)
    find_partitions = log._find_partitions

    async def close_first(*arguments: Any) -> set[int]:
        await log.close()
        return await find_partitions(*arguments)

    monkeypatch.setattr(log, "_find_partitions", close_first)
    with pytest.raises(LogError, match="closed"):
        await log.append([NewRecord(b"k", b"v")])
    assert log._producer is None
