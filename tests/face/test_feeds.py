from __future__ import annotations

from pathlib import Path

from pipeline.events import NewRecord
from pipeline.feed import FeedRequest
from tailrace.feeds import DeadLetters, Feeds, kafka_options
from tailrace.sections import SourceSection


class ListLog:
    """A log in memory."""

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        self.is_closed = False

    @property
    def n_partitions(self) -> int:
        return 1

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        first = len(self.records)
        self.records += records
        return [(0, first + number) for number in range(len(records))]

    async def close(self) -> None:
        self.is_closed = True


def letter(value: bytes, *topics: bytes) -> NewRecord:
    return NewRecord(None, value, tuple(("tailrace.source.topic", topic) for topic in topics))


async def test_a_dead_letter_goes_to_the_log_of_its_own_topic() -> None:
    logs = {"a": ListLog(), "b": ListLog()}
    letters = [letter(b"1", b"b"), letter(b"2", b"a"), letter(b"3", b"b")]
    assert await DeadLetters(logs).append(letters) == [(0, 0), (0, 0), (0, 1)]
    assert [record.value for record in logs["a"].records] == [b"2"]
    assert [record.value for record in logs["b"].records] == [b"1", b"3"]


async def test_a_letter_sent_again_is_sorted_by_its_last_header() -> None:
    logs = {"a": ListLog(), "b": ListLog()}
    await DeadLetters(logs).append([letter(b"1", b"a", b"b")])
    assert len(logs["b"].records) == 1


async def test_closing_closes_every_log() -> None:
    logs = {"a": ListLog(), "b": ListLog()}
    await DeadLetters(logs).close()
    assert all(log.is_closed for log in logs.values())


async def test_an_index_without_a_section_gets_a_log_of_its_own(tmp_path: Path) -> None:
    feed = await Feeds({}, tmp_path, max_backlog_bytes=1 << 20).open(
        FeedRequest("notes", tmp_path, 3)
    )
    assert feed.log is not None
    assert feed.log.n_partitions == 3
    assert feed.topics == ("notes",)
    places = await feed.log.append([NewRecord(b"k", b"{}")])
    assert len(places) == 1
    await feed.dead_letters.append([NewRecord(b"k", b"{}")])
    await feed.log.close()
    await feed.dead_letters.close()


def test_the_section_reaches_the_clients_of_kafka() -> None:
    section = SourceSection.model_validate(
        {
            "type": "kafka",
            "bootstrap": "k:9092",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "reader",
            "sasl_password": "s3cret",
            "session_timeout_s": 6,
            "on_data_gap": "skip",
        }
    )
    options = kafka_options(section, 5_000_000)
    assert options.on_data_gap == "skip"
    arguments = options.client_arguments()
    assert options.budget_bytes == 5_000_000
    assert options.session_timeout_ms == 6_000
    assert options.consumer_arguments()["heartbeat_interval_ms"] == 400
    assert arguments["security_protocol"] == "SASL_SSL"
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_username"] == "reader"
    assert arguments["sasl_plain_password"] == "s3cret"
    assert "s3cret" not in repr(options)
