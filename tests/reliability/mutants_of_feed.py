"""Known wrong feeds, which the feed's cases must find out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from aiokafka import ConsumerRecord, TopicPartition

import pipeline.shard
from consumers import codecs
from consumers.kafka_continuity import Continuity
from consumers.kafka_fetch import FetchLoop
from consumers.kafka_options import KafkaOptions
from consumers.kafka_positions import Positions
from consumers.source import Record
from index.engine import Applied, Engine
from index.jobs import Job
from pipeline.applier import Applier
from pipeline.events import NewRecord
from pipeline.feed import Log
from pipeline.shard import Shard
from tests.reliability.feed import Case
from tests.reliability.mutant import Mutant


def _search(scenario: str, n_cases: int = 1, n_failures: int = 0) -> Callable[[], None]:
    """Return the run of a few cases that show the mutant; so often the letters' log fails."""

    def search() -> None:
        logging.disable(logging.CRITICAL)
        try:
            for number in range(n_cases):
                case = Case(f"mutants.{100 + number}", scenario)
                case.letters.n_failures += n_failures
                case.run()
        finally:
            logging.disable(logging.NOTSET)

    return search


def _replaced(owner: Any, name: str, new: Any) -> Callable[[], AbstractContextManager[None]]:
    return lambda: patch.object(owner, name, new)


def _plan_flush(self: Applier) -> Job | None:
    job = self.engine.plan_flush(self._fence())
    self._publish()
    return job


def _no_seek(self: FetchLoop, tp: TopicPartition, offset: int) -> None:
    pass


async def _deliver_all(self: FetchLoop, tp: TopicPartition, got: list[ConsumerRecord]) -> None:
    """Take what has come again for new, as do the shard and the engine behind it."""
    if tp not in self._positions.next or not got:
        return
    records = [
        Record(tp.topic, tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
        for r in got
    ]
    await self._hand_over(tp, records, max(records[-1].offset + 1, self._positions.next[tp]))


async def _queue_all(self: Shard, records: list[Record], next_offset: int) -> None:
    self._delivered = max(self._delivered, next_offset)
    self._batcher.add(records, self._delivered, now=0.0, consumed_s=0.0)
    self._wake.set()


_apply = Engine.apply


def _apply_all(self: Engine, events: list[Any], next_offset: int) -> Applied:
    before, self._next_offset = self._next_offset, -1
    try:
        return _apply(self, events, next_offset)
    finally:
        self._next_offset = max(self._next_offset, before)


class _AppliedTwice:
    """All three guards against records that come again are off."""

    def __enter__(self) -> None:
        self._patches = [
            patch.object(FetchLoop, "_deliver", _deliver_all),
            patch.object(Shard, "deliver", _queue_all),
            patch.object(Engine, "apply", _apply_all),
        ]
        for each in self._patches:
            each.start()

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()


_arguments = KafkaOptions.consumer_arguments


def _earliest(self: KafkaOptions) -> dict[str, Any]:
    return {**_arguments(self), "auto_offset_reset": "earliest"}


class _GapUnseen:
    def __enter__(self) -> None:
        self._patches = [
            patch.object(Positions, "gap", lambda *_: None),
            patch.object(KafkaOptions, "consumer_arguments", _earliest),
        ]
        for each in self._patches:
            each.start()

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()


async def _none_found(*_: Any) -> dict[Any, Any]:
    return {}


_enter = Continuity.enter


async def _enter_at_committed(
    self: Continuity, tp: TopicPartition, next_offset: int, bounds: tuple[int, int]
) -> int:
    clients: Any = self._probe._clients
    committed: int = clients.committed.get(tp, next_offset)
    return await _enter(self, tp, committed, bounds)


async def _skip_poison(self: FetchLoop, tp: TopicPartition, error: Any) -> None:
    self._careful.pop(tp, None)
    self._positions.next[tp] += 1
    self._seek(tp, self._positions.next[tp])


_install = codecs.install


def _install_unlimited(max_bytes: int) -> None:
    _install(1 << 40)


async def _bury_again(log: Log, letters: list[NewRecord]) -> None:
    """Begin with the first again, whatever the log has by now."""
    for letter in letters:
        await log.append([letter])
    letters.clear()


MUTANTS: list[Mutant] = [
    Mutant(
        "letter_after_checkpoint",
        "a checkpoint passes a record whose dead letter is not durable",
        _replaced(Applier, "plan_flush", _plan_flush),
        _search("crashes", n_cases=4, n_failures=5),
    ),
    Mutant(
        "feed_without_seek_after_error",
        "an error of a fetch is survived without going back to the own positions",
        _replaced(FetchLoop, "_seek", _no_seek),
        _search("flaky"),
    ),
    Mutant(
        "applied_twice",
        "records that come again are new ones",
        _AppliedTwice,
        _search("plain", n_cases=2),
    ),
    Mutant("gap_unseen", "what retention took is jumped over", _GapUnseen, _search("gap")),
    Mutant(
        "fence_ignored",
        "the last record below the checkpoint is not compared",
        _replaced(Continuity, "find_other_records", _none_found),
        _search("another topic by record"),
    ),
    Mutant(
        "topic_id_ignored",
        "a topic made anew is taken for the old one",
        _replaced(Continuity, "find_other_topics", _none_found),
        _search("another topic by id"),
    ),
    Mutant(
        "inflate_limit_off",
        "batches inflate without a limit",
        _replaced(codecs, "install", _install_unlimited),
        _search("unreadable"),
    ),
    Mutant(
        "feed_from_the_committed_offset",
        "reading goes on where the group has committed, not where the manifest stands",
        _replaced(Continuity, "enter", _enter_at_committed),
        _search("group ahead"),
    ),
    Mutant(
        "poison_skipped",
        "a batch that cannot be read is jumped over",
        _replaced(FetchLoop, "halt", _skip_poison),
        _search("unreadable"),
    ),
    Mutant(
        "letters_again",
        "letters that are there are written again with those that are not",
        _replaced(pipeline.shard, "bury", _bury_again),
        _search("plain", n_cases=4, n_failures=20),
    ),
]
