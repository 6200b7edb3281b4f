"""Topics in memory: what a broker keeps of each partition, and how it may be damaged."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum, auto

from aiokafka import TopicPartition

Headers = tuple[tuple[str, bytes | None], ...]


class Kind(Enum):
    RECORD = auto()
    MARKER = auto()
    """Ends a transaction: takes an offset, is never handed to a consumer."""
    ABORTED = auto()
    """Of a transaction that was aborted: seen only by those who read what is uncommitted."""


@dataclass(frozen=True, slots=True)
class Entry:
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    kind: Kind = Kind.RECORD


class Poison(Enum):
    """What a consumer meets where a batch is bad."""

    CORRUPT = auto()
    TOO_LARGE = auto()


@dataclass(slots=True)
class Bad:
    poison: Poison
    times: int | None
    """How many fetches meet it; None: all."""


class FakePartition:
    """The log of one partition. Offsets rise; there may be holes."""

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.start = 0
        self.end = 0
        self.entries: list[Entry] = []
        self.history: list[Entry] = []
        """The entries, and before them those that retention has dropped."""
        self.past: list[list[Entry]] = []
        """What the history was before each cut: what somebody may have read."""
        self.bad: dict[int, Bad] = {}
        self.is_frozen = False
        """Whether it takes no records for now, as while it has no leader."""
        self._waiters: list[asyncio.Future[None]] = []

    def append(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        timestamp_ms: int = 0,
        kind: Kind = Kind.RECORD,
    ) -> int:
        """Return the offset."""
        offset = self.end
        entry = Entry(offset, timestamp_ms, key, value, headers, kind)
        self.entries.append(entry)
        self.history.append(entry)
        self.end += 1
        self.wake()
        return offset

    def leave_hole(self, n_offsets: int) -> None:
        """Take offsets that nobody will ever read, as compaction leaves them."""
        self.end += n_offsets

    def from_offset(self, offset: int, most: int) -> list[Entry]:
        place = bisect_left(self.entries, offset, key=lambda entry: entry.offset)
        return self.entries[place : place + most]

    def at(self, offset: int) -> Entry | None:
        found = self.from_offset(offset, 1)
        return found[0] if found and found[0].offset == offset else None

    def is_out_of_range(self, offset: int) -> bool:
        return not self.start <= offset <= self.end

    # --- what happens to logs ------------------------------------------------------------------
    def retain_from(self, start: int) -> None:
        """Drop what lies before `start`, as retention does."""
        self.start = max(self.start, min(start, self.end))
        self.entries = self.from_offset(self.start, len(self.entries))
        self.wake()

    def truncate(self, end: int) -> None:
        """Lose what was acknowledged, as an unclean election does."""
        self.past.append(self.history)
        self.end = max(min(self.end, end), self.start)
        self.history = [entry for entry in self.history if entry.offset < self.end]
        self.entries = [entry for entry in self.entries if entry.offset < self.end]
        self.wake()

    def recreate(self) -> None:
        """Be another, empty log."""
        self.past.append(self.history)
        self.start = self.end = 0
        self.entries, self.history = [], []
        self.bad.clear()
        self.wake()

    def wake(self) -> None:
        """Let those look again who wait for something to read."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def wait(self, waiter: asyncio.Future[None]) -> None:
        """Have `waiter` set when there may be something to read."""
        self._waiters.append(waiter)


@dataclass(slots=True)
class FakeTopic:
    name: str
    incarnation: int
    """Another one once the topic was made anew."""
    partitions: list[FakePartition] = field(default_factory=list)
