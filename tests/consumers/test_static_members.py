"""Members that come back under their name: nobody else is disturbed, and nothing is forgotten."""

from __future__ import annotations

from dataclasses import replace

from consumers.kafka import KafkaOptions
from tests.consumers.sinks import RecordingSink, wait_for
from tests.consumers.test_kafka import running
from tests.kafka.brokers import QUICK, ApacheKafka, produce

LONG_MS = 300_000
"""A session that outlasts the test: who waits for its end fails."""


def named(name: str) -> KafkaOptions:
    return replace(
        QUICK, group_instance_id=name, session_timeout_ms=LONG_MS, metadata_max_age_ms=300
    )


async def test_a_member_that_comes_back_is_given_what_it_had(apache_kafka: ApacheKafka) -> None:
    topic = await apache_kafka.create_topic(4)
    first, second = RecordingSink(), RecordingSink()
    async with running(apache_kafka, topic, second, named("b")):
        async with running(apache_kafka, topic, first, named("a")):
            await first.wait_until(lambda: bool(first.open))
            await second.wait_until(lambda: len(second.open | first.open) == 4)
            had, other, n_calls = set(first.open), set(second.open), len(second.calls)
        again = RecordingSink()
        async with running(apache_kafka, topic, again, named("a")):
            await again.wait_until(lambda: again.open == had)
            for partition in range(4):
                await produce(apache_kafka, topic, [b"x"], partition=partition)
            await again.wait_count(len(had))
            await second.wait_count(len(other))
    assert {name for name, _ in second.calls[n_calls:]} == {"deliver", "close"}


async def test_partitions_that_come_while_or_after_the_leader_was_away_get_an_owner(
    apache_kafka: ApacheKafka,
) -> None:
    topic = await apache_kafka.create_topic(1)
    for _ in range(2):
        async with running(apache_kafka, topic, RecordingSink(), named("alone")) as source:
            await wait_for(source.is_caught_up)
    await apache_kafka.add_partitions(topic, 2)
    sink = RecordingSink()
    async with running(apache_kafka, topic, sink, named("alone")):
        await sink.wait_until(lambda: len(sink.open) == 2)
        await apache_kafka.add_partitions(topic, 3)
        await sink.wait_until(lambda: len(sink.open) == 3)
