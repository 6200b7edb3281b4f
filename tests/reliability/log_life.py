"""A partition of the embedded log on a CrashDisk.

Letters: `s` appends a small record, `b` one that is longer than a sector, `m` three in frames of
their own, `c` cuts behind the middle of what is there, `r` opens the log again. A history has one
character for each record; records of each life are others, so that one that came back from an
append that nobody was told of is known from one that took its offset.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import consumers.log_partition
from consumers.log_file import StoredRecord
from consumers.log_partition import PartitionFiles
from tests.reliability.crash_disk import CrashDisk
from tests.reliability.life import Life, demand

LETTERS = "sbmcr"
FILE_BYTES = 1300
FRAME_BYTES = 400
RECORDS = {"s": "A", "b": "B", "m": "CCC"}
"""What an append adds to the history of a first life; later ones go on in the alphabet."""
VALUES = {0: 9, 1: 700, 2: 380}
"""Bytes of each kind of record."""


def record_of(offset: int, kind: str) -> StoredRecord:
    number = ord(kind) - ord("A")
    value = (b"%d %s " % (offset, kind.encode()) * 200)[: VALUES[number % 3]]
    return StoredRecord(offset, b"k%d" % (offset % 3), value, (("h", kind.encode()),))


def lives_of(history: str) -> int:
    """Return how many lives have written to a log."""
    return max(((ord(kind) - ord("A")) // 3 + 1 for kind in history), default=0)


class LogLife(Life):
    def __init__(self, disk: CrashDisk, history: str = "") -> None:
        super().__init__(disk, history)
        self._directory = disk.folder()
        self._number = lives_of(history)

    def open(self) -> None:
        self.files = PartitionFiles(self._directory, FILE_BYTES)
        n_records = self.files.next_offset
        demand(n_records <= len(self.history), n_records, "records of", len(self.history))
        # What was appended when the crash came, and acknowledged to nobody, may be there or not.
        self.cut_history(n_records)
        self.promise(n_records, start=self.files.start_offset)

    def do(self, letter: str) -> None:
        if letter == "r":
            self.files.close()
            self.open()
        elif letter == "c":
            start, end = self.files.start_offset, self.files.next_offset
            cut = (start + end + 1) // 2
            self.promise(end, start=max(self.promised.start, cut))
            self.files.cut_behind(cut)
        else:
            self._append(letter)

    def _append(self, letter: str) -> None:
        offset = self.files.next_offset
        kinds = "".join(chr(ord(kind) + 3 * self._number) for kind in RECORDS[letter])
        records = [record_of(offset + number, kind) for number, kind in enumerate(kinds)]
        self.grow(kinds)
        first = self.files.append(records)
        demand(first == offset, "appended at", first, "not", offset)
        self.promise(self.files.next_offset, start=self.promised.start)

    def check(self) -> None:
        start = self.files.start_offset
        reader = self.files.reader(start)
        offset = start
        while records := reader.read(1):
            for record in records:
                demand(offset < len(self.history), "more than was appended:", record)
                wanted = record_of(offset, self.history[offset])
                demand(record == wanted, "at", offset, record, "not", wanted)
                offset += 1
        reader.close()
        demand(offset == self.files.next_offset, "read to", offset)

    def identity(self) -> Hashable:
        return frozenset(self.disk.files.items())

    def go_on(self) -> None:
        self.check()
        for letter in "smcbr":
            self.do(letter)
        self.check()


@contextmanager
def small_frames() -> Iterator[None]:
    """While it is entered, an append of several records writes several frames."""
    with patch.object(consumers.log_partition, "MAX_FRAME_BYTES", FRAME_BYTES):
        yield
