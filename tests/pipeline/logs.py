"""A log in memory, and the source that reads it: the outside of a node, under a test's control."""

from __future__ import annotations

import asyncio
import time
import zlib
from pathlib import Path

from index.rebuild import DamagedShardError
from pipeline.events import NewRecord, Record
from pipeline.feed import Feed, FeedRequest, Sink


class MemoryLog:
    """Survives the node that uses it, as a real log does."""

    def __init__(self, topic: str = "docs", n_partitions: int = 1) -> None:
        self.topic = topic
        self.partitions: list[list[Record]] = [[] for _ in range(n_partitions)]
        self.start = 0
        """The oldest offset that each partition still holds."""
        self.grown = asyncio.Event()
        self.failures: list[Exception] = []
        """Raised by the next appends, one each."""
        self.answer: asyncio.Event | None = None
        """Appends answer only when it is set."""

    @property
    def n_partitions(self) -> int:
        return len(self.partitions)

    def partition_of(self, key: bytes) -> int:
        return zlib.crc32(key) % self.n_partitions

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        if self.failures:
            raise self.failures.pop()
        places = [self.add(record) for record in records]
        if self.answer is not None:
            await self.answer.wait()
        return places

    def add(self, record: NewRecord) -> tuple[int, int]:
        number = record.partition
        if number is None:
            number = self.partition_of(record.key or b"")
        partition = self.partitions[number]
        offset = len(partition)
        now_ms = int(time.time() * 1000)
        partition.append(
            Record(self.topic, number, offset, now_ms, record.key, record.value, record.headers)
        )
        self.grown.set()
        return number, offset

    def put(self, key: str, value: str | None, **headers: str) -> tuple[int, int]:
        """Add one record, as a producer would."""
        pairs = tuple((name, text.encode()) for name, text in headers.items())
        raw = value.encode() if value is not None else None
        return self.add(NewRecord(key.encode(), raw, pairs))

    async def close(self) -> None:
        pass


class MemorySource:
    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.hints: dict[int, int] = {}
        self.next: dict[int, int] = {}
        self.most_records: int | None = None
        """Offset at which to wait."""
        self._stopping = False
        self._reopening: set[int] = set()

    async def run(self, sink: Sink) -> None:
        for number in range(self.log.n_partitions):
            await self._open(sink, number)
        while not self._stopping:
            self.log.grown.clear()
            for number in [*self._reopening]:
                await sink.close_partition(number, True)
                await self._open(sink, number)
            self._reopening.clear()
            for number in [*self.next]:
                fresh = self.log.partitions[number][self.next[number] :]
                if self.most_records is not None:
                    fresh = fresh[: max(self.most_records - self.next[number], 0)]
                if fresh:
                    self.next[number] += len(fresh)
                    await sink.deliver(number, fresh, self.next[number])
            if not self._stopping:
                await self.log.grown.wait()
        for number in range(self.log.n_partitions):
            await sink.close_partition(number, True)

    async def _open(self, sink: Sink, number: int) -> None:
        try:
            try:
                next_offset = await sink.open_partition(number)
            except DamagedShardError:
                end = len(self.log.partitions[number])
                next_offset = await sink.rebuild_partition(number, (self.log.start, end))
        except DamagedShardError as error:
            await sink.fail_partition(number, error)
            return
        self.next[number] = self.log.start if next_offset is None else next_offset

    async def stop(self) -> None:
        self._stopping = True
        self.log.grown.set()

    def reopen(self, partition: int) -> None:
        del self.next[partition]
        self._reopening.add(partition)
        self.log.grown.set()

    def commit_hint(self, partition: int, next_offset: int) -> None:
        self.hints[partition] = next_offset

    def lag(self) -> dict[int, int]:
        return {
            number: len(records) - self.next.get(number, 0)
            for number, records in enumerate(self.log.partitions)
        }

    def is_caught_up(self) -> bool:
        return bool(self.next) and not any(self.lag().values())


class Logs:
    """The logs of all indexes, and `open_feed` for a node."""

    def __init__(self) -> None:
        self.logs: dict[str, MemoryLog] = {}
        self.dead_letters: dict[str, MemoryLog] = {}
        self.sources: dict[str, MemorySource] = {}
        self.most_records: int | None = None
        """Of the sources that are made from now on."""

    async def open_feed(self, request: FeedRequest) -> Feed:
        name = request.index
        log = self.logs.setdefault(name, MemoryLog(name, request.n_shards))
        letters = self.dead_letters.setdefault(name, MemoryLog(f"{name}.dlq"))
        self.sources[name] = MemorySource(log)
        self.sources[name].most_records = self.most_records
        return Feed(log, letters, self.sources[name])


def index_json(data: Path, name: str) -> Path:
    return data / "indexes" / name / "index.json"
