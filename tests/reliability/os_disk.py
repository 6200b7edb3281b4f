"""A CrashDisk below the real FsDirectory: what it asks of the system is what is remembered.

So a lost fsync of the product is seen, and CrashDirectory is held to what FsDirectory does. While
`recorded` is entered nothing else may use files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import Any
from unittest.mock import patch

from index.directory import Directory, FsDirectory
from tests.reliability.crash_disk import CrashDisk, Step


class OsDisk(CrashDisk):
    """Files below `root`, an empty folder."""

    def __init__(self, root: Path, base: Mapping[str, bytes] | None = None) -> None:
        super().__init__(base)
        self.root = root
        self._files: dict[int, tuple[int, int]] = {}
        """Of an open file the inode, and where it is written next."""
        self._folders: dict[int, str] = {}
        for path, data in self.base.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def folder(self, path: str | PathLike[str] = "") -> Directory:  # type: ignore[override]
        return FsDirectory(self.root / fspath(path))

    def on_disk(self) -> dict[str, bytes]:
        """Return what the system holds."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {self._path(file): file.read_bytes() for file in files}

    def _path(self, path: Any) -> str:
        return str(Path(path).relative_to(self.root)).removeprefix(".")

    def is_mine(self, path: Any) -> bool:
        return isinstance(path, str | PathLike) and Path(path).is_relative_to(self.root)

    # --- what the system is asked ------------------------------------------------------
    def opened(self, file: int, path: Any, flags: int, was_there: bool) -> None:
        name = self._path(path)
        if flags & os.O_DIRECTORY:
            self._folders[file] = name
        elif flags & (os.O_WRONLY | os.O_RDWR):
            inode = self.names[name] if was_there else self.create(name)
            self._files[file] = inode, 0
            if flags & os.O_TRUNC and was_there:
                self.do(Step("truncate", inode=inode))

    def closed(self, file: int) -> None:
        self._files.pop(file, None)
        self._folders.pop(file, None)

    def wrote(self, file: int, data: bytes, position: int | None) -> None:
        if file not in self._files:
            return
        inode, at = self._files[file]
        if position is None:
            position = at
            self._files[file] = inode, at + len(data)
        last = self.steps[-1] if self.steps else Step("sync")
        end = last.position + len(last.data)
        if (last.verb, last.inode, end) == ("write", inode, position):  # one write, in pieces
            self.steps.pop()
            data, position = last.data + data, last.position
        self.do(Step("write", inode=inode, position=position, data=data))

    def truncated(self, file: int, n_bytes: int) -> None:
        if file in self._files:
            self.do(Step("truncate", inode=self._files[file][0], position=n_bytes))

    def synced(self, file: int) -> None:
        if file in self._files:
            self.do(Step("fsync", inode=self._files[file][0]))
        elif file in self._folders:
            self.do(Step("sync", self._folders[file]))

    def unlinked(self, path: Any) -> None:
        name = self._path(path)
        self.do(Step("unlink", name, inode=self.names[name]))

    def renamed(self, old: Any, new: Any) -> None:
        name = self._path(old)
        self.do(Step("rename", self._path(new), name, self.names[name]))

    def linked(self, old: Any, new: Any) -> None:
        self.do(Step("link", self._path(new), inode=self.names[self._path(old)]))


@contextmanager
def recorded(disk: OsDisk) -> Iterator[None]:
    """While it is entered, what the system is asked to do below the disk's root is remembered."""
    really = {name: getattr(os, name) for name in ("open", "write", "pwrite")}

    def opened(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        mine = disk.is_mine(path) and not flags & os.O_TMPFILE & ~os.O_DIRECTORY
        was_there = mine and os.path.lexists(path)
        file: int = really["open"](path, flags, *rest, **more)
        if mine:
            disk.opened(file, path, flags, was_there)
        return file

    def wrote(file: int, data: Any) -> int:
        n: int = really["write"](file, data)
        disk.wrote(file, bytes(memoryview(data).cast("B")[:n]), None)
        return n

    def put(file: int, data: Any, position: int) -> int:
        n: int = really["pwrite"](file, data, position)
        disk.wrote(file, bytes(memoryview(data).cast("B")[:n]), position)
        return n

    told: dict[str, Callable[..., None]] = {
        "close": disk.closed,
        "fsync": disk.synced,
        "fdatasync": disk.synced,
        "ftruncate": disk.truncated,
    }
    named: dict[str, Callable[..., None]] = {
        "unlink": disk.unlinked,
        "rename": disk.renamed,
        "replace": disk.renamed,
        "link": disk.linked,
    }
    with ExitStack() as stack:
        for name, replaced in (("open", opened), ("write", wrote), ("pwrite", put)):
            stack.enter_context(patch.object(os, name, replaced))
        for name, tell in told.items():
            stack.enter_context(patch.object(os, name, _after(getattr(os, name), tell)))
        for name, tell in named.items():
            after = _after(getattr(os, name), tell, disk.is_mine)
            stack.enter_context(patch.object(os, name, after))
        yield


def _after(
    really: Callable[..., Any],
    tell: Callable[..., None],
    is_mine: Callable[[Any], bool] = lambda first: True,
) -> Callable[..., Any]:
    def did(first: Any, *rest: Any, **more: Any) -> Any:
        answer = really(first, *rest, **more)
        if is_mine(first):
            tell(first, *rest)
        return answer

    return did
