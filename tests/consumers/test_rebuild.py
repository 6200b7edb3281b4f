"""What sources do with a shard whose files are damaged: ask the sink to rebuild it, if it can."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consumers.log import EmbeddedLog, EmbeddedSource
from consumers.source import NewRecord
from index.errors import CorruptionError
from index.rebuild import DamagedShardError
from tests.consumers.sinks import RecordingSink
from tests.consumers.test_kafka import running, values
from tests.kafka.brokers import Kafka, produce


class DamagedSink(RecordingSink):
    """Shard 0 cannot be opened. It can be rebuilt from `origin` on, where the log has that."""

    def __init__(self, origin: int) -> None:
        super().__init__({0: 7})
        self.origin = origin
        self.bounds: tuple[int, int] | None = None

    async def open_partition(self, partition: int) -> int | None:
        if partition == 0 and self.bounds is None:
            raise damage(self.origin)
        return await super().open_partition(partition)

    async def rebuild_partition(self, partition: int, bounds: tuple[int, int]) -> int:
        self.bounds = bounds
        if bounds[0] > self.origin:
            raise damage(self.origin).because("the log begins too late")
        self.stored[partition] = self.origin
        await super().open_partition(partition)
        return self.origin


def damage(origin: int) -> DamagedShardError:
    return DamagedShardError(CorruptionError("1.seg", 5, "checksum is wrong"), origin, 7)


async def test_a_damaged_shard_is_fed_again_from_its_origin_by_kafka(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    for partition in range(2):
        await produce(kafka, topic, values(20), partition=partition)
    sink = DamagedSink(origin=3)
    async with running(kafka, topic, sink):
        await sink.wait_count(37)
    assert sink.bounds == (0, 20)
    assert [record.offset for record in sink.records[0]] == list(range(3, 20))
    assert len(sink.records[1]) == 20
    assert not sink.errors


async def test_kafka_goes_on_with_the_others_where_a_shard_cannot_be_rebuilt(kafka: Kafka) -> None:
    topic = await kafka.create_topic(2)
    for partition in range(2):
        await produce(kafka, topic, values(20), partition=partition)
    sink = DamagedSink(origin=-1)
    async with running(kafka, topic, sink) as source:
        await sink.wait_count(20)
        await sink.wait_until(lambda: 0 in sink.errors)
        await produce(kafka, topic, values(5, 20), partition=1)
        await sink.wait_count(25)
        assert source.is_caught_up()
    assert "1.seg at byte 5: checksum is wrong; the log begins too late" in str(sink.errors[0])
    assert 0 not in sink.records


@pytest.mark.parametrize("origin", [2, -1])
async def test_the_embedded_log_does_the_same(tmp_path: Path, origin: int) -> None:
    log = EmbeddedLog(tmp_path, 2, topic="t")
    for n in range(10):
        await log.append([NewRecord(b"k", b"%d" % n, (), partition) for partition in range(2)])
    sink = DamagedSink(origin)
    source = EmbeddedSource(log)
    task = asyncio.create_task(source.run(sink))
    if origin >= 0:
        await sink.wait_count(18)
        assert [record.offset for record in sink.records[0]] == list(range(2, 10))
    else:
        await sink.wait_count(10)
        await sink.wait_until(lambda: 0 in sink.errors)
        assert 0 not in sink.records
    assert sink.bounds == (0, 10)
    await source.stop()
    await task
    await log.close()
