"""A disk in memory that remembers each step, so that `survivors` can tell what a power loss leaves.

Names and bytes are apart, as in a file system: a name leads to an inode, an inode has bytes. What
is done to bytes is durable after the file's own fsync, what is done to names after the folder's
`sync`, and neither brings the other about.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np

from index.directory import Chunk
from index.errors import CorruptionError, FencedError, StorageError
from index.reader import U8

Files: TypeAlias = dict[str, bytes]
"""What lies on a disk: path -> bytes."""

Verb = Literal["create", "link", "rename", "unlink", "sync", "write", "truncate", "fsync", "note"]
NAMING: frozenset[Verb] = frozenset({"create", "link", "rename", "unlink"})
"""What is done to names; pending until the folder's `sync`."""


class Step(NamedTuple):
    """One thing that was done to a disk."""

    verb: Verb
    name: str = ""
    """The path that is given (create, link, rename) or taken (unlink); of a sync the folder."""
    old: str = ""
    """The path that a rename takes."""
    inode: int = -1
    position: int = 0
    """Of a write; of a truncate the length."""
    data: bytes = b""
    told: Any = None
    """Of a note."""


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def rename_in(names: dict[str, int], step: Step) -> None:
    """Do to a table of names what the step does to it."""
    if step.verb == "unlink":
        if names.get(step.name) == step.inode:
            del names[step.name]
        return
    if step.verb == "rename" and names.get(step.old) == step.inode:
        del names[step.old]
    names[step.name] = step.inode


def change_bytes(data: bytes, step: Step) -> bytes:
    """Return what the step, a write or a truncate, makes of a file's bytes."""
    at = step.position
    if step.verb == "truncate":
        return data[:at] + bytes(max(at - len(data), 0))
    hole = bytes(max(at - len(data), 0))
    return data[:at] + hole + step.data + data[at + len(step.data) :]


class CrashDisk:
    """The disk as the running process sees it, and what was done to it since it was `base`.

    Everything in `base` is durable.
    """

    def __init__(self, base: Mapping[str, bytes] | None = None) -> None:
        self.base: Files = dict(base or {})
        self.steps: list[Step] = []
        self.names = {path: number for number, path in enumerate(sorted(self.base))}
        self.data = {number: self.base[path] for path, number in self.names.items()}
        self.locked: set[int] = set()
        """Inodes that are open for appending."""
        self._n_inodes = len(self.names)

    @classmethod
    def killed(cls, base: Mapping[str, bytes], steps: Iterable[Step]) -> CrashDisk:
        """Return the disk of a process that ended after `steps`: the system lives on, so that all
        was done, and what was not durable still is not."""
        disk = cls(base)
        for step in steps:
            disk.do(step)
        return disk

    @property
    def files(self) -> Files:
        return {path: self.data[inode] for path, inode in self.names.items()}

    def folder(self, path: str | PathLike[str] = "") -> CrashDirectory:
        """Return a folder. There is every folder: `make_folder` makes their names durable."""
        return CrashDirectory(self, fspath(path).strip("/"))

    def note(self, told: Any) -> None:
        """Remember what is promised from now on."""
        self.steps.append(Step("note", told=told))

    def do(self, step: Step) -> None:
        """Do it, and remember it."""
        self.steps.append(step)
        verb = step.verb
        if verb in NAMING:
            rename_in(self.names, step)
            self._n_inodes = max(self._n_inodes, step.inode + 1)
            if verb == "create":
                self.data[step.inode] = b""
        elif verb == "write" or verb == "truncate":
            self.data[step.inode] = change_bytes(self.data[step.inode], step)

    def create(self, path: str) -> int:
        inode = self._n_inodes
        self.do(Step("create", path, inode=inode))
        return inode


class CrashDirectory:
    """A folder of a CrashDisk: a `Directory` in all its ways, and as strict as it may be."""

    def __init__(self, disk: CrashDisk, path: str) -> None:
        self.disk = disk
        self.path = path
        self._prefix = f"{path}/" if path else ""

    def __str__(self) -> str:
        return self.path or "."

    def _inode(self, name: str) -> int:
        inode = self.disk.names.get(self._prefix + name)
        if inode is None:
            raise CorruptionError(name, 0, "the file is not there")
        return inode

    def _new(self, name: str) -> int:
        if self._prefix + name in self.disk.names:
            raise StorageError(f"{name}: File exists")
        return self.disk.create(self._prefix + name)

    def write_file(self, name: str, chunks: Iterable[Chunk]) -> int:
        inode = self._new(name)
        try:
            data = b"".join(bytes(memoryview(chunk).cast("B")) for chunk in chunks)  # type: ignore[arg-type]
        except BaseException:
            self.delete(name)
            raise
        self.disk.do(Step("write", inode=inode, data=data))
        self.disk.do(Step("fsync", inode=inode))
        return len(data)

    def map(self, name: str) -> U8:
        return np.frombuffer(bytearray(self.read(name)), np.uint8)

    def read(self, name: str) -> bytes:
        return self.disk.data[self._inode(name)]

    def size(self, name: str) -> int:
        return len(self.read(name))

    def rename(self, old: str, new: str) -> None:
        inode = self._inode(old)
        self.disk.do(Step("rename", self._prefix + new, self._prefix + old, inode))

    def publish(self, temporary: str, name: str) -> None:
        inode = self._inode(temporary)
        if self._prefix + name in self.disk.names:
            raise FencedError(f"{name} is there already")
        self.disk.do(Step("link", self._prefix + name, inode=inode))
        self.disk.do(Step("unlink", self._prefix + temporary, inode=inode))

    def delete(self, name: str) -> None:
        inode = self._inode(name)
        self.disk.do(Step("unlink", self._prefix + name, inode=inode))

    def list(self) -> list[str]:
        n = len(self._prefix)
        names = self.disk.names
        return sorted(path[n:] for path in names if folder_of(path) == self.path)

    def sync(self) -> None:
        self.disk.do(Step("sync", self.path))

    def scratch(self) -> BinaryIO:
        return io.BytesIO()

    def open_file(self, name: str) -> CrashFile:
        return CrashFile(self.disk, name, self._inode(name))

    def append_file(self, name: str) -> CrashFile:
        inode = self.disk.names.get(self._prefix + name)
        if inode is None:
            inode = self._new(name)
        if inode in self.disk.locked:
            raise StorageError(f"{name} is in use by this process")
        self.disk.locked.add(inode)
        return CrashFile(self.disk, name, inode)

    def free_bytes(self) -> int:
        return 1 << 40

    def total_bytes(self) -> int:
        return 1 << 41


class CrashFile:
    """A file that is open: an `AppendFile`."""

    def __init__(self, disk: CrashDisk, name: str, inode: int) -> None:
        self.name = name
        self._disk = disk
        self._inode = inode

    @property
    def n_bytes(self) -> int:
        return len(self._disk.data[self._inode])

    def read(self, position: int, n_bytes: int) -> bytes:
        return self._disk.data[self._inode][position : position + n_bytes]

    def write(self, position: int, data: Chunk) -> None:
        copy = bytes(memoryview(data).cast("B"))  # type: ignore[arg-type]
        self._disk.do(Step("write", inode=self._inode, position=position, data=copy))

    def sync(self) -> None:
        self._disk.do(Step("fsync", inode=self._inode))

    def truncate(self, n_bytes: int) -> None:
        self._disk.do(Step("truncate", inode=self._inode, position=n_bytes))

    def close(self) -> None:
        self._disk.locked.discard(self._inode)
