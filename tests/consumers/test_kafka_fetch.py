from __future__ import annotations

from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from consumers.kafka_fetch import FetchLoop
from consumers.kafka_options import KafkaOptions
from consumers.kafka_positions import FetchCounts, Positions
from tests.consumers.sinks import RecordingSink
from tests.reliability.feed_kafka import Sent, record_of

TP = TopicPartition("docs", 0)
SENT = Sent(b"k", b"v")


class Scripted:
    """A consumer that does one thing at each fetch."""

    def __init__(self, *steps: Any) -> None:
        self._steps = [*steps]
        self.sought: list[int] = []

    async def getmany(self, *tps: TopicPartition, **_: Any) -> dict[Any, list[ConsumerRecord]]:
        offsets = self._steps.pop(0)() if self._steps else []
        return {TP: [record_of(TP, offset, SENT) for offset in offsets]} if offsets else {}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.sought.append(offset)


def loop_of(consumer: Scripted, sink: RecordingSink, next_offset: int) -> FetchLoop:
    positions = Positions(("docs",))
    positions.next[TP] = sink.stored[0] = next_offset
    sink.open.add(0)
    unused: Any = None
    loop = FetchLoop(consumer, sink, positions, unused, unused, KafkaOptions(), FetchCounts())  # type: ignore[arg-type]
    loop._careful[TP] = 0
    return loop


async def test_records_of_an_older_generation_are_not_put_before_those_of_the_new() -> None:
    sink = RecordingSink()

    def assigned_anew() -> list[int]:
        loop._positions.begin_generation()
        loop._positions.next[TP] = sink.stored[0] = 90
        return [90]

    consumer = Scripted(lambda: [100], assigned_anew, lambda: [101])
    loop = loop_of(consumer, sink, 100)
    await loop._poll_alone(TP)
    assert sink.n_records == 0
    assert consumer.sought == [90]


async def test_a_record_that_comes_twice_in_a_careful_poll_is_taken_once() -> None:
    sink = RecordingSink()
    loop = loop_of(Scripted(lambda: [5], lambda: [5], lambda: [6]), sink, 5)
    await loop._poll_alone(TP)
    assert [record.offset for record in sink.records[0]] == [5, 6]
