"""Sinks for tests of sources: they remember what came, and where they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import google_crc32c

from consumers.source import Record
from index.errors import CorruptionError, TailraceError


class RecordingSink:
    """Applies at once, and asserts the rules of a sink: in order, no overlap, only while open."""

    def __init__(self, stored: dict[int, int] | None = None) -> None:
        self.stored = dict(stored or {})
        self.records: dict[int, list[Record]] = {}
        self.open: set[int] = set()
        self.errors: dict[int, TailraceError] = {}
        self.calls: list[tuple[str, int]] = []
        self.backlog: dict[int, int] = {}
        self.skipped: list[tuple[int, int, int]] = []
        """Partition, from, to."""
        self._changed = asyncio.Condition()

    async def open_partition(self, partition: int) -> int | None:
        assert partition not in self.open
        self.open.add(partition)
        await self._note("open", partition)
        return self.stored.get(partition)

    async def close_partition(self, partition: int, flush: bool) -> None:
        self.open.discard(partition)
        await self._note("close", partition)

    async def deliver(self, partition: int, records: list[Record], next_offset: int) -> None:
        assert partition in self.open, "delivered to a closed partition"
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        if offsets:
            assert offsets[0] >= self.stored.get(partition, 0)
            assert next_offset > offsets[-1]
        self.records.setdefault(partition, []).extend(records)
        self.stored[partition] = next_offset
        await self._note("deliver", partition)

    def backlog_bytes(self, partition: int) -> int:
        return self.backlog.get(partition, 0)

    async def fail_partition(self, partition: int, error: TailraceError) -> None:
        self.errors[partition] = error
        await self._note("fail", partition)

    async def skip_gap(self, partition: int, next_offset: int) -> None:
        assert partition in self.open
        self.skipped.append((partition, self.stored.get(partition, 0), next_offset))
        self.stored[partition] = next_offset
        await self._note("skip", partition)

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 30) -> None:
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(condition)

    async def wait_count(self, n_records: int) -> None:
        await self.wait_until(lambda: self.n_records >= n_records)

    @property
    def n_records(self) -> int:
        return sum(map(len, self.records.values()))

    @property
    def values(self) -> list[bytes | None]:
        """All values, partition by partition, in order."""
        return [r.value for p in sorted(self.records) for r in self.records[p]]

    async def _note(self, name: str, partition: int) -> None:
        self.calls.append((name, partition))
        async with self._changed:
            self._changed.notify_all()


async def wait_for(condition: Callable[[], bool], timeout: float = 30) -> None:
    """Wait for what no sink is told, such as a source's own books."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.005)


class FencedSink(RecordingSink):
    """Stands at 3 in partition 0, and says what the last record was."""

    def __init__(self, value: bytes, timestamp_ms: int) -> None:
        super().__init__({0: 3})
        crc32c = google_crc32c.value(value)
        self._fence = {"offset": 2, "timestamp_ms": timestamp_ms, "crc32c": crc32c}

    def fence(self, partition: int) -> dict[str, int] | None:
        return self._fence if partition == 0 else None


class NamedSink(RecordingSink):
    """Remembers which topic it was fed from."""

    def __init__(self, stored: dict[int, int] | None = None, topic_id: str = "") -> None:
        super().__init__(stored)
        self.topic_ids = dict.fromkeys(stored or {}, topic_id)

    def topic_id(self, partition: int) -> str:
        return self.topic_ids.get(partition, "")

    def note_topic_id(self, partition: int, topic_id: str) -> None:
        self.topic_ids[partition] = topic_id


class FailingSink(RecordingSink):
    """Its shard 0 fails in one of its calls, as one on a bad disk does."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self._call = call

    async def open_partition(self, partition: int) -> int | None:
        self._fail("open_partition", partition)
        return await super().open_partition(partition)

    async def deliver(self, partition: int, records: list[Record], next_offset: int) -> None:
        self._fail("deliver", partition)
        await super().deliver(partition, records, next_offset)

    async def close_partition(self, partition: int, flush: bool) -> None:
        await super().close_partition(partition, flush)
        self._fail("close_partition", partition)

    def _fail(self, call: str, partition: int) -> None:
        if (call, partition) == (self._call, 0):
            raise CorruptionError("00001.seg", 7, "checksum differs")
