"""The embedded log: the durable truth where there is no Kafka.

Each partition has a writer. While it fsyncs one group of appends the next group gathers, so
that any number of concurrent appends share few fsyncs and a lone one waits for one alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from consumers.log_file import MAX_RECORD_BYTES, StoredRecord
from consumers.log_partition import LogReader, PartitionFiles
from consumers.log_source import EmbeddedSource
from consumers.partition import partition_of
from consumers.source import LogError, NewRecord
from index.directory import FsDirectory, OpenDirectory
from index.errors import InvalidRequestError, OverloadError, StorageError

__all__ = ["EmbeddedLog", "EmbeddedSource", "LogOptions"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Options of an embedded log; they affect performance alone."""

    file_bytes: int = 64 << 20
    """Begin a new file behind this much. Smaller: space behind the checkpoint is freed in
    smaller steps; more files."""

    max_pending_bytes: int = 64 << 20
    """Refuse appends (429) while this much waits for the disk."""


class EmbeddedLog:
    """A partitioned log in a directory. Thread rule: the event loop's thread.

    One process at a time has the directory open: another cannot open it.
    """

    def __init__(
        self,
        path: Path | str,
        n_partitions: int = 1,
        *,
        topic: str,
        options: LogOptions | None = None,
        open_directory: OpenDirectory = FsDirectory,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open or make the log. Blocks while the newest file of each partition is checked.

        `topic` is the name that its records carry. `n_partitions` must never change.
        Raises: CorruptionError, StorageError.
        """
        options = options or LogOptions()
        self.topic = topic
        self._clock = clock
        self._turn = count()
        self._pool = ThreadPoolExecutor(min(2 * n_partitions, 8), thread_name_prefix=f"log-{topic}")
        self._writers: list[_Writer] = []
        try:
            for no in range(n_partitions):
                files = PartitionFiles(open_directory(Path(path) / str(no)), options.file_bytes)
                self._writers.append(_Writer(files, self._pool, options))
        except BaseException:
            for writer in self._writers:
                writer.files.close()
            raise
        self._is_closed = False

    @property
    def n_partitions(self) -> int:
        return len(self._writers)

    def partition_of(self, key: bytes) -> int:
        """Return the partition of the records of this key."""
        return partition_of(key, self.n_partitions)

    def start_offset(self, partition: int) -> int:
        """Return the oldest offset that is still held."""
        return self._writers[partition].files.start_offset

    def end_offset(self, partition: int) -> int:
        """Return the offset behind the last durable record."""
        return self._writers[partition].files.next_offset

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        """Return (partition, offset) of each record once all are durable; see `Log.append`.

        Cancelling the wait does not take the records back.
        """
        if self._is_closed:
            raise LogError(f"the log [{self.topic}] is closed")
        places = self._places(records)
        timestamp_ms = int(self._clock() * 1000)
        groups: dict[int, list[StoredRecord]] = {}
        for record, partition in zip(records, places, strict=True):
            stored = StoredRecord(timestamp_ms, record.key, record.value, record.headers)
            if stored.n_bytes > MAX_RECORD_BYTES:
                raise InvalidRequestError(
                    f"record of {stored.n_bytes} bytes, at most {MAX_RECORD_BYTES} are allowed"
                )
            groups.setdefault(partition, []).append(stored)
        for partition, group in groups.items():
            self._writers[partition].require_room(self.topic, group)
        waits = [self._writers[no].append_nowait(group) for no, group in groups.items()]
        await asyncio.gather(*waits, return_exceptions=True)  # one failing, the rest go on
        offsets = {no: count(wait.result()) for no, wait in zip(groups, waits, strict=True)}
        return [(partition, next(offsets[partition])) for partition in places]

    async def read(self, reader: LogReader, max_bytes: int) -> list[StoredRecord]:
        """Read on in a thread; empty at the end of the log."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, reader.read, max_bytes)

    def reader(self, partition: int, offset: int) -> LogReader:
        """Return a reader of one partition from `offset` on; close it after use."""
        return self._writers[partition].files.reader(offset)

    async def wait_past(self, partition: int, offset: int) -> None:
        """Return once a record at `offset` is durable."""
        writer = self._writers[partition]
        while writer.files.next_offset <= offset:
            await writer.grown.wait()

    def cut_behind(self, partition: int, offset: int) -> None:
        """Let go of what lies below `offset`, by whole files, soon."""
        self._writers[partition].cut_behind(offset)

    async def close(self) -> None:
        """Wait for the appends under way and close the files."""
        self._is_closed = True
        for writer in self._writers:
            await writer.close()
        self._pool.shutdown(wait=False)

    def _places(self, records: list[NewRecord]) -> list[int]:
        n_partitions = self.n_partitions
        if n_partitions == 1 and not any(record.partition for record in records):
            return [0] * len(records)
        turn = next(self._turn) % n_partitions  # the records of one call without keys stay together
        places = []
        for record in records:
            if record.partition is not None:
                if not 0 <= record.partition < n_partitions:
                    raise InvalidRequestError(
                        f"partition {record.partition} of the log [{self.topic}] does not exist"
                    )
                places.append(record.partition)
            elif record.key is not None:
                places.append(partition_of(record.key, n_partitions))
            else:
                places.append(turn)
        return places


class _Writer:
    """Gathers appends of one partition and makes each gathering durable in one go.

    Invariant: `_task` runs whenever there is something pending, and nothing else calls the
    writing side of `files`.
    """

    def __init__(
        self, files: PartitionFiles, pool: ThreadPoolExecutor, options: LogOptions
    ) -> None:
        self.files = files
        self.grown = asyncio.Event()
        """Set once, when records became durable; then replaced by a fresh one."""
        self._pool = pool
        self._max_pending_bytes = options.max_pending_bytes
        self._pending: list[tuple[list[StoredRecord], asyncio.Future[int]]] = []
        self._pending_bytes = 0
        self._cut_offset = 0
        self._task: asyncio.Task[None] | None = None

    def require_room(self, topic: str, records: list[StoredRecord]) -> None:
        """Raise OverloadError where `records` come on top of too much."""
        n_bytes = sum([record.n_bytes for record in records])
        if self._pending and self._pending_bytes + n_bytes > self._max_pending_bytes:
            raise OverloadError(
                f"the log [{topic}] has {self._pending_bytes} bytes waiting for the disk"
            )

    def append_nowait(self, records: list[StoredRecord]) -> asyncio.Future[int]:
        """Queue records; the future gives the offset of the first once all are durable."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pending.append((records, done))
        self._pending_bytes += sum([record.n_bytes for record in records])
        self._wake()
        return done

    def cut_behind(self, offset: int) -> None:
        if offset > self._cut_offset and self.files.has_whole_files_behind(offset):
            self._cut_offset = offset
            self._wake()

    async def close(self) -> None:
        while self._task is not None:
            await asyncio.wait([self._task])
        self.files.close()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending or self._cut_offset:
                if self._pending:
                    await self._commit(loop)
                if self._cut_offset:
                    await self._cut(loop)
        finally:
            self._task = None

    async def _cut(self, loop: asyncio.AbstractEventLoop) -> None:
        offset, self._cut_offset = self._cut_offset, 0
        try:
            await loop.run_in_executor(self._pool, self.files.cut_behind, offset)
        except StorageError as error:
            log.warning("log not cut", extra={"reason": str(error)})

    async def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        group, self._pending, self._pending_bytes = self._pending, [], 0
        records = [record for part, _ in group for record in part]
        try:
            offset = await loop.run_in_executor(self._pool, self.files.append, records)
        except Exception as error:
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
            return
        for part, done in group:
            if not done.done():
                done.set_result(offset)
            offset += len(part)
        self.grown.set()
        self.grown = asyncio.Event()
