"""Where an index's records come from, and where its writes and dead letters go.

These are the protocols that `consumers` implements; the composition root makes a `Feed` for
each index.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from index.directory import FsDirectory, OpenDirectory
from index.errors import TailraceError
from pipeline.events import NewRecord, Record


class SourceError(TailraceError):
    """A partition cannot be read on from where its shard stands."""

    type = "source_exception"

    def __init__(self, reason: str, *, first: int | None = None, end: int | None = None) -> None:
        super().__init__(reason)
        self.first = first
        self.end = end
        """The offsets `[first, end)` that it is about; None: it is not about some."""


class Log(Protocol):
    """A partitioned, ordered, durable log that can be appended to."""

    @property
    def n_partitions(self) -> int: ...

    def partition_of(self, key: bytes) -> int | None:
        """Return where `append` puts a record of this key; None: not known yet."""

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        """Append, and return (partition, offset) of each record once all are durable."""

    async def close(self) -> None: ...


class Sink(Protocol):
    """What a source feeds; an `Index` is one. Thread rule: the node's event loop."""

    async def open_partition(self, partition: int) -> int | None:
        """Recover the partition's shard; return the offset to go on at, None: nothing is stored.

        Raises: DamagedShardError, after which `rebuild_partition` may help; StorageError.
        """

    async def rebuild_partition(self, partition: int, bounds: tuple[int, int]) -> int:
        """Let the shard that could not be opened begin anew; return the offset to go on at.

        Raises: DamagedShardError where the log, which has offsets `[start, end)`, has lost records
        that the shard was made of; StorageError.
        """

    async def close_partition(self, partition: int, flush: bool) -> None:
        """Apply and flush what was delivered (or drop it), and close the shard."""

    async def deliver(self, partition: int, records: list[Record], next_offset: int) -> None:
        """Queue records in offset order. Waits only where the backlog is past its bound."""

    def backlog_bytes(self, partition: int) -> int:
        """Return about how much was delivered and is not searchable yet."""

    async def fail_partition(self, partition: int, error: TailraceError) -> None:
        """Learn that nothing more will come for this shard until an operator acts."""

    async def skip_gap(self, partition: int, next_offset: int) -> None:
        """Learn that the log has lost what lies before `next_offset` and was not delivered, and
        that the operator wants to go on without: the shard remembers it for good."""


class Source(Protocol):
    """Reads a log in order into a sink."""

    async def run(self, sink: Sink) -> None:
        """Read until `stop`. Raises what makes going on impossible."""

    async def stop(self) -> None:
        """Stop reading; closes the partitions it has open, with a flush."""

    def reopen(self, partition: int) -> None:
        """Close the partition's shard soon and open it again: it was found to be damaged."""

    def commit_hint(self, partition: int, next_offset: int) -> None:
        """Learn that everything below `next_offset` is durable in the index."""

    def lag(self) -> dict[int, int]:
        """Return how many records each partition is behind the end of its log."""

    def is_caught_up(self) -> bool:
        """Return whether what the log held at the start has been delivered."""


@dataclass(frozen=True, slots=True)
class Feed:
    log: Log | None
    """Where HTTP writes go; None: the index takes none."""
    dead_letters: Log
    source: Source | None
    """None: records are delivered by someone else, such as a test."""
    topics: tuple[str, ...] = ()
    """Kafka topics in the source's order: what `topic:partition:offset` may name."""
    is_shared: bool = False
    """Whether other nodes may read some of the partitions, as in a Kafka group."""
    is_local: bool = False
    """Whether the log lies on the disk that the index is on."""


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """What a feed is made for."""

    index: str
    path: Path
    """The folder of the index, for a log of its own: `path / "log"`."""
    n_shards: int
    """`number_of_shards`: partitions of an embedded log."""
    open_directory: OpenDirectory = FsDirectory
    """How the directories of such a log are opened."""


OpenFeed = Callable[[FeedRequest], Awaitable[Feed]]
