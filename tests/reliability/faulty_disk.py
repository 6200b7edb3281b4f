"""A disk in memory whose operations fail when they are told to, and that knows what is durable.

A failed `sync` is the worst that the systems in use do: what was given a name before it never
becomes durable by a later one, as if its page had been marked clean. Where files or the disk ran
out before anything was tried, a later one does it all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from errno import EIO, EMFILE, ENOSPC
from typing import BinaryIO

import numpy as np

from index.directory import Chunk
from index.errors import CorruptionError, FencedError, StorageError, storage_error
from index.reader import U8

READS = frozenset({"read", "map", "list", "size", "open", "read_open"})
NEEDS_FILE = READS - {"size", "read_open"} | {
    "write_file",
    "sync",
    "scratch",
    "open",
    "append_file",
}
NEEDS_ROOM = frozenset(
    {"write_file", "publish", "rename", "scratch_write", "append", "append_file"}
)
ERRORS = {"EIO": EIO, "ENOSPC": ENOSPC, "EMFILE": EMFILE}


def can_meet(error: str, verb: str) -> bool:
    """Return whether the operation can end in the error at all."""
    if error == "EMFILE":
        return verb in NEEDS_FILE
    return error == "EIO" or verb in NEEDS_ROOM


@dataclass(slots=True)
class Faults:
    """Which operations fail: those from number `first` on that can meet the error, one or all.

    Shared by all directories of a case, which count their operations here.
    """

    first: int = 1 << 60
    error: str = "EIO"
    is_sticky: bool = False
    is_done_first: bool = False
    """Whether an operation is done, and then said to have failed."""
    n_operations: int = 0
    n_met: int = 0
    is_healed: bool = False
    verb: str = ""
    """The first operation that failed."""

    def meets(self, verb: str) -> bool:
        """Count an operation; return whether it fails."""
        self.n_operations += 1
        if self.is_healed or self.n_operations <= self.first or not can_meet(self.error, verb):
            return False
        if self.n_met and not self.is_sticky:
            return False
        if not self.n_met and self.n_operations != self.first + 1:
            return False
        self.n_met += 1
        self.verb = self.verb or verb
        return True

    def heal(self) -> None:
        self.is_healed = True

    @property
    def are_on(self) -> bool:
        """Return whether something may still fail."""
        return not self.is_healed and (self.is_sticky or not self.n_met)


class FaultyDisk:
    """A `Directory`. What was written is durable when `write_file` returns, names after `sync`."""

    def __init__(
        self,
        faults: Faults | None = None,
        files: Mapping[str, bytes] | None = None,
        capacity: int = 1 << 40,
    ) -> None:
        self.faults = faults or Faults()
        self.files: dict[str, bytes] = dict(files or {})
        self.durable: dict[str, bytes] = dict(self.files)
        self.capacity = capacity
        self.verbs: list[str] = []
        """Of each operation so far."""
        self.n_taken = 0
        """Bytes of others."""
        self.n_no_room = 0
        self._dirty: set[str] = set()
        self.grown: dict[str, FaultyFile] = {}
        """The files that grew here, by name."""

    def __str__(self) -> str:
        return "disk"

    def _begin(self, verb: str, name: str) -> bool:
        """Raise what the operation fails with; return whether it fails after it is done."""
        self.verbs.append(verb)
        if not self.faults.meets(verb):
            return False
        if self.faults.is_done_first and verb not in READS:
            return True
        if verb == "sync" and self.faults.error != "EMFILE":
            self._dirty.clear()
        raise self._error(name)

    def _error(self, name: str) -> Exception:
        number = ERRORS[self.faults.error]
        cause = OSError(number, self.faults.error)
        error = storage_error(name, cause)
        error.__cause__ = cause
        return error

    def _end(self, is_failed: bool, name: str) -> None:
        if is_failed:
            raise self._error(name)

    def _require_room(self, n_bytes: int, name: str) -> None:
        if n_bytes > self.free_bytes():
            self.n_no_room += 1
            raise storage_error(name, OSError(ENOSPC, "no space left on device"))

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        is_failed = self._begin("write_file", name)
        assert name not in self.files, f"{name} is there already"
        data = b"".join(bytes(memoryview(chunk).cast("B")) for chunk in chunks)  # type: ignore[arg-type]
        if is_failed:  # it could not be removed either
            self.files[name] = data[: len(data) // 2]
            self._dirty.add(name)
            raise self._error(name)
        self._require_room(len(data), name)
        self.files[name] = data
        self._dirty.add(name)
        return len(data)

    def map(self, name: str) -> U8:
        self._begin("map", name)
        return np.frombuffer(bytearray(self._data(name)), np.uint8)

    def read(self, name: str) -> bytes:
        self._begin("read", name)
        return self._data(name)

    def size(self, name: str) -> int:
        self._begin("size", name)
        return len(self._data(name))

    def publish(self, temporary: str, name: str) -> None:
        is_failed = self._begin("publish", name)
        data = self._data(temporary)
        if name in self.files:
            raise FencedError(f"{name} is there already, made by another owner")
        self._move(temporary, name, data)
        self._end(is_failed, name)

    def rename(self, old: str, new: str) -> None:
        is_failed = self._begin("rename", old)
        self._move(old, new, self._data(old))
        self._end(is_failed, new)

    def _move(self, old: str, new: str, data: bytes) -> None:
        self.files[new] = data
        del self.files[old]
        self._dirty |= {old, new}

    def delete(self, name: str) -> None:
        is_failed = self._begin("delete", name)
        self._data(name)
        del self.files[name]
        self.grown.pop(name, None)
        self._dirty.add(name)
        self._end(is_failed, name)

    def list(self) -> list[str]:
        self._begin("list", str(self))
        return sorted(self.files)

    def sync(self) -> None:
        is_failed = self._begin("sync", str(self))
        for name in self._dirty:
            if name in self.grown:
                self.durable[name] = self.grown[name].durable
            elif name in self.files:
                self.durable[name] = self.files[name]
            else:
                self.durable.pop(name, None)
        self._dirty.clear()
        self._end(is_failed, str(self))

    def scratch(self) -> BinaryIO:
        self._begin("scratch", "scratch file")
        return _Scratch(self)

    def open_file(self, name: str) -> FaultyFile:
        self._begin("open", name)
        return self.grown.get(name) or FaultyFile(self, name, self._data(name))

    def append_file(self, name: str) -> FaultyFile:
        is_failed = self._begin("append_file", name)
        file = self.grown.get(name) or FaultyFile(self, name, self.files.get(name, b""))
        if name not in self.files:
            self._require_room(1, name)
            self.files[name] = b""
            self._dirty.add(name)
        self.grown[name] = file
        self._end(is_failed, name)
        return file

    def free_bytes(self) -> int:
        return max(self.capacity - self.n_taken - sum(map(len, self.files.values())), 0)

    def total_bytes(self) -> int:
        return self.capacity

    def _data(self, name: str) -> bytes:
        if name not in self.files:
            raise CorruptionError(name, 0, "the file is not there")
        return self.files[name]


class FaultyFile:
    """An `AppendFile`. After a failed sync the system has what was written in memory alone, and
    takes it for written: on the disk are zeros."""

    def __init__(self, disk: FaultyDisk, name: str, data: bytes) -> None:
        self.data = self.durable = data
        self._disk = disk
        self._name = name
        self._unsynced: list[tuple[int, bytes]] = []

    @property
    def n_bytes(self) -> int:
        return len(self.data)

    def read(self, position: int, n_bytes: int) -> bytes:
        self._disk._begin("read_open", self._name)
        return self.data[position : position + n_bytes]

    def write(self, position: int, data: Chunk) -> None:
        is_failed = self._disk._begin("append", self._name)
        new = bytes(memoryview(data).cast("B"))  # type: ignore[arg-type]
        if is_failed:
            self._put(position, new[: len(new) // 2])
            raise self._disk._error(self._name)
        grows = max(position + len(new) - len(self.data), 0)
        self._disk._require_room(grows, self._name)
        self._put(position, new)

    def _put(self, position: int, new: bytes) -> None:
        self.data = put(self.data, position, new)
        self._unsynced.append((position, new))
        self._show()

    def truncate(self, n_bytes: int) -> None:
        is_failed = self._disk._begin("truncate", self._name)
        self.data = self.data[:n_bytes].ljust(n_bytes, b"\0")
        self._unsynced = [(at, new[: max(n_bytes - at, 0)]) for at, new in self._unsynced]
        self.durable = self.durable[:n_bytes]
        self._show()
        self._disk._end(is_failed, self._name)

    def sync(self) -> None:
        try:
            is_failed = self._disk._begin("fsync", self._name)
        except StorageError:
            self._unsynced = [(at, bytes(len(new))) for at, new in self._unsynced]
            self._write_back()
            raise
        self._write_back()
        self._disk._end(is_failed, self._name)

    def _write_back(self) -> None:
        for position, new in self._unsynced:
            self.durable = put(self.durable, position, new)
        self._unsynced.clear()
        if self._name in self._disk.durable:
            self._disk.durable[self._name] = self.durable

    def _show(self) -> None:
        if self._name in self._disk.files:
            self._disk.files[self._name] = self.data

    def close(self) -> None:
        pass


def put(data: bytes, position: int, new: bytes) -> bytes:
    """Return `data` with `new` at `position`."""
    return data.ljust(position, b"\0")[:position] + new + data[position + len(new) :]


class _Scratch(io.BytesIO):
    """A file without a name; its errors are the system's own."""

    def __init__(self, disk: FaultyDisk) -> None:
        super().__init__()
        self._disk = disk

    def write(self, data: object) -> int:
        faults = self._disk.faults
        self._disk.verbs.append("scratch_write")
        if faults.meets("scratch_write"):
            raise OSError(ERRORS[faults.error], faults.error)
        return super().write(data)  # type: ignore[arg-type]
