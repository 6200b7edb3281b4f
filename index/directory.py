"""Where files live: the one seam between the index and a disk.

The write order that makes a commit (docs/format.md) needs few verbs: a file whose bytes are
durable, a name given to it (`publish` where nobody else may have it, `rename` where it replaces),
a delete, and `sync`, which makes names durable. A name given by `write_file`, `append_file`,
`publish`, `rename` or taken by `delete` survives a power loss only after `sync`. The embedded log
grows its files through `append_file`.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import FencedError, StorageError
from index.fs_file import FsAppendFile, FsFile, translated, write_all
from index.reader import U8

Chunk: TypeAlias = bytes | npt.NDArray[Any]
"""What a file is written from: contiguous bytes."""


class OpenFile(Protocol):
    """A file that is open for reading; it stays readable when its name is gone.

    Thread rule: any thread. Raises, all of them: StorageError, whose cause is the OSError.
    """

    @property
    def n_bytes(self) -> int:
        """Return how long the file is now."""

    def read(self, position: int, n_bytes: int) -> bytes:
        """Return the bytes at `position`; fewer than `n_bytes` only where the file ends."""

    def close(self) -> None: ...


class AppendFile(OpenFile, Protocol):
    """A file that grows, and that nobody else can open for that while it is open.

    Thread rule: one thread at a time changes it; any may read beside that.
    """

    def write(self, position: int, data: Chunk) -> None:
        """Put `data` at `position`. After an error any part of it may be there. Durable only
        after `sync`."""

    def sync(self) -> None:
        """Make durable what was written, and the length. One that failed must not be tried again
        on this file: the system may have dropped the pages."""

    def truncate(self, n_bytes: int) -> None:
        """Cut the file off behind `n_bytes`. Durable only after `sync`."""


class Directory(Protocol):
    """A flat set of files. Thread rule: any thread; one name is written by one thread.

    Raises, all of them: StorageError, of the kind that `errors.KINDS` says, whose cause is the
    OSError; CorruptionError for a file that is not there.
    """

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        """Write a new file whose bytes are durable on return; return its length.

        On any error the file is gone again. A failed fsync is never tried again on the same
        file: the system may have dropped the pages. Requires: `name` is not there.
        """

    def map(self, name: str) -> U8:
        """Return the file's bytes, mapped: nothing is copied. They stay as long as the array."""

    def read(self, name: str) -> bytes: ...

    def size(self, name: str) -> int: ...

    def open_file(self, name: str) -> OpenFile:
        """Open a file for reading in pieces. It may grow meanwhile."""

    def append_file(self, name: str) -> AppendFile:
        """Open a file to let it grow; where it is not there it is made, empty.

        There is no `create` mode: whoever must know whether the file was there lists before, and
        has to list again anyway, because the lock came only with the file.
        Raises: StorageError that names the owner, where it is open already, in this or any other
        process.
        """

    def publish(self, temporary: str, name: str) -> None:
        """Give `temporary` its final name, if nothing has that name; all or nothing.

        Raises: FencedError where something has it; `temporary` is then still there. It may also
        stay, beside the final name, after a success that was cut short.
        """

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, over whatever had that name."""

    def delete(self, name: str) -> None:
        """Remove a file. Arrays mapped from it stay as they are."""

    def list(self) -> list[str]:
        """Return the names of all files, sorted."""

    def sync(self) -> None:
        """Make the names durable. Where it failed after it began, which an ExhaustedError does not
        say, names given before may never become durable: only what is given anew can."""

    def scratch(self) -> BinaryIO:
        """Return an empty file without a name, for bytes that need not survive. Closing it
        frees them."""

    def free_bytes(self) -> int:
        """Return how much more this process may write to the disk that the files are on."""

    def total_bytes(self) -> int:
        """Return how much that disk holds when it is full, as far as this process may fill it."""


OpenDirectory: TypeAlias = Callable[[Path], Directory]
"""How the directory of a path is opened, made where it is not there. `FsDirectory` is one."""


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there, their names durable: what is
    durable in a folder that a power loss takes away is lost. Raises: OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    there = missing[-1].parent if missing else path
    with suppress(PermissionError):  # a mount, whose parent is not ours
        # Somebody may have made it and ended before its name was durable.
        sync_folder(there.parent)
    for folder in reversed(missing):
        # One by one: of those that a process leaves unfinished only the last may be volatile.
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. Raises: OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class FsDirectory:
    """A folder of a local file system. Made if it is not there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with translated(str(self.path)):
            make_folder(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        path = self.path / name
        with translated(name):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with translated(name):
                n_bytes = write_all(file, chunks)
                os.fsync(file)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                path.unlink()
            raise
        os.close(file)
        return n_bytes

    def map(self, name: str) -> U8:
        with translated(name), open(self.path / name, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return np.empty(0, np.uint8)
            # Private and writable in name only: kernels take writable arrays, and none writes.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8)

    def read(self, name: str) -> bytes:
        with translated(name):
            return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        with translated(name):
            return (self.path / name).stat().st_size

    def open_file(self, name: str) -> FsFile:
        return FsFile.open(self.path / name)

    def append_file(self, name: str) -> FsAppendFile:
        return FsAppendFile.open(self.path / name)

    def publish(self, temporary: str, name: str) -> None:
        # A second link, unlike a rename, never replaces.
        with translated(temporary):
            try:
                os.link(self.path / temporary, self.path / name)
            except FileExistsError as error:
                raise FencedError(f"{name} is there already, made by another owner") from error
        with suppress(OSError):
            (self.path / temporary).unlink()

    def rename(self, old: str, new: str) -> None:
        with translated(old):
            (self.path / old).rename(self.path / new)

    def delete(self, name: str) -> None:
        with translated(name):
            (self.path / name).unlink()

    def list(self) -> list[str]:
        with translated(str(self.path)), os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())

    def sync(self) -> None:
        with translated(str(self.path)):
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            # Of whatever kind: the system may have dropped what it could not write.
            raise StorageError(f"{self.path}: {error.strerror or error}") from error
        finally:
            os.close(folder)

    def scratch(self) -> BinaryIO:
        with translated(str(self.path)):
            return tempfile.TemporaryFile(dir=self.path, buffering=0)

    def free_bytes(self) -> int:
        with translated(str(self.path)):
            disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def total_bytes(self) -> int:
        with translated(str(self.path)):
            disk = os.statvfs(self.path)
        # What is kept back for the superuser is neither free nor used.
        return (disk.f_blocks - disk.f_bfree + disk.f_bavail) * disk.f_frsize
