"""The disks of a simulation: folders in memory that forget, fail and have more than one owner.

Bytes are durable when `write_file` returns, names only after `sync`; a power loss keeps any part
of the changes of names since then. Who publishes a manifest is told to `on_manifest`, whoever it
is: what several owners of one folder may do is the simulation's business.
"""

from __future__ import annotations

import errno
import io
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from index.directory import Chunk, OpenFile
from index.errors import KINDS, CorruptionError, FencedError, StorageError
from index.manifest import generation_of
from index.reader import U8

TOTAL_BYTES = 1 << 40

OnManifest = Callable[["SimFolder", str, bytes], None]


class SimFolder:
    """One folder, whoever has it open."""

    def __init__(self, name: str, on_manifest: OnManifest) -> None:
        self.name = name
        self.files: dict[str, bytearray] = {}
        self.durable: dict[str, bytearray] = {}
        self.on_manifest = on_manifest
        self.errors: list[int] = []
        """Error numbers that the next writes fail with."""
        self._pending: list[tuple[str, bytearray | None]] = []

    def lose_power(self, rng: random.Random) -> None:
        """Keep what is durable, and any part of what was done to names since."""
        names = dict(self.durable)
        for name, data in self._pending:
            if rng.random() < 0.5:
                continue
            if data is None:
                names.pop(name, None)
            else:
                names[name] = data
        self.files = names
        self.durable = dict(names)
        self._pending.clear()

    def wipe(self) -> None:
        """Have nothing any more: an operator removed it, or the disk is another one."""
        self.files.clear()
        self.durable.clear()
        self._pending.clear()

    def put(self, name: str, data: bytearray | None) -> None:
        if data is None:
            del self.files[name]
        else:
            self.files[name] = data
        self._pending.append((name, data))

    def settle(self) -> None:
        self.durable = dict(self.files)
        self._pending.clear()


class SimDirectory:
    """A folder as one owner has it open; see `index.directory.Directory`."""

    def __init__(self, folder: SimFolder) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return self._folder.name

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        self._may_fail(name)
        assert name not in self._folder.files, f"{name} is there already"
        data = bytearray()
        for chunk in chunks:
            data += memoryview(chunk).cast("B")  # type: ignore[arg-type]
        self._folder.put(name, data)
        return len(data)

    def map(self, name: str) -> U8:
        return np.frombuffer(self._data(name), np.uint8)

    def read(self, name: str) -> bytes:
        return bytes(self._data(name))

    def size(self, name: str) -> int:
        return len(self._data(name))

    def publish(self, temporary: str, name: str) -> None:
        self._may_fail(name)
        if name in self._folder.files:
            raise FencedError(f"{name} is there already, made by another owner")
        data = self._data(temporary)
        self._folder.put(name, data)
        self._folder.put(temporary, None)
        self._note_manifest(name, data)

    def rename(self, old: str, new: str) -> None:
        self._may_fail(new)
        data = self._data(old)
        self._folder.put(old, None)
        self._folder.put(new, data)
        self._note_manifest(new, data)

    def delete(self, name: str) -> None:
        self._data(name)
        self._folder.put(name, None)

    def list(self) -> list[str]:
        return sorted(self._folder.files)

    def sync(self) -> None:
        self._may_fail("")
        self._folder.settle()

    def scratch(self) -> BinaryIO:
        return io.BytesIO()

    def free_bytes(self) -> int:
        return TOTAL_BYTES

    def total_bytes(self) -> int:
        return TOTAL_BYTES

    def open_file(self, name: str) -> OpenFile:
        raise NotImplementedError("no embedded log here")

    def append_file(self, name: str) -> Any:
        raise NotImplementedError("no embedded log here")

    def _data(self, name: str) -> bytearray:
        data = self._folder.files.get(name)
        if data is None:
            raise CorruptionError(name, 0, "the file is not there")
        return data

    def _note_manifest(self, name: str, data: bytearray) -> None:
        if generation_of(name) is not None:
            self._folder.on_manifest(self._folder, name, bytes(data))

    def _may_fail(self, name: str) -> None:
        if not self._folder.errors:
            return
        number = self._folder.errors.pop(0)
        cause = OSError(number, errno.errorcode[number])
        raise KINDS.get(number, StorageError)(f"{name}: {cause.strerror}") from cause


class SimDisk:
    """The folders of one machine."""

    def __init__(self, name: str, on_manifest: OnManifest) -> None:
        self.name = name
        self.folders: dict[str, SimFolder] = {}
        self._on_manifest = on_manifest

    def folder(self, path: Path) -> SimFolder:
        key = str(path)
        if key not in self.folders:
            self.folders[key] = SimFolder(f"{self.name}:{key}", self._on_manifest)
        return self.folders[key]

    def open(self, path: Path) -> SimDirectory:
        return SimDirectory(self.folder(path))

    def lose_power(self, rng: random.Random) -> None:
        for folder in self.folders.values():
            folder.lose_power(rng)
