"""What the product relies on in a broker and its client, asked of the simulation's cluster and of
real brokers alike, so that the one cannot drift away from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    MessageSizeTooLargeError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    ProducerClosed,
)

from tests.kafka.brokers import (
    ApacheKafka,
    MockKafka,
    apache_node,
    slow_down_leaders,
)
from tests.reliability.conformance_lab import (
    ApacheLab,
    FakeLab,
    Heard,
    Lab,
    MockLab,
    read,
    until,
)

__all__ = ["apache_node"]

Case = Callable[[Lab], Coroutine[Any, Any, None]]

CASES: dict[str, Case] = {}

MOCK_CANNOT = {
    "a_static_member_comes_back_without_a_rebalance": "it knows no static membership",
}
"""Cases that librdkafka's broker cannot be asked, and why."""


def case(work: Case) -> Case:
    CASES[work.__name__] = work
    return work


@pytest.fixture(params=["fake", "mock", "apache"])
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    if request.param == "fake":
        yield Lab(FakeLab())
    elif request.param == "apache":
        yield Lab(ApacheLab(ApacheKafka(request.getfixturevalue("apache_node"))))
    else:
        slow_down_leaders(monkeypatch)
        kafka = MockKafka()
        yield Lab(MockLab(kafka))
        kafka.broker.close()


# --- positions ---


@case
async def records_come_in_order_and_move_the_position(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b", b"c")
    reader = await lab.reader(topic)
    assert [r.value for r in await read(reader, 3)] == [b"a", b"b", b"c"]
    assert await reader.position(TopicPartition(topic, 0)) == 3


@case
async def at_most_so_many_come_and_the_next_call_goes_on(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b", b"c")
    reader = await lab.reader(topic)
    first = await read(reader, 1, max_records=2)
    assert len(first) <= 2
    assert await reader.position(TopicPartition(topic, 0)) == len(first)
    rest = await read(reader, 3 - len(first))
    assert [r.offset for r in first + rest] == [0, 1, 2]


@case
async def seeking_back_brings_the_same_records_again(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b", b"c")
    reader = await lab.reader(topic)
    await read(reader, 3)
    reader.seek(TopicPartition(topic, 0), 1)
    assert [r.offset for r in await read(reader, 2)] == [1, 2]


@case
async def seeking_drops_what_was_fetched_and_not_taken(lab: Lab) -> None:
    topic = await lab.topic(1, *[b"%d" % n for n in range(10)])
    reader = await lab.reader(topic)
    await read(reader, 1, max_records=1)
    reader.seek(TopicPartition(topic, 0), 7)
    assert [r.offset for r in await read(reader, 3)] == [7, 8, 9]


@case
async def a_position_that_was_sought_is_told_at_once(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    reader = await lab.reader(topic)
    reader.seek(TopicPartition(topic, 0), 1)
    assert await reader.position(TopicPartition(topic, 0)) == 1


@case
async def nothing_comes_from_the_end_until_something_is_written(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    reader = await lab.reader(topic)
    reader.seek(TopicPartition(topic, 0), 1)
    assert await reader.getmany(timeout_ms=200) == {}
    await lab.produce(topic, b"b")
    assert [r.value for r in await read(reader, 1)] == [b"b"]


@case
async def a_call_that_waits_returns_when_something_is_written(lab: Lab) -> None:
    topic = await lab.topic(1)
    reader = await lab.reader(topic)
    waiting = asyncio.create_task(reader.getmany(timeout_ms=30_000))
    await asyncio.sleep(0.1)
    await lab.produce(topic, b"a")
    async with asyncio.timeout(10):
        got = await waiting
    assert [r.value for batch in got.values() for r in batch] == [b"a"]


@case
async def nothing_comes_from_a_partition_that_is_paused(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    reader = await lab.reader(topic)
    reader.pause(TopicPartition(topic, 0))
    assert await reader.getmany(timeout_ms=300) == {}
    assert await reader.position(TopicPartition(topic, 0)) == 0


@case
async def a_paused_partition_goes_on_where_it_was_although_its_buffer_is_gone(lab: Lab) -> None:
    topic = await lab.topic(1, *[b"%d" % n for n in range(6)])
    tp = TopicPartition(topic, 0)
    reader = await lab.reader(topic)
    first = await read(reader, 1, max_records=1)
    reader.pause(tp)
    assert await reader.getmany(timeout_ms=200) == {}
    reader.resume(tp)
    rest = await read(reader, 6 - len(first))
    assert [r.offset for r in first + rest] == [0, 1, 2, 3, 4, 5]


@case
async def the_others_go_on_while_one_partition_is_paused(lab: Lab) -> None:
    topic = await lab.topic(2, b"a")
    await lab.produce(topic, b"b", partition=1)
    reader = await lab.reader(topic, 2)
    reader.pause(TopicPartition(topic, 0))
    assert [r.value for r in await read(reader, 1)] == [b"b"]


@case
async def only_the_partitions_that_are_named_are_drained(lab: Lab) -> None:
    topic = await lab.topic(2, b"a")
    await lab.produce(topic, b"b", partition=1)
    reader = await lab.reader(topic, 2)
    one = TopicPartition(topic, 1)
    assert [r.value for r in await read(reader, 1, one)] == [b"b"]
    assert await reader.position(TopicPartition(topic, 0)) == 0
    assert [r.value for r in await read(reader, 1)] == [b"a"]


@case
async def the_highwater_is_the_end_as_of_the_last_fetch(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    reader = await lab.reader(topic)
    await read(reader, 2)
    assert reader.highwater(TopicPartition(topic, 0)) == 2


@case
async def a_negative_offset_cannot_be_sought(lab: Lab) -> None:
    reader = await lab.reader(await lab.topic(1))
    with pytest.raises(ValueError, match="positive"):
        reader.seek(next(iter(reader.assignment())), -1)


@case
async def a_partition_of_others_can_neither_be_sought_nor_paused(lab: Lab) -> None:
    topic = await lab.topic(2)
    reader = await lab.reader(topic, 1)
    other = TopicPartition(topic, 1)
    for call in (lambda: reader.seek(other, 0), lambda: reader.pause(other)):
        with pytest.raises((IllegalStateError, AttributeError)):
            call()
    with pytest.raises(IllegalStateError):
        await reader.position(other)


@case
async def a_position_past_the_end_raises_again_and_again(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    tp = TopicPartition(topic, 0)
    reader = await lab.reader(topic)
    reader.seek(tp, 5)
    for _ in range(2):
        with pytest.raises(OffsetOutOfRangeError):
            await read(reader, 1)
        assert await reader.position(tp) == 5
    reader.seek(tp, 0)
    assert [r.offset for r in await read(reader, 1)] == [0]


@case
async def a_position_before_the_start_raises(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b", b"c")
    await lab.broker.retain_from(topic, 2)
    tp = TopicPartition(topic, 0)
    reader = await lab.reader(topic)
    assert await reader.beginning_offsets([tp]) == {tp: 2}
    with pytest.raises(OffsetOutOfRangeError):
        await read(reader, 1)
    reader.seek(tp, 2)
    assert [r.offset for r in await read(reader, 1)] == [2]


@case
async def without_a_position_and_a_reset_rule_it_raises(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    member, _ = await lab.member(topic, f"{topic}-group")
    with pytest.raises(NoOffsetForPartitionError):
        await read(member, 1)
    member.seek(TopicPartition(topic, 0), 0)
    assert [r.offset for r in await read(member, 1)] == [0]


@case
async def offsets_of_aborted_transactions_are_passed(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    await lab.broker.abort_transaction(topic, [b"x", b"y"])
    await lab.produce(topic, b"b")
    reader = await lab.reader(topic)
    assert [(r.offset, r.value) for r in await read(reader, 2)] == [(0, b"a"), (4, b"b")]


@case
async def a_position_moves_past_markers_though_no_record_comes(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    await lab.broker.abort_transaction(topic, [b"x"])
    reader = await lab.reader(topic)
    await read(reader, 1)
    tp = TopicPartition(topic, 0)
    async with asyncio.timeout(10):
        while await reader.position(tp) < 3:
            assert await reader.getmany(timeout_ms=100) == {}
    assert await reader.end_offsets([tp]) == {tp: 3}


@case
async def a_stopped_consumer_says_so(lab: Lab) -> None:
    reader = await lab.reader(await lab.topic(1))
    await reader.stop()
    with pytest.raises(ConsumerStoppedError):
        await reader.getmany(timeout_ms=100)


# --- bounds and ids ---


@case
async def an_empty_log_begins_and_ends_at_nought(lab: Lab) -> None:
    tp = TopicPartition(await lab.topic(1), 0)
    client = await lab.consumer()
    assert await client.beginning_offsets([tp]) == {tp: 0}
    assert await client.end_offsets([tp]) == {tp: 0}


@case
async def bounds_are_told_of_partitions_that_are_not_assigned(lab: Lab) -> None:
    topic = await lab.topic(2, b"a", b"b")
    zero, one = TopicPartition(topic, 0), TopicPartition(topic, 1)
    client = await lab.consumer()
    assert await client.end_offsets([zero, one]) == {zero: 2, one: 0}


@case
async def a_topic_made_anew_has_another_id_and_an_empty_log(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    client = await lab.consumer()
    before = await client.topic_ids([topic])
    await lab.broker.recreate(topic)
    other = await lab.consumer()
    after = await other.topic_ids([topic])
    assert before[topic] != after[topic] != ""
    tp = TopicPartition(topic, 0)
    assert await other.end_offsets([tp]) == {tp: 0}


# --- groups ---


@case
async def a_first_member_hears_of_nothing_revoked_and_all_assigned(lab: Lab) -> None:
    topic = await lab.topic(3)
    member, heard = await lab.member(topic, f"{topic}-group")
    assert heard.told == [("revoked", set()), ("assigned", {0, 1, 2})]
    assert {tp.partition for tp in member.assignment()} == {0, 1, 2}


@case
async def a_second_member_takes_a_share_after_all_was_revoked(lab: Lab) -> None:
    topic = await lab.topic(4)
    _, first = await lab.member(topic, f"{topic}-group")
    _, second = await lab.member(topic, f"{topic}-group")
    await until(lambda: first.has | second.has == {0, 1, 2, 3} and len(first.has) < 4)
    assert not first.has & second.has
    assert ("revoked", {0, 1, 2, 3}) in first.told
    assert [name for name, _ in first.told] == ["revoked", "assigned"] * (len(first.told) // 2)


@case
async def who_leaves_is_followed_by_those_who_stay(lab: Lab) -> None:
    topic = await lab.topic(2)
    first, _ = await lab.member(topic, f"{topic}-group")
    _, second = await lab.member(topic, f"{topic}-group")
    await first.stop()
    await until(lambda: second.has == {0, 1})


@case
async def leaving_tells_the_listener_nothing(lab: Lab) -> None:
    member, heard = await lab.member(topic := await lab.topic(1), f"{topic}-group")
    told = list(heard.told)
    await member.stop()
    assert heard.told == told


@case
async def a_listener_may_pause_and_seek_what_it_was_assigned(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    tp = TopicPartition(topic, 0)
    member = await lab.consumer(f"{topic}-group")

    def hold_back(assigned: set[TopicPartition]) -> None:
        member.pause(*assigned)
        member.seek(tp, 1)

    heard = Heard(hold_back)
    member.subscribe(topics=[topic], listener=heard)
    await until(lambda: heard.has == {0})
    assert await member.getmany(timeout_ms=200) == {}
    member.resume(tp)
    assert [r.offset for r in await read(member, 1)] == [1]


@case
async def positions_do_not_outlive_a_rebalance(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b", b"c")
    tp = TopicPartition(topic, 0)
    first, heard = await lab.member(topic, f"{topic}-group")
    first.seek(tp, 3)
    await first.commit({tp: 1})
    n_told = len(heard.told)
    second, heard_second = await lab.member(topic, f"{topic}-group")
    await until(lambda: len(heard.told) > n_told + 1 and len(heard.has | heard_second.has) == 1)
    owner = first if heard.has else second
    assert await owner.position(tp) == 1, "the committed offset is taken, whatever was sought"


@case
async def a_pause_does_not_outlive_a_rebalance(lab: Lab) -> None:
    topic = await lab.topic(1, b"a")
    tp = TopicPartition(topic, 0)
    first, heard = await lab.member(topic, f"{topic}-group")
    await first.commit({tp: 0})
    first.pause(tp)
    second, _ = await lab.member(topic, f"{topic}-group")
    await second.stop()
    await until(lambda: len(heard.told) >= 4 and heard.has == {0})
    assert [r.offset for r in await read(first, 1)] == [0]


@case
async def what_is_committed_is_where_the_next_member_would_begin(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    tp = TopicPartition(topic, 0)
    first, _ = await lab.member(topic, f"{topic}-group")
    await first.commit({tp: 1})
    await first.stop()
    second, _ = await lab.member(topic, f"{topic}-group")
    assert await second.position(tp) == 1


@case
async def a_lower_offset_may_be_committed_later(lab: Lab) -> None:
    topic = await lab.topic(1, b"a", b"b")
    tp = TopicPartition(topic, 0)
    first, _ = await lab.member(topic, f"{topic}-group")
    await first.commit({tp: 2})
    await first.commit({tp: 1})
    await first.stop()
    second, _ = await lab.member(topic, f"{topic}-group")
    assert await second.position(tp) == 1


@case
async def nothing_is_committed_for_partitions_of_others(lab: Lab) -> None:
    topic = await lab.topic(1)
    member, _ = await lab.member(topic, f"{topic}-group")
    with pytest.raises(IllegalStateError):
        await member.commit({TopicPartition(topic, 7): 0})


@case
async def a_static_member_comes_back_without_a_rebalance(lab: Lab) -> None:
    topic = await lab.topic(2)
    group = f"{topic}-group"
    slow = {"session_timeout_ms": 10_000}
    first, _ = await lab.member(topic, group, group_instance_id="one", **slow)
    _, other = await lab.member(topic, group, group_instance_id="two", **slow)
    await until(lambda: len(other.has) == 1)
    had, n_told = other.has, len(other.told)
    await first.stop()
    _, again = await lab.member(topic, group, group_instance_id="one", **slow)
    assert again.has == {0, 1} - had
    await asyncio.sleep(0.5)
    assert len(other.told) == n_told


@case
async def new_partitions_are_assigned_by_and_by(lab: Lab) -> None:
    topic = await lab.topic(1)
    _, heard = await lab.member(topic, f"{topic}-group")
    await lab.broker.add_partitions(topic, 3)
    await until(lambda: heard.has == {0, 1, 2})


# --- producers ---


@case
async def offsets_rise_in_the_order_of_sending(lab: Lab) -> None:
    topic = await lab.topic(1)
    assert await lab.produce(topic, *[b"%d" % n for n in range(20)]) == [*range(20)]


@case
async def what_is_acknowledged_can_be_read(lab: Lab) -> None:
    topic = await lab.topic(1)
    tp = TopicPartition(topic, 0)
    await lab.produce(topic, b"a")
    client = await lab.consumer()
    assert await client.end_offsets([tp]) == {tp: 1}


@case
async def the_same_record_sent_twice_is_there_twice(lab: Lab) -> None:
    topic = await lab.topic(1)
    assert await lab.produce(topic, b"a", b"a") == [0, 1]
    reader = await lab.reader(topic)
    assert [r.value for r in await read(reader, 2)] == [b"a", b"a"]


@case
async def records_keep_key_value_and_headers(lab: Lab) -> None:
    topic = await lab.topic(2)
    producer = await lab.producer()
    headers = [("op", b"delete"), ("none", None)]
    sent = [
        await producer.send(topic, None, b"k", 1, headers=headers),
        await producer.send(topic, b"", None, 1, headers=[]),
    ]
    await asyncio.gather(*sent)
    tombstone, empty = await read(await lab.reader(topic, 2), 2)
    assert (tombstone.key, tombstone.value, tombstone.partition) == (b"k", None, 1)
    assert tombstone.headers == tuple(headers)
    assert (empty.key, empty.value, empty.headers) == (None, b"", ())
    assert tombstone.timestamp > 0


@case
async def partitions_are_known_once_they_were_asked_for(lab: Lab) -> None:
    topic = await lab.topic(3)
    producer = await lab.producer()
    assert await producer.partitions_for(topic) == {0, 1, 2}
    assert set(producer.known_partitions(topic)) == {0, 1, 2}


@case
async def a_record_larger_than_a_request_is_refused(lab: Lab) -> None:
    topic = await lab.topic(1)
    producer = await lab.producer(max_request_size=1000)
    with pytest.raises(MessageSizeTooLargeError):
        await (await producer.send(topic, bytes(2000), b"k", 0, headers=[]))


@case
async def stopping_sends_what_is_queued(lab: Lab) -> None:
    topic = await lab.topic(1)
    producer = await lab.producer()
    sent = [await producer.send(topic, b"%d" % n, b"k", 0, headers=[]) for n in range(5)]
    await producer.stop()
    assert [(await answer).offset for answer in sent] == [0, 1, 2, 3, 4]


@case
async def a_stopped_producer_says_so(lab: Lab) -> None:
    topic = await lab.topic(1)
    producer = await lab.producer()
    await (await producer.send(topic, b"a", b"k", 0, headers=[]))
    await producer.stop()
    with pytest.raises(ProducerClosed):
        await producer.send(topic, b"a", b"k", 0, headers=[])


@pytest.mark.parametrize("name", CASES)
def test_brokers_agree(name: str, lab: Lab) -> None:
    if isinstance(lab.broker, MockLab) and name in MOCK_CANNOT:
        pytest.skip(f"librdkafka's broker: {MOCK_CANNOT[name]}")
    lab.run(CASES[name])
