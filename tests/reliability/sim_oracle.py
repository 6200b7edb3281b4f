"""What the log of a partition means: the documents that a prefix of it leaves, and the refusals.

Written without the product's code, for the few kinds of records that the simulation makes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.reliability.fake_log import Entry, Kind

Documents = dict[bytes, tuple[int, dict[str, Any]]]
"""Key -> the offset of its last change, and its fields."""


@dataclass(slots=True)
class Fold:
    """The state after a prefix of a log; goes forward with it."""

    next_offset: int = 0
    documents: Documents = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    """Offsets of the records that belong into the dead letters."""

    def advance(self, entries: list[Entry], until: int) -> None:
        """Take in the entries below `until`."""
        first = bisect_left(entries, self.next_offset, key=lambda entry: entry.offset)
        for entry in entries[first:]:
            if entry.offset >= until:
                break
            if entry.kind is Kind.RECORD and not self._apply(entry):
                self.refused.append(entry.offset)
        self.next_offset = max(self.next_offset, until)

    def copy(self) -> Fold:
        return Fold(self.next_offset, dict(self.documents), list(self.refused))

    def _apply(self, entry: Entry) -> bool:
        """Return whether it is well-formed, and not turned down."""
        op = next((value for name, value in entry.headers if name == "op"), b"upsert")
        key = entry.key
        assert key is not None
        if entry.value is None or op == b"delete":
            self.documents.pop(key, None)
            return True
        try:
            fields = orjson.loads(entry.value)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(fields, dict) or isinstance(fields.get("n"), str):
            return False
        there = self.documents.get(key)
        if op == b"create" and there is not None:
            return False
        if op == b"update":
            if there is None:
                return False
            if {**there[1], **fields} == there[1]:
                return True  # it changes nothing
            fields = {**there[1], **fields}
        self.documents[key] = (entry.offset, fields)
        return True


class LogFolds:
    """Folds of one log, kept at some places so that any prefix is near one of them."""

    EVERY = 32

    def __init__(self) -> None:
        self._kept: list[Fold] = [Fold()]

    def at(self, entries: list[Entry], next_offset: int) -> Fold:
        """Return the fold of the prefix. Requires: the same log each time, or a longer one."""
        place = bisect_left(self._kept, next_offset + 1, key=lambda fold: fold.next_offset) - 1
        near = self._kept[place]
        if near.next_offset == next_offset:
            return near
        fold = near.copy()
        fold.advance(entries, next_offset)
        if place == len(self._kept) - 1 and next_offset - near.next_offset >= self.EVERY:
            self._kept.append(fold)
        return fold
