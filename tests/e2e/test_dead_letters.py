"""Records that are no documents: kept apart, unchanged, with the reason; the others go on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import orjson
from aiokafka import ConsumerRecord

from tests.e2e.brokers import Broker, Producer, producing, read_topic
from tests.e2e.servers import BUSY, Server, serving_kafka

MAPPING = '{"properties": {"n": {"type": "long"}, "when": {"type": "date"}}}'
TRACE = ("x-origin", b"shop \xff")
"""A header of the producer's own; headers may hold any bytes."""

Headers = tuple[tuple[str, bytes], ...]


class Poison(NamedTuple):
    key: bytes | None
    value: bytes | None
    reason: str
    """Part of what the dead letter has to say."""
    headers: Headers = ()


def document(id: str, **fields: object) -> bytes:
    return orjson.dumps({"id": id, "text": "a bridge", **fields})


POISON = [
    Poison(b"bad-json", b'{"id": "bad-json", ', "not json"),
    Poison(b"no-object", b'["a", "b"]', "not a json object"),
    Poison(b"empty", b"", "not json"),
    Poison(b"bad-text", b'{"text": "\xff\xfe"}', "not json"),
    Poison(b"deep", b'{"a":' * 40 + b"1" + b"}" * 40, "nested deeper"),
    Poison(b"bad-number", document("bad-number", n="three"), "[n]"),
    Poison(b"bad-date", document("bad-date", when="tomorrow"), "[when]"),
    Poison(b"bad-kind", document("bad-kind", n={"a": 1}), "[n]"),
    Poison(b"\xff\xfe", document("bad-key"), "not utf-8"),
    Poison(b"k" * 513, document("long-key"), "513 bytes"),
    Poison(b"", document("empty-key"), "empty"),
    Poison(b"bad-op", document("bad-op"), "header op", (("op", b"replace"),)),
    Poison(b"bad-version", document("bad-version"), "header version", (("version", b"-1"),)),
    Poison(b"nothing-to-create", None, "without a document", (("op", b"create"),)),
    Poison(None, document("x"), "without a document id", (("op", b"delete"),)),
    Poison(b"good-0", document("good-0", n=7), "already exists", (("op", b"create"),)),
    Poison(b"absent", b'{"n": 1}', "missing", (("op", b"update"),)),
]


async def send(producer: Producer, topic: str) -> list[tuple[int, int]]:
    """Send poison with good documents between; return where the poison went."""
    await producer.send(topic, b"good-0", document("good-0", n=0))
    places = []
    for number, poison in enumerate(POISON, 1):
        headers = (*poison.headers, TRACE)
        # `good-0` decides what a create of it finds: it stays in the partition of the key.
        partition = None if poison.key == b"good-0" else number % 4
        places.append(await producer.send(topic, poison.key, poison.value, headers, partition))
        await producer.send(topic, f"good-{number}".encode(), document(f"good-{number}", n=number))
    return places


def check_letter(
    letter: ConsumerRecord, poison: Poison, topic: str, place: tuple[int, int]
) -> None:
    """Compare one dead letter with its record: all of it as it was, and ours behind it."""
    own = (*poison.headers, TRACE)
    assert (letter.key, letter.value) == (poison.key, poison.value)
    assert tuple(letter.headers[: len(own)]) == own
    added = dict(letter.headers[len(own) :])
    assert poison.reason in added["tailrace.error.reason"].decode()
    assert added["tailrace.error.type"].endswith(b"_exception")
    assert added["tailrace.source.topic"] == topic.encode()
    found = int(added["tailrace.source.partition"]), int(added["tailrace.source.offset"])
    assert found == place


def place_of(letter: ConsumerRecord) -> tuple[int, int]:
    headers = dict(letter.headers)
    return int(headers["tailrace.source.partition"]), int(headers["tailrace.source.offset"])


async def check_good(server: Server, topic: str, n_docs: int) -> None:
    found = await server.documents(topic)
    assert {id: fields["n"] for id, fields in found.items()} == {
        f"good-{number}": number for number in range(n_docs)
    }


async def test_poison_ends_in_the_dead_letters_and_good_documents_go_on(
    tmp_path: Path, broker: Broker
) -> None:
    topic, data = await broker.create_topic("orders"), tmp_path / "data"
    variables = {**BUSY, f"TAILRACE_INDEXES__{topic.upper()}__MAPPING": MAPPING}
    n_good = len(POISON) + 1
    async with producing(broker) as producer:
        async with serving_kafka(data, broker, topic, **variables) as server:
            places = await send(producer, topic)
            await server.wait_applied(producer.ends)
            await check_good(server, topic, n_good)
            letters = await read_topic(broker, f"{topic}.dlq", len(POISON))
            assert sorted(map(place_of, letters)) == sorted(places)
            by_place = {place_of(letter): letter for letter in letters}
            for poison, place in zip(POISON, places, strict=True):
                check_letter(by_place[place], poison, topic, place)
            await producer.send(
                topic, f"good-{n_good}".encode(), document(f"good-{n_good}", n=n_good)
            )
            await server.wait_applied(producer.ends)
            await check_good(server, topic, n_good + 1)
            await server.stop()
        async with serving_kafka(data, broker, topic, **variables) as server:
            await server.wait_ready()
            await check_good(server, topic, n_good + 1)
            await server.stop()
        # What was flushed is not read again: no letter comes a second time.
        assert len(await read_topic(broker, f"{topic}.dlq", len(POISON))) == len(POISON)
