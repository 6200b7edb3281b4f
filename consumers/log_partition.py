"""One partition of the embedded log on disk: append, read back, cut behind the checkpoint.

Everything here blocks; `log.py` calls it in threads. Thread rule: one thread at a time calls
`append`, `cut_behind` and `close`; any number of readers, each in one thread at a time, run
beside them, because they only look at what `_files` and `LogFile.published` hold, and both
are replaced in one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
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
from index.directory import make_folder
from index.errors import CorruptionError, StorageError


class Extent(NamedTuple):
    """How far a file is durable: its bytes, and the offset behind its last record."""

    end: int
    next_offset: int


@dataclass(slots=True)
class LogFile:
    path: Path
    base_offset: int
    published: Extent | None
    """None for a file that a later one follows: it ends where that one begins."""


class PartitionFiles:
    """The files of one partition, oldest first.

    Invariant: each file begins at the offset where the one before it ends, and only the last
    is written to.
    """

    def __init__(self, directory: Path, file_bytes: int) -> None:
        """Open, or make, the partition. A torn end is cut off.

        Raises: CorruptionError where durable bytes are not what was written; StorageError.
        """
        self.directory = directory
        self._file_bytes = file_bytes
        self._failure: StorageError | None = None
        try:
            make_folder(directory)
            found = [base_offset_of(entry.name) for entry in os.scandir(directory)]
            bases = sorted(base for base in found if base is not None)
            files = [LogFile(directory / file_name(base), base, None) for base in bases]
            if files:
                self._fd = os.open(files[-1].path, os.O_RDWR)
                self._extent = _recover(files[-1], self._fd)
            else:
                file, self._fd = _create(directory, 0)
                files, self._extent = [file], Extent(FILE_HEADER.size, 0)
        except OSError as error:
            raise StorageError(f"cannot open the log in {directory}: {error}") from error
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

        Raises: StorageError; then none of them will ever be read. After a failed fsync the
        partition takes nothing more, for nobody can know what the disk holds.
        """
        if self._failure is not None:
            raise StorageError(str(self._failure))
        if self._extent.end >= self._file_bytes:
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

        The oldest go first, so that a crash between two leaves no hole.
        """
        files = self._files
        n_dead = sum(1 for after in files[1:] if after.base_offset <= offset)
        if n_dead == 0:
            return
        self._files = files[n_dead:]
        try:
            for file in files[:n_dead]:
                file.path.unlink(missing_ok=True)
            _sync_directory(self.directory)
        except OSError as error:
            raise StorageError(f"cannot cut the log in {self.directory}: {error}") from error

    def has_whole_files_behind(self, offset: int) -> bool:
        """Return whether `cut_behind(offset)` would delete anything."""
        return len(self._files) > 1 and self._files[1].base_offset <= offset

    def reader(self, offset: int) -> LogReader:
        """Return a reader whose first record is at `offset`."""
        return LogReader(self, offset)

    def close(self) -> None:
        os.close(self._fd)

    def _rotate(self) -> None:
        try:
            file, fd = _create(self.directory, self._extent.next_offset)
        except OSError as error:
            raise StorageError(f"cannot grow the log in {self.directory}: {error}") from error
        os.close(self._fd)
        self._fd, self._extent = fd, Extent(FILE_HEADER.size, file.base_offset)
        file.published = self._extent
        self._files = (*self._files, file)

    def _write(self, data: bytes, position: int) -> None:
        view = memoryview(data)
        try:
            while view:
                n_written = os.pwrite(self._fd, view, position)
                view, position = view[n_written:], position + n_written
        except OSError as error:
            failure = StorageError(f"cannot write {self._files[-1].path.name}: {error}")
            try:
                os.ftruncate(self._fd, self._extent.end)
            except OSError:
                self._failure = failure
            raise failure from error

    def _sync(self) -> None:
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            # The kernel may have dropped the pages: a second fsync would lie.
            self._failure = StorageError(f"cannot sync {self._files[-1].path.name}: {error}")
            raise self._failure from error


class LogReader:
    """Reads one partition in order, from any offset it still holds. One thread at a time."""

    def __init__(self, log: PartitionFiles, offset: int) -> None:
        self._log = log
        self.next_offset = offset
        self._file: LogFile | None = None
        self._fd = -1
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
                    file.path.name,
                    self._position,
                    f"ends at offset {self.next_offset}, the next begins at {follower.base_offset}",
                )
            self._open(follower)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd, self._file = -1, None

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
            self._fd = os.open(file.path, os.O_RDONLY)
        except OSError as error:
            raise StorageError(f"cannot read {file.path.name}: {error}") from error
        self._file, self._position = file, FILE_HEADER.size
        check_header(file.path, self._fd, file.base_offset)

    def _read_file(self, file: LogFile, max_bytes: int) -> list[StoredRecord]:
        extent = file.published
        end = os.fstat(self._fd).st_size if extent is None else extent.end
        records: list[StoredRecord] = []
        n_bytes = 0
        for frame in _sound_frames(file, self._fd, self._position, end):
            n_skipped = self.next_offset - frame.base_offset
            self._position = frame.end
            if n_skipped >= frame.n_records:
                continue
            if n_skipped < 0:
                raise CorruptionError(
                    file.path.name,
                    frame.position,
                    f"offset {self.next_offset} is missing, {frame.base_offset} follows",
                )
            records += decode_records(file.path.name, frame)[n_skipped:]
            self.next_offset = frame.next_offset
            n_bytes += len(frame.body)
            if n_bytes >= max_bytes:
                break
        return records


def _sound_frames(file: LogFile, fd: int, position: int, end: int) -> Iterator[Frame]:
    try:
        yield from read_frames(fd, position, end)
    except BadFrameError as error:
        raise CorruptionError(file.path.name, error.position, error.reason) from error
    except OSError as error:
        raise StorageError(f"cannot read {file.path.name}: {error}") from error


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


def _create(directory: Path, base_offset: int) -> tuple[LogFile, int]:
    """Make an empty file, durable with its name, before anything is acknowledged from it."""
    path = directory / file_name(base_offset)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _write_header(fd, base_offset)
        _sync_directory(directory)
    except OSError:
        os.close(fd)
        raise
    return LogFile(path, base_offset, None), fd


def _write_header(fd: int, base_offset: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, encode_header(base_offset), 0)
    os.fsync(fd)


def _recover(file: LogFile, fd: int) -> Extent:
    """Find the end of the last file, and cut off what a crash left torn behind it."""
    size = os.fstat(fd).st_size
    if size <= FILE_HEADER.size:
        # No frame, so nothing was acknowledged from it; the header itself may be torn.
        _write_header(fd, file.base_offset)
        return Extent(FILE_HEADER.size, file.base_offset)
    check_header(file.path, fd, file.base_offset)
    end, next_offset = FILE_HEADER.size, file.base_offset
    try:
        for frame in read_frames(fd, end, size):
            if frame.base_offset != next_offset:
                raise CorruptionError(
                    file.path.name,
                    frame.position,
                    f"offset {next_offset} is missing, {frame.base_offset} follows",
                )
            end, next_offset = frame.end, frame.next_offset
    except BadFrameError as error:
        if is_known_durable(fd, error.position, size):
            raise CorruptionError(file.path.name, error.position, error.reason) from error
        os.ftruncate(fd, end)
    # What the crash left in the page cache alone becomes durable before anybody reads it.
    os.fsync(fd)
    return Extent(end, next_offset)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
