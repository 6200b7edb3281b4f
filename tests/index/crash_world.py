"""A disk that tells what a power loss could leave of it, at each moment.

A file's bytes are durable when `write_file` returns (it ends in fsync); while it runs, any part
of them may be there. What happened to names since the last `sync` may be there or not, each
change for itself. Removed bytes live on as long as a name may come back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from tests.index.storage_world import MemoryDirectory

Files = dict[str, bytes]
Change = tuple[str, str, bytes]
"""("put", name, bytes) or ("rename", old + "\\0" + new, bytes) or ("delete", name, b"")."""


class CrashDirectory(MemoryDirectory):
    def __init__(self) -> None:
        super().__init__()
        self._durable: Files = {}
        self._pending: list[Change] = []
        self.moments: list[tuple[Files, list[Change], int]] = []
        """Of each moment: durable files, changes of names that may be lost, edits promised."""
        self.promised = 0

    def _note(self) -> None:
        self.moments.append((dict(self._durable), list(self._pending), self.promised))

    def write_file(self, name: str, chunks: Any) -> int:
        n_bytes = super().write_file(name, chunks)
        data = self.files[name]
        for part in (b"", data[: n_bytes // 2], data[:-1] + b"\0"):
            self._pending.append(("put", name, part))
            self._note()
            self._pending.pop()
        self._pending.append(("put", name, data))
        self._note()
        return n_bytes

    def publish(self, temporary: str, name: str) -> None:
        super().publish(temporary, name)
        self._pending.append(("put", name, self.files[name]))
        self._note()
        self._pending.append(("delete", temporary, b""))
        self._note()

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        self._pending.append(("rename", f"{old}\0{new}", self.files[new]))
        self._note()

    def delete(self, name: str) -> None:
        super().delete(name)
        self._pending.append(("delete", name, b""))
        self._note()

    def sync(self) -> None:
        self._durable = dict(self.files)
        self._pending.clear()
        self._note()

    def promise(self) -> None:
        """Count one more edit as durable: whatever is lost from now on, it must be there."""
        self.promised += 1
        self._note()

    def survivors(self) -> Iterator[tuple[MemoryDirectory, int]]:
        """Yield each different disk that a power loss may leave, and the edits promised by then."""
        seen: set[tuple[int, frozenset[tuple[str, bytes]]]] = set()
        for durable, pending, promised in self.moments:
            for chosen in product((False, True), repeat=len(pending)):
                files = dict(durable)
                for change, is_there in zip(pending, chosen, strict=True):
                    if is_there:
                        _apply(files, change)
                state = promised, frozenset(files.items())
                if state not in seen:
                    seen.add(state)
                    yield MemoryDirectory(files), promised


def _apply(files: Files, change: Change) -> None:
    verb, name, data = change
    if verb == "put":
        files[name] = data
    elif verb == "rename":
        old, new = name.split("\0")
        files.pop(old, None)
        files[new] = data
    else:
        files.pop(name, None)
