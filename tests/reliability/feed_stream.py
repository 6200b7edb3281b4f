"""Streams of records, good ones and poison in turn, and what a plain reading makes of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.reliability.feed_kafka import Headers, LogOfPartition, Sent
from tests.reliability.feed_poison import (
    EXISTS,
    HEAVY,
    LIGHT,
    MISSING,
    OWN,
    THERE,
    Indexed,
    Letter,
    Nothing,
    Poison,
)

N_KEYS: Final = 8
HEAVY_EVERY: Final = 51
"""Cases between two of one heavy kind; odd, so that either of two parts of a run meets all."""
WORDS: Final = ["bridge", "river", "tail", "race", "mill", "weir", "stone", "gate"]

Document = dict[str, Any]


@dataclass(slots=True)
class Read:
    """What a plain reading of some of the records gives."""

    documents: dict[bytes, Any] = field(default_factory=dict)
    """Key -> the source: parsed, or bytes where it is compared as it came."""
    letters: dict[int, Letter] = field(default_factory=dict)
    """Offset -> the letter that there must be."""
    versions: dict[bytes, int] = field(default_factory=dict)
    """Of live documents, and of those that a versioned delete has taken."""


@dataclass(slots=True)
class Stream:
    """One partition's records; `poison` says which offsets hold which kind."""

    number: int
    log: LogOfPartition
    poison: dict[int, Poison] = field(default_factory=dict)

    @property
    def there(self) -> bytes:
        return b"there-%d" % self.number

    def read(self, topic: str, offsets: Iterable[int]) -> Read:
        """Read the records at these offsets as docs say that they are meant."""
        found = Read()
        for offset in offsets:
            sent = self.log.records[offset]
            poison = self.poison.get(offset)
            if poison is None:
                self._read_good(found, offset, sent)
            elif isinstance(poison.becomes, Letter):
                found.letters[offset] = poison.becomes
            elif isinstance(poison.becomes, Indexed):
                name = f"{topic}-{self.number}-{offset}".encode()
                found.documents[sent.key if sent.key is not None else name] = sent.value
            else:
                assert isinstance(poison.becomes, Nothing)
        return found

    def _read_good(self, found: Read, offset: int, sent: Sent) -> None:
        assert sent.key is not None
        headers = dict(sent.headers)
        op, told = headers.get("op"), headers.get("version")
        version = offset if told is None else int(told)
        newest = found.versions.get(sent.key, -1)
        if version < newest or (told is not None and version == newest):
            return
        exists = sent.key in found.documents
        if sent.value is None:
            found.documents.pop(sent.key, None)
            if told is not None:
                found.versions[sent.key] = version
            else:
                found.versions.pop(sent.key, None)
            return
        fields: Document = orjson.loads(sent.value)
        if op == b"create" and exists:
            found.letters[offset] = Letter(EXISTS, "already exists")
            return
        if op == b"update":
            if not exists:
                found.letters[offset] = Letter(MISSING, "missing")
                return
            fields = {**found.documents[sent.key], **fields}
        found.documents[sent.key] = fields
        found.versions[sent.key] = version


def make_stream(
    rng: random.Random, number: int, n_records: int, poisons: Iterator[Poison], n_poison: int
) -> Stream:
    """Return a stream of `n_records`, `n_poison` of them poison, with holes between."""
    stream = Stream(number, LogOfPartition())
    has_holes = rng.random() < 0.5
    places = set(rng.sample(range(1, n_records), n_poison))
    for serial in range(n_records):
        if has_holes and rng.random() < 0.1:
            stream.log.end += rng.randrange(1, 6)
        if serial in places:
            _add_poison(stream, next(poisons))
        elif serial == 0:
            stream.log.add(Sent(stream.there, b'{"n": 0}'))
        else:
            stream.log.add(_good(rng, number, serial))
    if has_holes and rng.random() < 0.5:
        stream.log.end += rng.randrange(1, 4)  # an aborted transaction, and its marker
    return stream


def _add_poison(stream: Stream, poison: Poison) -> None:
    offset = stream.log.end
    key = poison.key
    if key == OWN:
        key = b"own-%d-%d" % (stream.number, offset)
    elif key == THERE:
        key = stream.there
    stream.log.add(Sent(key, poison.make(), poison.headers))
    stream.poison[offset] = poison


def _good(rng: random.Random, number: int, serial: int) -> Sent:
    key = b"k%d-%d" % (number, rng.randrange(N_KEYS))
    value: bytes | None = orjson.dumps(
        {"n": serial, "text": " ".join(rng.choices(WORDS, k=3)), "b": serial % 2 == 0}
    )
    headers: Headers = ()
    kind = rng.random()
    if kind < 0.1:
        value = None
    elif kind < 0.2:
        headers = (("op", b"create"),)
    elif kind < 0.35:
        headers = (("op", b"update"),)
        value = b'{"n": %d}' % serial
    elif kind < 0.5:
        # Versions of the producer's own, in any order: keys of their own, too.
        key = b"v%d-%d" % (number, rng.randrange(N_KEYS))
        headers = (("version", b"%d" % rng.randrange(1, 60)),)
        if rng.random() < 0.2:
            value = None
    return Sent(key, value, headers)


def all_poison(rng: random.Random, number: int, heavy_share: float) -> Iterator[Poison]:
    """Yield kinds in turn, for ever, so that a few cases have all; a heavy one now and then."""
    place = number % HEAVY_EVERY
    if place < len(HEAVY):
        yield HEAVY[place]
    n_light = number * 23
    while True:
        if rng.random() < heavy_share:
            yield rng.choice(HEAVY)
        else:
            yield LIGHT[n_light % len(LIGHT)]
            n_light += 1
