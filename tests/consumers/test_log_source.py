from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from consumers.log import EmbeddedLog, EmbeddedSource, LogOptions
from consumers.source import DataGapError, NewRecord, ReplacedError, TruncatedError
from index.errors import CorruptionError, ExhaustedError
from tests.consumers.sinks import FailingSink, FencedSink, RecordingSink, wait_for


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path, 2, topic="t", options=LogOptions(file_bytes=256))
    yield log
    await log.close()


class Running:
    """A source at work on a sink, ended by leaving the block."""

    def __init__(self, source: EmbeddedSource, sink: RecordingSink) -> None:
        self.source, self.sink = source, sink

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.source.run(self.sink))
        return self

    async def __aexit__(self, *exc: object) -> None:
        async with asyncio.timeout(5):
            await self.source.stop()
            await self.task


async def append(log: EmbeddedLog, n: int, partition: int = 0) -> None:
    for i in range(n):
        await log.append([NewRecord(b"k", b"%d" % i, (), partition)])


async def test_records_arrive_in_order_with_topic_and_offset(log: EmbeddedLog) -> None:
    await append(log, 20)
    async with Running(EmbeddedSource(log), RecordingSink()) as it:
        await it.sink.wait_count(20)
    records = it.sink.records[0]
    assert [r.value for r in records] == [b"%d" % i for i in range(20)]
    assert [r.offset for r in records] == list(range(20))
    assert {(r.topic, r.partition) for r in records} == {("t", 0)}


async def test_a_record_appended_later_arrives_without_polling(log: EmbeddedLog) -> None:
    async with Running(EmbeddedSource(log), RecordingSink()) as it:
        await it.sink.wait_until(lambda: len(it.sink.open) == 2)
        for i in range(5):
            await append(log, 1, partition=1)
            await it.sink.wait_count(i + 1)
    assert len(it.sink.records[1]) == 5


async def test_a_shard_goes_on_where_it_stands(log: EmbeddedLog) -> None:
    await append(log, 20)
    async with Running(EmbeddedSource(log), RecordingSink({0: 13})) as it:
        await it.sink.wait_count(7)
        await wait_for(lambda: it.source.lag() == {0: 0, 1: 0})
    assert [r.offset for r in it.sink.records[0]] == list(range(13, 20))


async def test_stopping_closes_each_partition_once(log: EmbeddedLog) -> None:
    async with Running(EmbeddedSource(log), RecordingSink()) as it:
        await it.sink.wait_until(lambda: len(it.sink.open) == 2)
    closes = [call for call in it.sink.calls if call[0] == "close"]
    assert sorted(closes) == [("close", 0), ("close", 1)]


async def test_a_full_sink_gets_nothing_until_it_has_room(log: EmbeddedLog) -> None:
    sink = RecordingSink()
    sink.backlog = {0: 1000}
    async with Running(EmbeddedSource(log, budget_bytes=200), sink):
        await append(log, 3)
        await append(log, 3, partition=1)
        await sink.wait_count(3)
        assert 0 not in sink.records
        sink.backlog = {}
        await sink.wait_count(6)


async def test_a_gap_fails_its_partition_and_no_other(log: EmbeddedLog) -> None:
    await append(log, 40)
    await append(log, 3, partition=1)
    log.cut_behind(0, 30)
    await append(log, 1)
    sink = RecordingSink({0: 2})
    async with Running(EmbeddedSource(log), sink) as it:
        await sink.wait_until(lambda: 0 in sink.errors and len(sink.records.get(1, [])) == 3)
        await wait_for(it.source.is_caught_up)
    assert isinstance(sink.errors[0], DataGapError)
    assert sink.errors[0].next_offset == 2


async def test_a_log_shorter_than_the_shard_is_told(log: EmbeddedLog) -> None:
    sink = RecordingSink({1: 7})
    async with Running(EmbeddedSource(log), sink):
        await sink.wait_until(lambda: 1 in sink.errors)
    assert isinstance(sink.errors[1], TruncatedError)


async def test_the_commit_hint_lets_whole_files_go(log: EmbeddedLog) -> None:
    await append(log, 40)
    async with Running(EmbeddedSource(log), RecordingSink()) as it:
        await it.sink.wait_count(40)
        it.source.commit_hint(0, 40)
        it.source.commit_hint(0, 41)
        await append(log, 1)
        await it.sink.wait_count(41)
    assert log.start_offset(0) > 30


async def test_an_error_of_the_sink_ends_the_run_and_is_told(log: EmbeddedLog) -> None:
    class Broken(RecordingSink):
        async def deliver(self, partition: int, *rest: object) -> None:  # type: ignore[override]
            raise ValueError("no room on the shelf")

    sink = Broken()
    await append(log, 1)
    with pytest.raises(ValueError, match="shelf"):
        await EmbeddedSource(log).run(sink)
    assert not sink.open


@pytest.mark.parametrize(("value", "is_same"), [(b"2", True), (b"another", False)])
async def test_another_record_below_the_checkpoint_is_another_log(
    log: EmbeddedLog, value: bytes, is_same: bool
) -> None:
    await append(log, 5)
    (record,) = log.reader(0, 2).read(1)
    sink = FencedSink(value, record.timestamp_ms)
    async with Running(EmbeddedSource(log), sink):
        await sink.wait_until(lambda: bool(sink.errors) or sink.n_records == 2)
    assert isinstance(sink.errors.get(0), ReplacedError) is not is_same
    assert sink.n_records == (2 if is_same else 0)


@pytest.mark.parametrize("call", ["open_partition", "deliver"])
async def test_a_shard_that_fails_takes_no_other_along(log: EmbeddedLog, call: str) -> None:
    await append(log, 5)
    sink = FailingSink(call)
    async with Running(EmbeddedSource(log), sink) as it:
        await append(log, 5, partition=1)
        await sink.wait_until(lambda: len(sink.records.get(1, [])) == 5)
        await wait_for(it.source.is_caught_up)
    assert 0 not in sink.records
    assert isinstance(sink.errors.get(0), CorruptionError) is (call == "open_partition")


async def test_a_shard_that_fails_stays_open_to_be_searched(log: EmbeddedLog) -> None:
    sink = FailingSink("deliver")
    async with Running(EmbeddedSource(log), sink) as it:
        await append(log, 1)
        await wait_for(lambda: 0 not in it.source.lag())
        await asyncio.sleep(0.01)
        assert sink.open == {0, 1}
    assert not sink.open


async def test_a_halted_partition_stays_open_to_be_searched(log: EmbeddedLog) -> None:
    sink = RecordingSink({0: 7})
    async with Running(EmbeddedSource(log), sink):
        await sink.wait_until(lambda: 0 in sink.errors)
        await asyncio.sleep(0.01)
        assert sink.open == {0, 1}
    assert not sink.open


async def test_the_log_keeps_what_the_checkpoint_before_the_newest_needs(log: EmbeddedLog) -> None:
    """A shard whose newest manifest is damaged goes back to the one before it."""
    await append(log, 40)
    async with Running(EmbeddedSource(log), RecordingSink()) as it:
        await it.sink.wait_count(40)
        it.source.commit_hint(0, 10)
        it.source.commit_hint(0, 40)
        await append(log, 1)
        await it.sink.wait_count(41)
    assert 0 < log.start_offset(0) <= 10


class FullSink(RecordingSink):
    """Finds no room when it is to flush partition 0."""

    async def close_partition(self, partition: int, flush: bool) -> None:
        await super().close_partition(partition, flush)
        if partition == 0:
            raise ExhaustedError("no space left on device")


async def test_a_partition_that_cannot_be_flushed_keeps_no_other_from_it(log: EmbeddedLog) -> None:
    async with Running(EmbeddedSource(log), FullSink()) as it:
        await it.sink.wait_until(lambda: len(it.sink.open) == 2)
    assert it.sink.open == set()
