"""Errors of the disk below a partition of the embedded log.

`a` appends two records, `b` a large one, behind which a new file begins, `c` cuts what it can, `r`
opens the partition again. A case is `log.LETTERS.OPERATION.ERROR.HOW`, or
`logfull.LETTERS.BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from consumers.log_file import StoredRecord
from consumers.log_partition import PartitionFiles
from index.errors import CorruptionError, ExhaustedError, StorageError, TailraceError
from tests.reliability.errors_engine import each_error
from tests.reliability.faulty_disk import Faults, FaultyDisk
from tests.reliability.life import BrokenError, demand
from tests.reliability.program import Violation

FILE_BYTES = 400
WORKLOADS = ("aab", "abraa", "bbacba", "arbcaar")
STEP = 64
"""Bytes between two sizes of a disk."""


class LogLife:
    """A partition, and what was told about its records."""

    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        self.records: dict[int, bytes] = {}
        """Offset -> value of those that are acknowledged or were read."""
        self.unknown: set[bytes] = set()
        """Values of appends that failed: each may be there after the next opening, or not."""
        self.start = 0
        self.is_dead = False
        self.files: PartitionFiles | None = None
        self._n_records = 0

    def do(self, letter: str) -> None:
        if letter == "r" or self.files is None:
            self.open()
        if self.files is not None:
            if letter in "ab":
                self._append(letter)
            elif letter == "c":
                self._cut(self.files)
        if self.files is not None:
            self._read()

    def open(self) -> None:
        if self.files is not None:
            self.files.close()
        self.files, self.is_dead = None, False
        try:
            self.files = PartitionFiles(self.disk, FILE_BYTES)
        except StorageError as error:
            self._demand_a_reason(error)

    def _append(self, letter: str) -> None:
        assert self.files is not None
        sizes = (8, 40) if letter == "a" else (FILE_BYTES,)
        values = []
        for size in sizes:
            values.append(b"%d " % self._n_records + b"x" * size)
            self._n_records += 1
        try:
            first = self.files.append([StoredRecord(1, b"k", value) for value in values])
        except StorageError as error:
            self._demand_a_reason(error)
            self.unknown |= set(values)
            self.is_dead = self.is_dead or not isinstance(error, ExhaustedError)
            return
        for offset, value in enumerate(values, first):
            demand(offset not in self.records, "an offset is given twice:", offset)
            self.records[offset] = value

    def _cut(self, files: PartitionFiles) -> None:
        try:
            files.cut_behind(files.next_offset)
        except StorageError as error:
            self._demand_a_reason(error)
        self.start = max(self.start, files.start_offset)

    def _read(self) -> None:
        """Demand that exactly what was acknowledged is read; after an opening also what may be."""
        assert self.files is not None
        reader = self.files.reader(self.files.start_offset)
        try:
            while True:
                offset = reader.next_offset
                found = reader.read(200)
                if not found:
                    break
                for number, record in enumerate(found, offset):
                    self._take(number, record.value or b"")
        except StorageError as error:
            self._demand_a_reason(error)
            return
        finally:
            reader.close()
        newest = max(self.records, default=-1)
        demand(self.files.next_offset == reader.next_offset, "the end is not what is read")
        demand(reader.next_offset > newest, "lost:", newest)

    def _take(self, offset: int, value: bytes) -> None:
        if offset not in self.records:
            demand(value in self.unknown, "from nowhere:", offset, value[:10])
            self.records[offset] = value
        demand(self.records[offset] == value, "another record at", offset)

    def recover(self) -> None:
        """Once the disk is well: what failed for want of room goes on; a partition whose sync
        failed does after it is opened again. Then a power loss takes nothing."""
        self.disk.faults.heal()
        self.disk.capacity = 1 << 40
        if self.is_dead or self.files is None:
            self.open()
        demand(self.files is not None, "cannot be opened on a disk that is well")
        n_before = len(self.records)
        self._append("a")
        demand(len(self.records) >= n_before + 2, "takes nothing on a disk that is well")
        self._read()
        self.survive()
        self.do("r")

    def survive(self) -> None:
        """Demand that a power loss takes nothing that was told to anybody."""
        self.disk = FaultyDisk(files=dict(self.disk.durable))
        self.open()
        self._read()

    def _demand_a_reason(self, error: StorageError) -> None:
        has_trouble = self.disk.faults.n_met or self.disk.n_no_room
        demand(has_trouble, "for no reason:", repr(error))
        demand(not isinstance(error, CorruptionError), "taken for damage:", error)


def live(disk: FaultyDisk, letters: str) -> None:
    life = LogLife(disk)
    life.open()
    for letter in letters:
        life.do(letter)
    life.recover()


@cache
def verbs_of(letters: str) -> tuple[str, ...]:
    disk = FaultyDisk()
    life = LogLife(disk)
    life.open()
    for letter in letters:
        life.do(letter)
    return tuple(disk.verbs)


def cases_of(letters: str) -> Iterator[str]:
    return (f"log.{letters}.{each}" for each in each_error(verbs_of(letters)))


def sizes_of(letters: str) -> Iterator[str]:
    disk = FaultyDisk()
    live(disk, letters)
    most = sum(map(len, disk.files.values()))
    for capacity in range(0, most + STEP, STEP):
        yield f"logfull.{letters}.{capacity}"


def replay(case: str) -> None:
    """Raises: Violation."""
    kind, letters, *rest = case.split(".")
    if kind == "logfull":
        disk = FaultyDisk(capacity=int(rest[0]))
    else:
        number, error, how = rest
        disk = FaultyDisk(Faults(int(number), error, how == "sticky", how == "after"))
    try:
        live(disk, letters)
    except (BrokenError, AssertionError, TailraceError, OSError, KeyError, ValueError) as error:
        raise Violation(case, f"{type(error).__name__}: {error}") from error
