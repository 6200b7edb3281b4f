from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import CorruptRecordException

from consumers import codecs
from consumers.source import DataGapError, PoisonError, ReplacedError
from index.errors import CorruptionError
from tests.consumers.sinks import FailingSink, FencedSink, RecordingSink, wait_for
from tests.consumers.test_kafka import running, values
from tests.kafka.brokers import ApacheKafka, Kafka, MockKafka, produce


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_bomb_halts_its_partition_at_its_offset_and_no_other(
    kafka: Kafka, codec: str
) -> None:
    topic = await kafka.create_topic(2)
    await produce(kafka, topic, values(40), partition=0)
    await produce(kafka, topic, [b"\0" * 500_000], partition=0, compression_type=codec)
    await produce(kafka, topic, values(40), partition=0)
    for start in range(0, 200, 50):
        await produce(kafka, topic, values(50, start), partition=1)
    sink = RecordingSink()
    options = replace(kafka.options, max_inflated_bytes=100_000)
    async with running(kafka, topic, sink, options) as source:
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 200)
        await produce(kafka, topic, values(5, 200), partition=1)
        await sink.wait_until(lambda: len(sink.records[1]) == 205)
        assert source.n_sessions == 1
    error = sink.errors[0]
    assert isinstance(error, PoisonError)
    assert error.offset == error.first == 40
    assert "inflates to more than 100000 bytes" in str(error)
    assert [r.value for r in sink.records[0]] == values(40)
    assert [r.value for r in sink.records[1]] == values(205)


async def test_bits_flipped_on_the_brokers_disk_halt_the_partition_and_no_other(
    apache_kafka: ApacheKafka,
) -> None:
    topic = await apache_kafka.create_topic(2)
    await produce(apache_kafka, topic, values(20), partition=0)
    await produce(apache_kafka, topic, [b"to be damaged"], partition=0)
    await produce(apache_kafka, topic, values(20), partition=0)
    await produce(apache_kafka, topic, values(20), partition=1)
    file = apache_kafka.log_file(topic)
    data = bytearray(file.read_bytes())
    data[data.index(b"to be damaged")] ^= 1
    file.write_bytes(data)
    sink = RecordingSink()
    async with running(apache_kafka, topic, sink):
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 20)
        await produce(apache_kafka, topic, values(5, 20), partition=1)
        await sink.wait_until(lambda: len(sink.records[1]) == 25)
    error = sink.errors[0]
    assert isinstance(error, PoisonError)
    assert error.offset == 20
    assert "CorruptRecord" in str(error)
    assert [r.value for r in sink.records[0]] == values(20)
    # What an operator may do: move the log's start behind it, and accept the loss.
    await apache_kafka.delete_records(topic, 0, 21)
    again = RecordingSink({0: 20, 1: 25})
    skipping = replace(apache_kafka.options, on_data_gap="skip")
    async with running(apache_kafka, topic, again, skipping):
        await again.wait_count(20)
    assert again.skipped == [(0, 20, 21)]
    assert again.values == values(20)


async def test_a_record_larger_than_a_fetch_is_read(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic(2, **{"max.message.bytes": str(20 << 20)})
    large = bytes(range(256)) * (10 << 12)
    await produce(apache_kafka, topic, [b"before", large, b"after"], max_request_size=20 << 20)
    await produce(apache_kafka, topic, values(5), partition=1)
    sink = RecordingSink()
    async with running(apache_kafka, topic, sink):
        await sink.wait_count(8)
    assert [r.value for r in sink.records[0]] == [b"before", large, b"after"]


async def test_what_compaction_took_is_a_hole_and_no_gap(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic(
        **{"cleanup.policy": "compact", "segment.ms": "50", "min.cleanable.dirty.ratio": "0.01"}
    )
    for _ in range(3):
        await produce(apache_kafka, topic, values(20))
        await asyncio.sleep(0.06)  # the broker's clock: the next write begins a segment
    await produce(apache_kafka, topic, [b"last"], key=b"another")
    sink = RecordingSink()
    async with asyncio.timeout(30):
        while len(await _read_all(apache_kafka, topic)) > 30:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.1)
    async with running(apache_kafka, topic, sink) as source:
        await sink.wait_until(lambda: sink.stored.get(0) == 61)
        assert source.counts.holes > 0
    assert not sink.errors
    assert sink.values[-2:] == [b"19", b"last"]


async def _read_all(kafka: Kafka, topic: str) -> list[bytes | None]:
    sink = RecordingSink()
    async with running(kafka, topic, sink, group=f"look-{topic}"):
        await sink.wait_until(lambda: sink.stored.get(0) == 61)
    return sink.values


async def test_a_shard_that_cannot_flush_as_it_closes_does_not_end_the_source(
    kafka: Kafka,
) -> None:
    topic = await kafka.create_topic(2)
    await produce(kafka, topic, values(1), partition=1)
    sink = FailingSink("close_partition")
    async with running(kafka, topic, sink) as source:
        await sink.wait_count(1)
        session = source._session
        assert session is not None
        await session._close_shards()
        assert not sink.open


async def test_a_batch_that_is_bad_once_costs_nothing(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_calls = 0

    def flaky(payload: bytes) -> bytes:
        nonlocal n_calls
        n_calls += 1
        if n_calls in (2, 5, 6):
            raise zlib.error("bits flipped on the way")
        return codecs.decode_gzip(payload)

    topic = await kafka.create_topic(3)
    for partition in range(3):
        for start in range(0, 100, 20):
            await produce(
                kafka, topic, values(20, start), partition=partition, compression_type="gzip"
            )
    monkeypatch.setitem(codecs.DECODERS, "gzip_decode", flaky)
    sink = RecordingSink()
    async with running(kafka, topic, sink):
        await sink.wait_count(300)
    monkeypatch.undo()
    assert n_calls > 6
    assert not sink.errors
    for partition in range(3):
        assert [r.value for r in sink.records[partition]] == values(100)


async def test_whatever_getmany_raises_no_record_is_lost(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    getmany = AIOKafkaConsumer.getmany
    n_calls = 0

    async def failing(self: AIOKafkaConsumer, *tps: Any, **options: Any) -> Any:
        nonlocal n_calls
        got = await getmany(self, *tps, **options)
        n_calls += bool(got)
        # aiokafka's position has moved, and the caller never sees the records
        if got and n_calls in (2, 3, 40, 41, 1800):
            raise CorruptRecordException("bad") if n_calls % 2 else ValueError("bad")
        return got

    topic = await kafka.create_topic(2)
    await produce(kafka, topic, values(1000), partition=0)
    await produce(kafka, topic, values(1000), partition=1)
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", failing)
    sink = RecordingSink()
    async with running(kafka, topic, sink, replace(kafka.options, max_poll_records=100)) as source:
        await sink.wait_count(2000)
        assert source.counts.errors > 2
    assert [r.value for r in sink.records[0]] == values(1000)
    assert [r.value for r in sink.records[1]] == values(1000)


async def test_a_silent_consumer_is_replaced(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    getmany = AIOKafkaConsumer.getmany
    deaf: list[AIOKafkaConsumer] = []

    async def silent(self: AIOKafkaConsumer, *tps: Any, **options: Any) -> Any:
        if not deaf:
            deaf.append(self)
        if self is deaf[0]:
            await asyncio.sleep(0.05)
            return {}
        return await getmany(self, *tps, **options)

    topic = await kafka.create_topic()
    await produce(kafka, topic, values(10))
    monkeypatch.setattr(AIOKafkaConsumer, "getmany", silent)
    sink = RecordingSink()
    options = replace(kafka.options, stall_s=0.5)
    async with running(kafka, topic, sink, options) as source:
        await sink.wait_count(10)
        assert source.n_sessions == 2
        assert source.last_error is not None
        assert "no records for 0.5 s" in source.last_error
    assert [name for name, _ in sink.calls if name != "deliver"] == [
        "open", "close", "open", "close",
    ]  # fmt: skip


async def test_a_broker_that_comes_back_is_read_on_from(mock_kafka: MockKafka) -> None:
    topic = await mock_kafka.create_topic(2)
    await produce(mock_kafka, topic, values(10))
    sink = RecordingSink()
    async with running(mock_kafka, topic, sink):
        await sink.wait_count(10)
        mock_kafka.broker.set_down()
        await asyncio.sleep(1)
        mock_kafka.broker.set_up()
        await produce(mock_kafka, topic, values(10, 10))
        await sink.wait_count(20)
    assert [r.value for r in sink.records[0]] == values(20)


async def test_a_broker_that_is_not_there_yet_is_waited_for(mock_kafka: MockKafka) -> None:
    topic = await mock_kafka.create_topic()
    await produce(mock_kafka, topic, values(3))
    mock_kafka.broker.set_down()
    sink = RecordingSink()
    async with running(mock_kafka, topic, sink) as source:
        await wait_for(lambda: source.n_sessions > 1)
        assert source.last_error is not None
        mock_kafka.broker.set_up()
        await sink.wait_count(3)


async def test_errors_of_single_requests_are_got_over(mock_kafka: MockKafka) -> None:
    fetch, join, heartbeat, sync = 1, 11, 12, 14
    leader_gone, no_coordinator, rebalancing, drop_connection = 6, 16, 27, -195
    topic = await mock_kafka.create_topic(2)
    mock_kafka.broker.push_errors(join, no_coordinator, rebalancing)
    mock_kafka.broker.push_errors(sync, rebalancing)
    mock_kafka.broker.push_errors(heartbeat, no_coordinator)
    mock_kafka.broker.push_errors(fetch, leader_gone, drop_connection, leader_gone)
    await produce(mock_kafka, topic, values(50))
    sink = RecordingSink()
    async with running(mock_kafka, topic, sink):
        await sink.wait_count(50)
    assert sink.values == values(50)


async def test_records_gone_before_the_start_are_told_as_a_gap(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic(2)
    for partition in range(2):
        await produce(apache_kafka, topic, values(20), partition=partition)
    await apache_kafka.delete_records(topic, 0, 15)
    sink = RecordingSink({0: 3})
    async with running(apache_kafka, topic, sink):
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 20)
    error = sink.errors[0]
    assert isinstance(error, DataGapError)
    assert (error.next_offset, error.log_start) == (3, 15)


async def test_an_empty_shard_begins_at_the_start_of_the_log(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, values(20))
    await apache_kafka.delete_records(topic, 0, 15)
    sink = RecordingSink()
    async with running(apache_kafka, topic, sink):
        await sink.wait_count(5)
    assert [r.offset for r in sink.records[0]] == list(range(15, 20))


async def test_a_gap_that_opens_while_paused_is_told(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, values(5))
    sink = RecordingSink()
    options = replace(apache_kafka.options, budget_bytes=10)
    async with running(apache_kafka, topic, sink, options):
        await sink.wait_count(5)
        sink.backlog = {0: 100}
        await asyncio.sleep(0.5)
        await produce(apache_kafka, topic, values(20, 5))
        await apache_kafka.delete_records(topic, 0, 15)
        sink.backlog = {}
        await sink.wait_until(lambda: 0 in sink.errors)
    assert isinstance(sink.errors[0], DataGapError)


async def test_aborted_transactions_are_unseen_and_their_offsets_passed(
    apache_kafka: ApacheKafka,
) -> None:
    topic = await apache_kafka.create_topic()
    producer = AIOKafkaProducer(
        bootstrap_servers=apache_kafka.bootstrap, transactional_id=f"tx-{topic}"
    )
    await producer.start()
    async with producer.transaction():
        await producer.send(topic, b"kept", partition=0)
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"dropped", partition=0)
    await producer.abort_transaction()
    await producer.stop()
    sink = RecordingSink()
    async with running(apache_kafka, topic, sink) as source:
        # kept, its marker, dropped, its marker
        await sink.wait_until(lambda: sink.stored.get(0) == 4)
        await wait_for(source.is_caught_up)
    assert sink.values == [b"kept"]


async def test_a_topic_made_later_is_found(kafka: Kafka) -> None:
    topic = f"{await kafka.create_topic()}-later"
    sink = RecordingSink()
    options = replace(kafka.options, metadata_max_age_ms=300)
    async with running(kafka, topic, sink, options):
        await produce(kafka, topic, values(3))
        await sink.wait_count(3)


async def test_a_shard_that_will_not_close_holds_nobody_up_for_long(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.kafka_session.CLOSE_SHARDS_S", 0.2)

    class Stuck(RecordingSink):
        async def close_partition(self, partition: int, flush: bool) -> None:
            await asyncio.Event().wait()

    topic = await kafka.create_topic()
    sink = Stuck()
    async with running(kafka, topic, sink):
        await sink.wait_until(lambda: len(sink.open) == 1)


async def test_a_revocation_waits_for_the_opening_before_it(kafka: Kafka) -> None:
    class Slow(RecordingSink):
        async def open_partition(self, partition: int) -> int | None:
            await asyncio.sleep(0.7)
            return await super().open_partition(partition)

    topic = await kafka.create_topic(2)
    for partition in range(2):
        await produce(kafka, topic, values(10), partition=partition)
    first, second = Slow(), RecordingSink()
    second.stored = first.stored
    async with (
        running(kafka, topic, first, group=topic),
        running(kafka, topic, second, group=topic),
    ):
        await wait_for(lambda: first.n_records + second.n_records >= 20)
        assert not first.open & second.open
    opened = [p for name, p in first.calls if name == "open"]
    closed = [p for name, p in first.calls if name == "close"]
    assert sorted(opened) == sorted(closed)


@pytest.mark.parametrize(("value", "is_same"), [(b"2", True), (b"another", False)])
async def test_another_record_below_the_checkpoint_is_another_topic(
    kafka: Kafka, value: bytes, is_same: bool
) -> None:
    topic = await kafka.create_topic()
    await produce(kafka, topic, values(5))
    before = RecordingSink()
    async with running(kafka, topic, before):
        await before.wait_count(5)
    sink = FencedSink(value, before.records[0][2].timestamp_ms)
    async with running(kafka, topic, sink):
        await sink.wait_until(lambda: bool(sink.errors) or sink.n_records == 2)
    assert isinstance(sink.errors.get(0), ReplacedError) is not is_same
    assert sink.n_records == (2 if is_same else 0)


@pytest.mark.parametrize("call", ["open_partition", "deliver"])
async def test_a_shard_that_fails_takes_no_other_along(kafka: Kafka, call: str) -> None:
    topic = await kafka.create_topic(2)
    for partition in range(2):
        await produce(kafka, topic, values(5), partition=partition)
    sink = FailingSink(call)
    async with running(kafka, topic, sink) as source:
        await sink.wait_until(lambda: len(sink.records.get(1, [])) == 5)
        await produce(kafka, topic, values(5, 5), partition=1)
        await sink.wait_until(lambda: len(sink.records[1]) == 10)
        assert source.n_sessions == 1
    assert 0 not in sink.records
    assert isinstance(sink.errors.get(0), CorruptionError) is (call == "open_partition")
