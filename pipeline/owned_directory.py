"""A directory that answers only its owner.

Whoever changes a directory lists it first, and acts on that. A process that is stopped between a
look at its lock and the listing would act on what the next owner made; so the look comes after
the listing. What was listed before it was stopped is old, and index/ownership.py deals with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

from index.directory import AppendFile, Chunk, Directory, OpenFile
from index.reader import U8


class OwnedDirectory:
    """A `Directory`. Raises: FencedError, from `list`, where `require_owned` does."""

    def __init__(self, directory: Directory, require_owned: Callable[[], None]) -> None:
        self._directory = directory
        self._require_owned = require_owned

    def __str__(self) -> str:
        return str(self._directory)

    def list(self) -> list[str]:
        names = self._directory.list()
        self._require_owned()
        return names

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        return self._directory.write_file(name, chunks)

    def map(self, name: str) -> U8:
        return self._directory.map(name)

    def read(self, name: str) -> bytes:
        return self._directory.read(name)

    def size(self, name: str) -> int:
        return self._directory.size(name)

    def open_file(self, name: str) -> OpenFile:
        return self._directory.open_file(name)

    def append_file(self, name: str) -> AppendFile:
        return self._directory.append_file(name)

    def publish(self, temporary: str, name: str) -> None:
        self._directory.publish(temporary, name)

    def rename(self, old: str, new: str) -> None:
        self._directory.rename(old, new)

    def delete(self, name: str) -> None:
        self._directory.delete(name)

    def sync(self) -> None:
        self._directory.sync()

    def scratch(self) -> BinaryIO:
        return self._directory.scratch()

    def free_bytes(self) -> int:
        return self._directory.free_bytes()

    def total_bytes(self) -> int:
        return self._directory.total_bytes()
