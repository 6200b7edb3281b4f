"""One partition of the embedded log on disk: append, read back, cut behind the checkpoint.

Everything here blocks; `log.py` calls it in threads. Thread rule: one thread at a time calls
`append`, `cut_behind` and `close`; any number of readers, each in one thread at a time, run
beside them, because they only look at what `_files` and `LogFile.published` hold, and both
are replaced in one step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from consumers.log_file import (
    FILE_HEADER,
    MAX_FRAME_BYTES,
    BadFrameError,
    Frame,
    StoredRecord,
    base_offset_of,
    check_header,
    decode_records,
    encode_frame,
    encode_header,
    file_name,
    is_known_durable,
    read_frames,
)
from consumers.log_seal import Seal, break_seal, read_seal, write_seal
from index.directory import AppendFile, Directory, OpenFile
from index.errors import CorruptionError, StorageError

MAX_TRIES = 10
"""Of opening the newest file while its owner begins another."""


class Extent(NamedTuple):
    """How far a file is durable: its bytes, and the offset behind its last record."""

    end: int
    next_offset: int


@dataclass(slots=True)
class LogFile:
    name: str
    base_offset: int
    published: Extent | None
    """None for a file that a later one follows: it ends where that one begins."""


class PartitionFiles:
    """The files of one partition, oldest first. One process at a time has them open: the newest
    file is locked.

    Invariant: each file begins at the offset where the one before it ends, and only the last
    is written to.
    """

    def __init__(self, directory: Directory, file_bytes: int) -> None:
        """Open, or make, the partition. A torn end is cut off.

        Raises: CorruptionError where durable bytes are not what was written; StorageError, also
        where another process has it open.
        """
        self.directory = directory
        self._file_bytes = file_bytes
        self._failure: StorageError | None = None
        files, self._active = _open_newest(directory)
        try:
            seal = read_seal(directory)
            sealed_end = 0
            if seal is not None:
                newest = files[-1]
                sealed_end = seal.sealed_end(newest.name, newest.base_offset, self._active.n_bytes)
            self._extent = _recover(files[-1], self._active, sealed_end)
            break_seal(directory)
            # A name that a crash left volatile, before anything is acknowledged from its file.
            directory.sync()
        except BaseException:
            self._active.close()
            raise
        files[-1].published = self._extent
        self._files = tuple(files)

    @property
    def start_offset(self) -> int:
        """Return the oldest offset that is still held."""
        return self._files[0].base_offset

    @property
    def next_offset(self) -> int:
        """Return the offset behind the last durable record."""
        return self._extent.next_offset

    def append(self, records: list[StoredRecord]) -> int:
        """Make `records` durable and return the offset of the first.

        Raises: StorageError; then none of them will be read. After a failed sync the partition
        takes nothing more, for nobody can know what the disk holds: who opens it again may find
        them.
        """
        if self._failure is not None:
            raise StorageError(str(self._failure))
        if self._extent.end >= max(self._file_bytes, FILE_HEADER.size + 1):
            self._rotate()
        end, base_offset = self._extent
        next_offset, parts = base_offset, []
        for group in _frame_groups(records):
            parts.append(encode_frame(next_offset, group, end))
            next_offset += len(group)
        data = b"".join(parts)
        self._write(data, end)
        self._sync()
        self._extent = Extent(end + len(data), next_offset)
        self._files[-1].published = self._extent
        return base_offset

    def cut_behind(self, offset: int) -> None:
        """Delete the files all of whose records are below `offset`; the last one stays.

        The oldest go first, so that a crash leaves no hole. Raises: StorageError.
        """
        files = self._files
        n_dead = sum(1 for after in files[1:] if after.base_offset <= offset)
        if n_dead == 0:
            return
        self._files = files[n_dead:]
        for file in files[:n_dead]:
            with suppress(CorruptionError):  # gone already
                self.directory.delete(file.name)
            # One after the other: of two names that go together a crash may keep the older.
            self.directory.sync()

    def has_whole_files_behind(self, offset: int) -> bool:
        """Return whether `cut_behind(offset)` would delete anything."""
        return len(self._files) > 1 and self._files[1].base_offset <= offset

    def reader(self, offset: int) -> LogReader:
        """Return a reader whose first record is at `offset`."""
        return LogReader(self, offset)

    def close(self) -> None:
        """Let others open it. What is being read can be read to its end."""
        if self._failure is None:
            write_seal(self.directory, Seal(self._files[-1].base_offset, *self._extent))
        self._active.close()

    def _rotate(self) -> None:
        file, active = _create(self.directory, self._extent.next_offset)
        # Only now: whoever gets the lock of the file before finds that it is not the newest.
        self._active.close()
        self._active, self._extent = active, Extent(FILE_HEADER.size, file.base_offset)
        file.published = self._extent
        self._files = (*self._files, file)

    def _write(self, data: bytes, position: int) -> None:
        try:
            self._active.write(position, data)
        except StorageError as error:
            try:
                self._active.truncate(self._extent.end)
            except StorageError:
                self._failure = error
            raise

    def _sync(self) -> None:
        try:
            self._active.sync()
        except StorageError as error:
            # The kernel may have dropped the pages: a second sync would lie.
            self._failure = StorageError(f"cannot sync the log in {self.directory}: {error}")
            raise self._failure from error


class LogReader:
    """Reads one partition in order, from any offset it still holds. One thread at a time."""

    def __init__(self, log: PartitionFiles, offset: int) -> None:
        self._log = log
        self.next_offset = offset
        self._file: LogFile | None = None
        self._open_file: OpenFile | None = None
        self._position = 0

    def read(self, max_bytes: int) -> list[StoredRecord]:
        """Return the next durable records, about `max_bytes` of them; empty at the end.

        They begin at `next_offset` as it was before the call. Raises: CorruptionError, and
        StorageError where the offset is no longer, or not yet, held.
        """
        while True:
            files = self._log._files
            file = self._current(files)
            last = file is files[-1]
            records = self._read_file(file, max_bytes)
            if records or last:
                return records
            follower = next(other for other in files if other.base_offset > file.base_offset)
            if follower.base_offset != self.next_offset:
                raise CorruptionError(
                    file.name,
                    self._position,
                    f"ends at offset {self.next_offset}, the next begins at {follower.base_offset}",
                )
            self._open(follower)

    def close(self) -> None:
        if self._open_file is not None:
            self._open_file.close()
            self._open_file = self._file = None

    def _current(self, files: tuple[LogFile, ...]) -> LogFile:
        if self._file is not None:
            if self._file.base_offset < files[0].base_offset:
                # Cut off under the reader: what it has not read is gone only below the start.
                self.close()
            else:
                return self._file
        below = [file for file in files if file.base_offset <= self.next_offset]
        if not below:
            raise StorageError(
                f"the log in {self._log.directory} begins at offset {files[0].base_offset}, "
                f"{self.next_offset} is gone"
            )
        self._open(below[-1])
        assert self._file is not None
        return self._file

    def _open(self, file: LogFile) -> None:
        self.close()
        try:
            opened = self._log.directory.open_file(file.name)
        except CorruptionError as error:
            raise StorageError(f"cannot read {file.name}: {error.reason}") from error
        self._open_file, self._file, self._position = opened, file, FILE_HEADER.size
        check_header(file.name, opened, file.base_offset)

    def _read_file(self, file: LogFile, max_bytes: int) -> list[StoredRecord]:
        assert self._open_file is not None
        extent = file.published
        end = self._open_file.n_bytes if extent is None else extent.end
        records: list[StoredRecord] = []
        n_bytes = 0
        for frame in _sound_frames(file, self._open_file, self._position, end):
            n_skipped = self.next_offset - frame.base_offset
            self._position = frame.end
            if n_skipped >= frame.n_records:
                continue
            if n_skipped < 0:
                raise CorruptionError(
                    file.name,
                    frame.position,
                    f"offset {self.next_offset} is missing, {frame.base_offset} follows",
                )
            records += decode_records(file.name, frame)[n_skipped:]
            self.next_offset = frame.next_offset
            n_bytes += len(frame.body)
            if n_bytes >= max_bytes:
                break
        return records


def _sound_frames(file: LogFile, opened: OpenFile, position: int, end: int) -> Iterator[Frame]:
    try:
        yield from read_frames(opened, position, end)
    except BadFrameError as error:
        raise CorruptionError(file.name, error.position, error.reason) from error


def _frame_groups(records: list[StoredRecord]) -> Iterator[list[StoredRecord]]:
    group: list[StoredRecord] = []
    n_bytes = 0
    for record in records:
        n_bytes += record.n_bytes
        if group and n_bytes > MAX_FRAME_BYTES:
            yield group
            group, n_bytes = [], record.n_bytes
        group.append(record)
    if group:
        yield group


def _open_newest(directory: Directory) -> tuple[list[LogFile], AppendFile]:
    """Return the files, of which the newest is open and locked; a new one where there is none."""
    for _ in range(MAX_TRIES):
        bases = _bases(directory)
        if not bases:
            file, active = _create(directory, 0)
            return [file], active
        active = directory.append_file(file_name(bases[-1]))
        # The one who had it open may have begun another just before he let go of it.
        if _bases(directory)[-1:] == bases[-1:]:
            files = [LogFile(file_name(base), base, None) for base in bases]
            if active.n_bytes > FILE_HEADER.size:
                return files, active
            # Nothing was acknowledged from it. Made anew: where its name could not be made
            # durable, and it not be removed, no later sync of the names would do it.
            directory.delete(files[-1].name)
            active.close()
            files[-1], active = _create(directory, bases[-1])
            return files, active
        active.close()
    raise StorageError(f"{directory} is being written to by another process")


def _bases(directory: Directory) -> list[int]:
    found = [base_offset_of(name) for name in directory.list()]
    return sorted(base for base in found if base is not None)


def _create(directory: Directory, base_offset: int) -> tuple[LogFile, AppendFile]:
    """Make an empty file, durable with its name, before anything is acknowledged from it."""
    name = file_name(base_offset)
    file = directory.append_file(name)
    try:
        _write_header(file, base_offset)
        directory.sync()
    except StorageError:
        # Never synced again: the next try gets another file.
        with suppress(StorageError):
            directory.delete(name)
        file.close()
        raise
    return LogFile(name, base_offset, None), file


def _write_header(file: AppendFile, base_offset: int) -> None:
    file.truncate(0)
    file.write(0, encode_header(base_offset))
    file.sync()


def _recover(file: LogFile, opened: AppendFile, sealed_end: int) -> Extent:
    """Find the end of the last file, and cut off what a crash left torn behind it. Nothing is torn
    before `sealed_end`."""
    size = opened.n_bytes
    if size <= FILE_HEADER.size:
        return Extent(FILE_HEADER.size, file.base_offset)
    check_header(file.name, opened, file.base_offset)
    end, next_offset = FILE_HEADER.size, file.base_offset
    durable_end = end
    try:
        for frame in read_frames(opened, end, size):
            if frame.base_offset != next_offset:
                raise CorruptionError(
                    file.name,
                    frame.position,
                    f"offset {next_offset} is missing, {frame.base_offset} follows",
                )
            end, next_offset = frame.end, frame.next_offset
            durable_end = frame.durable_end
    except BadFrameError as error:
        if error.position < sealed_end or is_known_durable(opened, error.position, size):
            raise CorruptionError(file.name, error.position, error.reason) from error
        opened.truncate(end)
    # What the crash left in the page cache alone becomes durable before anybody reads it. It is
    # written again for that: where its sync failed, the system takes it for written.
    opened.write(durable_end, opened.read(durable_end, end - durable_end))
    opened.sync()
    return Extent(end, next_offset)
