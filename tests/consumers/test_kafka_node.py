"""A whole node on a real broker: what its shards remember of the topic, over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from consumers.kafka import KafkaLog, KafkaSource
from consumers.kafka_options import KafkaOptions
from consumers.source import TopicReplacedError
from pipeline.feed import Feed, FeedRequest
from pipeline.index import Index
from pipeline.node import Node
from tests.kafka.brokers import ApacheKafka, Kafka, produce


@asynccontextmanager
async def index_on(kafka: Kafka, topic: str, data: Path) -> AsyncIterator[Index]:
    options: KafkaOptions = kafka.options

    async def open_feed(request: FeedRequest) -> Feed:
        source = KafkaSource(kafka.bootstrap, [topic], f"g-{topic}", options=options)
        letters = KafkaLog(kafka.bootstrap, f"{topic}.dlq", options=options)
        return Feed(None, letters, source, topics=(topic,), is_shared=True)

    node = Node(data, open_feed=open_feed)
    await node.start()
    try:
        yield await node.get_or_create("docs")
    finally:
        await node.stop()


async def test_a_topic_made_anew_is_told_after_a_restart(
    apache_kafka: ApacheKafka, tmp_path: Path
) -> None:
    topic = await apache_kafka.create_topic()
    await produce(apache_kafka, topic, [b'{"n": 1}'], key=b"a")
    async with index_on(apache_kafka, topic, tmp_path) as index:
        await index.wait_token("0-1", 20)
        await index.flush()
        seen = index.topic_id(0)
        assert seen
    await apache_kafka.delete_topic(topic)
    await apache_kafka.make_topic(topic)
    await produce(apache_kafka, topic, [b'{"n": 2}'] * 3, key=b"a")
    async with index_on(apache_kafka, topic, tmp_path) as index:
        async with asyncio.timeout(20):
            while not index.problems():  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
        halted = index.shards[0].halted
        assert isinstance(halted, TopicReplacedError)
        assert halted.seen == seen
        assert not index.is_ready
        found = await index.get("a")
        assert found is not None
        assert found.source == b'{"n": 1}'
