"""Where files live: the one seam between the index and a disk.

The write order that makes a commit (docs/format.md) needs four verbs: a file whose bytes are
durable, a rename, a delete, and `sync`, which makes names durable. A name given by
`write_file`, `rename` or taken by `delete` survives a power loss only after `sync`.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from index.errors import CorruptionError, StorageError
from index.reader import U8

Chunk: TypeAlias = bytes | npt.NDArray[Any]
"""What a file is written from: contiguous bytes."""


class Directory(Protocol):
    """A flat set of files. Thread rule: any thread; one name is written by one thread.

    Raises, all of them: StorageError; CorruptionError for a file that is not there.
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

    def rename(self, old: str, new: str) -> None: ...

    def delete(self, name: str) -> None:
        """Remove a file. Arrays mapped from it stay as they are."""

    def list(self) -> list[str]:
        """Return the names of all files, sorted."""

    def sync(self) -> None:
        """Make the names durable."""

    def scratch(self) -> BinaryIO:
        """Return an empty file without a name, for bytes that need not survive. Closing it
        frees them."""


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise CorruptionError(name, 0, "the file is not there") from None
    except OSError as error:
        raise StorageError(f"{name}: {error.strerror or error}") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there, their names durable: what is
    durable in a folder that a power loss takes away is lost. Raises: OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        _sync_folder(folder.parent)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class FsDirectory:
    """A folder of a local file system. Made if it is not there."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with _translated(str(self.path)):
            make_folder(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        path = self.path / name
        with _translated(name):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with _translated(name):
                n_bytes = _write_all(file, chunks)
                os.fsync(file)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                path.unlink()
            raise
        os.close(file)
        return n_bytes

    def map(self, name: str) -> U8:
        with _translated(name), open(self.path / name, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return np.empty(0, np.uint8)
            # Private and writable in name only: kernels take writable arrays, and none writes.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return np.frombuffer(mapped, np.uint8)

    def read(self, name: str) -> bytes:
        with _translated(name):
            return (self.path / name).read_bytes()

    def size(self, name: str) -> int:
        with _translated(name):
            return (self.path / name).stat().st_size

    def rename(self, old: str, new: str) -> None:
        with _translated(old):
            (self.path / old).rename(self.path / new)

    def delete(self, name: str) -> None:
        with _translated(name):
            (self.path / name).unlink()

    def list(self) -> list[str]:
        with _translated(str(self.path)), os.scandir(self.path) as entries:
            return sorted(entry.name for entry in entries if entry.is_file())

    def sync(self) -> None:
        with _translated(str(self.path)):
            _sync_folder(self.path)

    def scratch(self) -> BinaryIO:
        with _translated(str(self.path)):
            return tempfile.TemporaryFile(dir=self.path, buffering=0)


def _write_all(file: int, chunks: Iterable[Chunk]) -> int:
    """Write every byte of every chunk; a short write is continued."""
    n_bytes = 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")  # type: ignore[arg-type]
        while view:
            n = os.write(file, view)
            n_bytes += n
            view = view[n:]
    return n_bytes
