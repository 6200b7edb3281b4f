from __future__ import annotations

import random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaConnectionError

from consumers.kafka_options import KafkaOptions
from consumers.kafka_probe import OffsetProbe
from tests.reliability.feed_kafka import Cluster, LogOfPartition, Sent, Unreadable

FIRST, SECOND = TopicPartition("docs", 0), TopicPartition("docs", 1)


def cluster() -> Cluster:
    partitions = [LogOfPartition() for _ in range(2)]
    for partition in partitions:
        for n in range(5):
            partition.add(Sent(b"k", b"%d" % n))
    return Cluster("docs", partitions, random.Random(1))


def probe(clients: Any) -> OffsetProbe:
    return OffsetProbe("table", KafkaOptions(), clients=clients)


async def test_records_are_had_where_they_are() -> None:
    found = await probe(cluster()).records_at({FIRST: 2, SECOND: 4})
    assert {tp: record.value for tp, record in found.items()} == {FIRST: b"2", SECOND: b"4"}


async def test_a_record_that_compaction_took_is_left_out() -> None:
    table = cluster()
    table.partitions[0].offsets.remove(2)
    found = await probe(table).records_at({FIRST: 2, SECOND: 2})
    assert [*found] == [SECOND]


async def test_a_batch_that_cannot_be_read_hides_no_other_record() -> None:
    def read() -> None:
        raise CorruptRecordException("checksum differs")

    table = cluster()
    table.partitions[0].unreadable[2] = Unreadable(read)
    found = await probe(table).records_at({FIRST: 2, SECOND: 2})
    assert [*found] == [SECOND]


async def test_a_broker_that_does_not_answer_says_nothing_of_a_record_or_a_topic() -> None:
    class Away:
        def consumer(self, bootstrap: str, **arguments: Any) -> Any:
            return self

        async def start(self) -> None:
            raise KafkaConnectionError("no broker")

        async def stop(self) -> None:
            pass

    with pytest.raises(KafkaConnectionError):
        await probe(Away()).records_at({FIRST: 2})
    with pytest.raises(KafkaConnectionError):
        await probe(Away()).topic_ids(["docs"])
