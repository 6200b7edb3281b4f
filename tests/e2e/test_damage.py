"""Bytes of an index that Kafka has the records of are flipped: it heals itself, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.brokers import Broker, producing
from tests.e2e.servers import BUSY, check_same, serving_kafka, verify
from tests.e2e.streams import fold, load, split


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x20
    file.write_bytes(data)


@pytest.mark.parametrize("files", ["one segment", "all segments"])
async def test_damaged_segments_come_back_from_the_topic(
    tmp_path: Path, mock_broker: Broker, files: str
) -> None:
    stream = load("rustsec")
    topic = await mock_broker.create_topic(stream.name)
    first, second = split(stream.changes, 2)
    data = tmp_path / "data"
    async with producing(mock_broker) as producer:
        await producer.replay(topic, first)
        async with serving_kafka(data, mock_broker, topic, **BUSY) as server:
            await server.wait_ready()
            await server.wait_applied(producer.ends)
            await server.stop()
            segments = sorted(server.segments())
        for segment in segments[:1] if files == "one segment" else segments:
            flip(segment)
        await producer.replay(topic, second)
        async with serving_kafka(data, mock_broker, topic, **BUSY) as server:
            await server.wait_ready()
            await server.wait_applied(producer.ends)
            check_same(await server.documents(topic), fold(stream.changes))
            answer = await server.call("GET", f"/{topic}/_search")
            assert answer["_shards"]["failed"] == 0
            await server.stop()
            assert "damaged and rebuilt from the log" in server.running.errors()
    assert await verify(data) == len(fold(stream.changes))
