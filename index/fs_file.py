"""Open files of a local file system: read in pieces, or grown under a lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from index.errors import CorruptionError, StorageError, storage_error

LOG_MODE = 0o600


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn what the system says about a file into the errors of the index."""
    try:
        yield
    except FileNotFoundError:
        raise CorruptionError(name, 0, "the file is not there") from None
    except OSError as error:
        raise storage_error(name, error) from error


def write_all(file: int, chunks: Iterable[Any]) -> int:
    """Write every byte of every chunk; a short write is continued."""
    n_bytes = 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            n = os.write(file, view)
            n_bytes += n
            view = view[n:]
    return n_bytes


class FsFile:
    """See `directory.OpenFile`."""

    def __init__(self, name: str, file: int) -> None:
        self.name = name
        self._file = file

    @classmethod
    def open(cls, path: Path) -> Self:
        with translated(path.name):
            return cls(path.name, os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    @property
    def n_bytes(self) -> int:
        with translated(self.name):
            return os.fstat(self._file).st_size

    def read(self, position: int, n_bytes: int) -> bytes:
        parts: list[bytes] = []
        with translated(self.name):
            while n_bytes > 0:
                part = os.pread(self._file, n_bytes, position)
                if not part:
                    break
                parts.append(part)
                position += len(part)
                n_bytes -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class FsAppendFile(FsFile):
    """See `directory.AppendFile`. The lock is on the file itself: removing another file, or this
    one's name, does not let anybody in."""

    @classmethod
    def open(cls, path: Path) -> Self:
        with translated(path.name):
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, LOG_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _holder_of(file)
            os.close(file)
            raise StorageError(f"{path} is in use by {owner}") from error
        except OSError as error:
            os.close(file)
            raise StorageError(f"{path} cannot be locked: {error.strerror}") from error
        return cls(path.name, file)

    def write(self, position: int, data: Any) -> None:
        view = memoryview(data).cast("B")
        with translated(self.name):
            while view:
                n = os.pwrite(self._file, view, position)
                view, position = view[n:], position + n

    def sync(self) -> None:
        with translated(self.name):
            os.fdatasync(self._file)

    def truncate(self, n_bytes: int) -> None:
        with translated(self.name):
            os.ftruncate(self._file, n_bytes)


def _holder_of(file: int) -> str:
    """Say who has the lock on a file, as far as the system tells."""
    status = os.fstat(file)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return "another process"
    for words in map(str.split, lines):
        if len(words) > 5 and words[1] == "FLOCK" and words[5] == place:
            return "this process" if words[4] == str(os.getpid()) else f"process {words[4]}"
    return "another process"
