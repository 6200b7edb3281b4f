"""The lock on a data directory: one process has it, and finds out when it has it no longer.

The lock is on `node.lock`. Where that file is taken away, or the file system forgets the lock,
another process may begin to work on the directory; the one before must then stop. What it does
until it has looked, each shard refuses (index/ownership.py).

Thread rule: any thread.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO, Final

from index.errors import FencedError, StorageError

FILE_NAME: Final = "node.lock"


class NodeLock:
    def __init__(self, path: Path) -> None:
        """Take the directory for this process; the lock goes with the process.

        Raises: StorageError that names the process which has it.
        """
        self._path = path
        self._file = _lock(path)
        self._id = _id_of(os.fstat(self._file.fileno()))

    def require(self) -> None:
        """Raises: FencedError where the lock is not this process's any more."""
        try:
            found = _id_of((self._path / FILE_NAME).stat())
        except OSError:
            raise FencedError(
                f"{self._path} may have another owner: {FILE_NAME} was removed"
            ) from None
        if found != self._id:
            raise FencedError(f"{self._path} was taken over by another process ({self._owner()})")

    def release(self) -> None:
        self._file.close()

    def keep(self) -> None:
        """Keep it as long as the process, whatever is released."""
        os.dup(self._file.fileno())

    def _owner(self) -> str:
        try:
            return f"pid {(self._path / FILE_NAME).read_text().strip()[:20] or 'unknown'}"
        except OSError:
            return "pid unknown"


def _id_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _lock(path: Path) -> IO[str]:
    try:
        file = (path / FILE_NAME).open("a+")
    except OSError as error:
        raise StorageError(f"{path / FILE_NAME}: {error.strerror or error}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read(100).strip() or "unknown"
        file.close()
        raise StorageError(f"{path} is in use by another process (pid {owner})") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
