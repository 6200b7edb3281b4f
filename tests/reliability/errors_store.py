"""Errors of the disk below `index.json`.

Mappings grow one field at a time; each is saved as before a flush, which may then use its fields.
`s` grows and saves, `r` opens the store again. A case is `store.LETTERS.OPERATION.ERROR.HOW`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from index.errors import CorruptionError, StorageError, TailraceError
from index.schema import Schema, SchemaRef
from pipeline.index_store import IndexMeta, IndexStore
from tests.reliability.errors_engine import each_error
from tests.reliability.faulty_disk import Faults, FaultyDisk
from tests.reliability.life import BrokenError, demand
from tests.reliability.program import Violation

WORKLOADS = ("ss", "sr", "rsrs")


def schema_of(n_fields: int) -> Schema:
    fields = {f"f{number}": {"type": "long"} for number in range(n_fields)}
    return Schema.from_mapping({"properties": fields})


def meta_of(schema: Schema) -> IndexMeta:
    return IndexMeta("docs", "uuid", 1, {}, msgspec.Raw(schema.to_json()))


class StoreLife:
    def __init__(self, disk: FaultyDisk) -> None:
        self.disk = disk
        self.store = IndexStore(Path("docs"), lambda path: disk)
        self.n_fields = 0
        """Of the newest mapping."""
        self.n_promised = -1
        """Of the newest that segments may use; -1: nobody was told that there is an index."""

    def create(self) -> None:
        try:
            self.store.save(meta_of(schema_of(0)), schema_of(0))
        except StorageError as error:
            self._demand_a_reason(error)
        else:
            self.n_promised = 0

    def do(self, letter: str) -> None:
        if self.n_promised < 0:
            self.create()
        elif letter == "s":
            self.n_fields += 1
            self._save()
        else:
            self._open()

    def _save(self) -> None:
        schema = schema_of(self.n_fields)
        try:
            self.store.save_schema(meta_of(schema), SchemaRef(schema))
        except StorageError as error:
            self._demand_a_reason(error)
        else:
            self.n_promised = self.n_fields

    def _open(self) -> None:
        self.store = IndexStore(Path("docs"), lambda path: self.disk)
        try:
            found = self.store.load()
        except StorageError as error:
            self._demand_a_reason(error)
            return
        demand(found is not None, "there is no index any more")
        assert found is not None
        self.n_fields = len(found[1].to_mapping().get("properties", {}))
        demand(self.n_fields >= self.n_promised, "fields are lost")
        # A flush that uses no new field: what it opened is what it saves.
        ref = SchemaRef(found[1])
        try:
            self.store.save_schema(found[0], ref)
        except StorageError as error:
            self._demand_a_reason(error)
        else:
            self.n_promised = self.n_fields

    def recover(self) -> None:
        """Once the disk is well, all is saved; neither before nor after is a promise lost."""
        self.survive()
        self.disk.faults.heal()
        if self.n_promised < 0:
            self.create()
        self._save()
        demand(self.n_promised == self.n_fields, "not saved on a disk that is well")
        self.survive()
        self._open()
        self._save()
        self.survive()

    def survive(self) -> None:
        """Demand that neither a crash of the process nor a power loss takes a promised field."""
        for files in (self.disk.files, self.disk.durable):
            found = IndexStore(Path("docs"), lambda path: FaultyDisk(files=files)).load()
            n_found = -1 if found is None else len(found[1].to_mapping().get("properties", {}))
            demand(n_found >= self.n_promised, n_found, "fields of", self.n_promised)

    def _demand_a_reason(self, error: StorageError) -> None:
        demand(self.disk.faults.n_met, "for no reason:", repr(error))
        demand(not isinstance(error, CorruptionError), "taken for damage:", error)


def live(disk: FaultyDisk, letters: str) -> None:
    life = StoreLife(disk)
    life.create()
    for letter in letters:
        life.do(letter)
    life.recover()


@cache
def verbs_of(letters: str) -> tuple[str, ...]:
    disk = FaultyDisk()
    life = StoreLife(disk)
    life.create()
    for letter in letters:
        life.do(letter)
    return tuple(disk.verbs)


def cases_of(letters: str) -> Iterator[str]:
    return (f"store.{letters}.{each}" for each in each_error(verbs_of(letters)))


def replay(case: str) -> None:
    """Raises: Violation."""
    _, letters, number, error, how = case.split(".")
    disk = FaultyDisk(Faults(int(number), error, how == "sticky", how == "after"))
    try:
        live(disk, letters)
    except (BrokenError, AssertionError, TailraceError, OSError, KeyError, ValueError) as found:
        raise Violation(case, f"{type(found).__name__}: {found}") from found
