"""What all sources and logs share: their protocols, their errors, and the fence.

The protocols are the pipeline's. A source drives one index: it learns from the sink where each
shard stands, hands over the records from there on in order, and keeps its own positions; what
the broker believes about them is never asked. It closes every partition that it opened, also
one that failed. Troubles of the broker are waited out. A `TailraceError` of the sink is one
shard's trouble and ends that partition alone; any other error of the sink ends `run`.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import google_crc32c

from index.errors import TailraceError
from pipeline.events import NewRecord, Record
from pipeline.feed import Log, Sink, Source, SourceError
from pipeline.tokens import SHARDS_PER_TOPIC

__all__ = [
    "DataGapError",
    "KnowsTopic",
    "Log",
    "LogError",
    "NewRecord",
    "PoisonError",
    "Record",
    "ReplacedError",
    "Sink",
    "Source",
    "SourceError",
    "TopicReplacedError",
    "TruncatedError",
    "fence_of",
    "is_behind_fence",
    "shard_no",
]


class DataGapError(SourceError):
    """The log no longer holds records that the shard has not seen."""

    def __init__(self, topic: str, partition: int, next_offset: int, log_start: int) -> None:
        super().__init__(
            f"{topic}:{partition} begins at offset {log_start}, but the shard needs "
            f"{next_offset}: {log_start - next_offset} offsets are gone",
            first=next_offset,
            end=log_start,
        )
        self.next_offset = next_offset
        self.log_start = log_start


class TruncatedError(SourceError):
    """The log ends before the shard does: it lost records, or it is another log."""

    def __init__(self, topic: str, partition: int, next_offset: int, log_end: int) -> None:
        super().__init__(
            f"{topic}:{partition} ends at offset {log_end}, but the shard has seen "
            f"{next_offset}: the log was cut or made anew",
            first=log_end,
            end=next_offset,
        )
        self.next_offset = next_offset
        self.log_end = log_end


class ReplacedError(SourceError):
    """The log holds another record where the shard has one: it is another log."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(
            f"{topic}:{partition} holds another record at offset {offset} than the shard has "
            "seen: the log was made anew, or lost what it had acknowledged",
            first=0,
            end=offset + 1,
        )
        self.offset = offset


class TopicReplacedError(ReplacedError):
    """The topic was deleted and made anew: its offsets mean other records."""

    def __init__(self, topic: str, partition: int, seen: str, found: str) -> None:
        SourceError.__init__(
            self,
            f"{topic}:{partition} is of a topic with id {found}, but the shard has read the one "
            f"with id {seen}: the topic was deleted and made anew",
        )
        self.seen = seen
        self.found = found


class PoisonError(SourceError):
    """A stretch of the log cannot be decoded, however often it is fetched."""

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(
            f"{topic}:{partition} at offset {offset} cannot be read: {reason}", first=offset
        )
        self.offset = offset


class LogError(TailraceError):
    """A log did not take a write; it may or may not hold it."""

    type = "log_exception"
    status = 503


@runtime_checkable
class Fenced(Protocol):
    """A sink that remembers the last record below its checkpoint."""

    def fence(self, partition: int) -> dict[str, int] | None:
        """Return `offset`, `timestamp_ms` and `crc32c` (of the value) of that record."""
        ...


@runtime_checkable
class KnowsTopic(Protocol):
    """A sink that remembers which topic a shard was read from."""

    def topic_id(self, partition: int) -> str:
        """Return what was noted of an open shard; empty where nothing was."""
        ...

    def note_topic_id(self, partition: int, topic_id: str) -> None:
        """Learn the id; it is durable with the next checkpoint."""
        ...


def fence_of(sink: Sink, partition: int) -> dict[str, int] | None:
    """Return the fence of an open shard, None where the sink keeps none."""
    return sink.fence(partition) if isinstance(sink, Fenced) else None


def is_behind_fence(fence: dict[str, int], timestamp_ms: int, value: bytes | None) -> bool:
    """Return whether the record now at the fence's offset is the one the shard has applied."""
    crc32c: int = google_crc32c.value(value or b"")
    return timestamp_ms == fence["timestamp_ms"] and crc32c == fence["crc32c"]


def shard_no(topics: tuple[str, ...], topic: str, partition: int) -> int:
    """Number the shards of a source: the first topic's are its partitions.

    A topic appended to `topics` changes no number. Requires: partition < 65,536.
    """
    return topics.index(topic) * SHARDS_PER_TOPIC + partition
