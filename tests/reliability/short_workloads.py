"""Short workloads of a shard: strings of letters, and the log and the truth that belong to them.

`u` upserts a new key, `a` changes the oldest key (or makes it again), `d` deletes the oldest
living key with a version of its own, `c` brings an event that is rejected, and flushes: only the
checkpoint moves. `f` flushes, `m` merges all, `r` opens the shard again. `s`, which is not among
the seven, sends every key that ever was once more in an older version: nothing may change.

A log is a function of its history, the letters u, a, d, c and s of a workload.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from index.document import DocumentEvent, Op, Outcome
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from tests.oracle import Oracle, OracleResult

LETTERS = "uadcfmr"
EVENTS = frozenset("uadcs")
"""Letters that bring events."""
SCHEMA = SchemaRef(
    Schema.from_mapping(
        {"dynamic": "false", "properties": {"t": {"type": "text"}, "n": {"type": "long"}}}
    )
)
SEARCH = parse_search({"query": {"match": {"t": "red fox"}}, "size": 20, "track_total_hits": True})
WORDS = ("red fox", "fox", "red red hen", "hen")


def history_of(letters: str) -> str:
    return "".join(letter for letter in letters if letter in EVENTS)


class Log(NamedTuple):
    """What a history brought."""

    events: tuple[DocumentEvent, ...]
    living: tuple[bytes, ...]
    """Keys, in the order of their last change."""
    keys: tuple[bytes, ...]
    """All that ever were, oldest first."""


class Answer(NamedTuple):
    """What must be found in a shard."""

    documents: dict[bytes, tuple[int, dict[str, Any]]]
    """Key -> version and source."""
    found: OracleResult
    """What `SEARCH` finds."""


@lru_cache(1 << 15)
def log_of(history: str) -> Log:
    """Return the events of a history; those of its beginnings are among them."""
    if not history:
        return Log((), (), ())
    before = log_of(history[:-1])
    events = before.events + tuple(_events(history[-1], before))
    keys = dict.fromkeys((*before.keys, *(event.key for event in events if not _is_bad(event))))
    oracle = _oracle(events)
    return Log(events, tuple(oracle.live), tuple(keys))


def _events(letter: str, before: Log) -> Iterator[DocumentEvent]:
    at = len(before.events)
    text = WORDS[at % len(WORDS)]
    if letter == "u":
        fields = {"t": text, "n": at}
        yield DocumentEvent(at, Op.UPSERT, b"k%d" % len(before.keys), orjson.dumps(fields), fields)
    elif letter == "a":
        key = before.keys[0] if before.keys else b"k0"
        fields = {"n": at}
        upsert = {"t": text, "n": -1}
        yield DocumentEvent(at, Op.UPDATE, key, orjson.dumps(fields), fields, None, upsert)
    elif letter == "d":
        key = before.living[0] if before.living else b"k0"
        yield DocumentEvent(at, Op.DELETE, key, None, None, at)
    elif letter == "c":
        yield DocumentEvent(at, Op.UPSERT, b"bad", b"[1]", None)
    else:
        fields = {"t": "stale", "n": -2}
        source = orjson.dumps(fields)
        for number, key in enumerate(before.keys):
            yield DocumentEvent(at + number, Op.UPSERT, key, source, fields, 0)


def _is_bad(event: DocumentEvent) -> bool:
    return event.source == b"[1]"


@lru_cache(1 << 15)
def outcomes_of(history: str) -> tuple[Outcome, ...]:
    """Return what must come of each event of a history."""
    oracle = Oracle(SCHEMA)
    return tuple(
        Outcome.REJECTED if _is_bad(event) else oracle.apply(event)
        for event in log_of(history).events
    )


@lru_cache(1 << 15)
def answer_at(history: str, offset: int) -> Answer:
    """Return what a shard must hold that has applied the events below `offset`."""
    oracle = _oracle(log_of(history).events[:offset])
    documents = {key: (found.version, found.source) for key, found in oracle.live.items()}
    return Answer(documents, oracle.search(SEARCH))


def _oracle(events: tuple[DocumentEvent, ...]) -> Oracle:
    oracle = Oracle(SCHEMA)
    for event in events:
        if not _is_bad(event):
            oracle.apply(event)
    return oracle
