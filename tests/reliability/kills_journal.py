"""What writers were told, kept in a file that is synced before they go on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson


class Write(NamedTuple):
    """A write and what became of it. A key's writes are made one after the other."""

    index: str
    key: str
    number: int | None
    """What the document says in `n`; None deletes it."""
    is_acknowledged: bool
    partition: int = -1
    offset: int = -1
    """Where the broker has put it, as far as it said so."""


class Journal:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def note(self, writes: Iterable[Write]) -> None:
        """Keep what became of writes; durable on return."""
        self._file.write(b"".join(orjson.dumps(tuple(write)) + b"\n" for write in writes))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> Iterator[Write]:
    with path.open("rb") as lines:
        for line in lines:
            yield Write(*orjson.loads(line))


def document(key: str, number: int) -> dict[str, object]:
    """Return the document that write `number` of a key makes."""
    return {"id": key, "n": number, "text": f"writing {number} of {key}, pressure {number % 97}"}
