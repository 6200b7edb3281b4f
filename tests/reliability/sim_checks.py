"""The promises that a simulation checks all along; see docs/resiliency.md for what they say.

Every batch must begin where the last one ended, and what is searchable must be what the log up
to there means. Every checkpoint must follow from the one before, must be of the newest owner and
must not pass a refused record that is not in the dead letters. Every offset that is told to the
broker must be durable, and must be there when the shard is opened again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from index.engine import Engine
from index.manifest import Manifest, decode_manifest, generation_of
from index.reader import Views
from index.searcher import Searcher
from pipeline.applied import AppliedBatch, Visible
from pipeline.documents import get_documents
from tests.reliability.fake_log import Entry, FakePartition
from tests.reliability.sim_disk import SimFolder
from tests.reliability.sim_node import SCHEMA
from tests.reliability.sim_oracle import Documents, Fold, LogFolds


class BrokenError(AssertionError):
    """A promise is broken."""


@dataclass(slots=True)
class _Known:
    """What is known of a folder, from outside."""

    manifest: Manifest | None = None
    publisher: str = ""
    """Who made the newest manifest."""
    promised: int = 0
    """The highest offset that was told to be durable here."""
    origin: int = 0
    """Where the shard began to read its log, as of the newest manifest."""


@dataclass(slots=True)
class Checks:
    partitions: list[FakePartition]
    letters: FakePartition
    """Where the dead letters are."""
    keys: set[str] = field(default_factory=set)
    n_states: int = 0
    n_manifests: int = 0
    _folders: dict[str, _Known] = field(default_factory=dict)
    _applied: dict[tuple[str, int], int] = field(default_factory=dict)
    """Life and shard -> the next offset that may be applied there."""
    _origins: dict[tuple[str, int], int | None] = field(default_factory=dict)
    """Life and shard -> where it began to read its log; None: it has not yet."""
    _folds: dict[tuple[int, int, int], LogFolds] = field(default_factory=dict)
    _buried: set[tuple[int, int]] = field(default_factory=set)
    _letters_seen: int = 0

    # --- events ------------------------------------------------------------------------------
    def shard_opened(self, life: str, folder: SimFolder, number: int, engine: Engine) -> None:
        known = self._known(folder)
        self._origins[life, number] = known.origin if engine.next_offset >= 0 else None
        self._applied[life, number] = max(engine.next_offset, 0)
        if max(engine.durable_offset, 0) < known.promised:
            raise BrokenError(
                f"{folder.name} opens at {engine.durable_offset}, "
                f"but {known.promised} was told to be durable"
            )

    def batch_applied(self, life: str, done: AppliedBatch) -> None:
        expected = self._applied[life, done.shard]
        for arrival in done.batch.arrivals:
            for record in arrival.records:
                if self._origins[life, done.shard] is None:
                    self._origins[life, done.shard] = record.offset
                if record.offset < expected:
                    raise BrokenError(
                        f"{life} applies offset {record.offset} of shard {done.shard} again, "
                        f"it was at {expected}"
                    )
                expected = record.offset + 1
        self._applied[life, done.shard] = max(expected, done.batch.next_offset)

    def _origin(self, life: str, number: int) -> int:
        """Return where the shard began: where it was given no record yet, retention may have taken
        all there were."""
        origin = self._origins[life, number]
        return self.partitions[number].start if origin is None else origin

    def state(self, life: str, where: str, engine: Engine, visible: Visible) -> None:
        """Compare what is searchable with what the log says."""
        self.n_states += 1
        number = engine.shard
        found = self._documents(visible)
        origin = self._origin(life, number)
        gaps = [(gap.first, gap.end) for gap in engine.gaps]
        partition = self.partitions[number]
        for lineage in range(len(partition.past) + 1):
            fold = self._fold(partition, lineage, origin, gaps, visible.next_offset)
            if fold.documents == found:
                return
        fold = self._fold(partition, len(partition.past), origin, gaps, visible.next_offset)
        raise BrokenError(
            f"{life} {where}: shard {number} at {visible.next_offset} differs from its log: "
            f"{_difference(found, fold.documents)}"
        )

    def manifest_published(self, folder: SimFolder, life: str, name: str, data: bytes) -> None:
        self.n_manifests += 1
        known = self._known(folder)
        manifest, before = decode_manifest(name, data), known.manifest
        if before is not None and manifest.generation < before.generation:
            return  # a fenced owner left it, older than the newest: nobody looks at it
        if before is not None:
            if manifest.generation != before.generation + 1:
                raise BrokenError(f"{folder.name}: {name} after {before.generation}")
            if manifest.epoch < before.epoch:
                raise BrokenError(f"{folder.name}: {life} commits in the epoch of an old owner")
            if manifest.epoch == before.epoch and life != known.publisher:
                raise BrokenError(f"{folder.name}: {life} and {known.publisher} share an epoch")
            if manifest.next_offset < before.next_offset:
                raise BrokenError(
                    f"{folder.name}: the checkpoint goes back from {before.next_offset} "
                    f"to {manifest.next_offset}"
                )
        known.manifest, known.publisher = manifest, life
        is_takeover = manifest.generation == manifest.epoch  # then it says what was there
        if manifest.next_offset >= 0 and not is_takeover:
            known.origin = self._origin(life, _number(folder))
        self._check_letters(folder, manifest.next_offset)

    def committed(self, folder: SimFolder, offset: int) -> None:
        """An offset was told to the broker, by the owner of this folder."""
        durable = [name for name in folder.durable if generation_of(name) is not None]
        newest = max(durable, default="")
        checkpoint = -1
        if newest:
            checkpoint = decode_manifest(newest, bytes(folder.durable[newest])).next_offset
        if checkpoint < offset:
            raise BrokenError(f"{folder.name} is durable up to {checkpoint}, {offset} was told")
        known = self._known(folder)
        known.promised = max(known.promised, offset)

    def checkpoint(self, folder: SimFolder) -> int:
        """Return how far the newest manifest goes that was seen."""
        manifest = self._known(folder).manifest
        return max(manifest.next_offset, 0) if manifest is not None else 0

    def power_lost(self, folder: SimFolder) -> None:
        self._known(folder).manifest = None

    def wiped(self, folder: SimFolder) -> None:
        self._folders.pop(folder.name, None)

    # --- inside -------------------------------------------------------------------------------
    def _known(self, folder: SimFolder) -> _Known:
        if folder.name not in self._folders:
            self._folders[folder.name] = _Known()
        return self._folders[folder.name]

    def _documents(self, visible: Visible) -> Documents:
        views = visible.views
        searcher = Searcher(Views(views), SCHEMA, 0)
        found = {
            document.key: (document.offset, orjson.loads(document.source))
            for document in get_documents(searcher, sorted(self.keys))
            if document is not None
        }
        n_alive = sum(view.n_alive for view in views)
        if n_alive != len(found):
            raise BrokenError(f"{n_alive} documents are alive, {len(found)} are found by key")
        return found

    def _fold(
        self,
        partition: FakePartition,
        lineage: int,
        origin: int,
        gaps: list[tuple[int, int]],
        next_offset: int,
    ) -> Fold:
        entries = (*partition.past, partition.history)[lineage]
        if origin or gaps:
            kept = [
                entry
                for entry in entries
                if entry.offset >= origin
                and not any(first <= entry.offset < end for first, end in gaps)
            ]
            fold = Fold()
            fold.advance(kept, next_offset)
            return fold
        key = (partition.tp.partition, lineage, origin)
        return self._folds.setdefault(key, LogFolds()).at(entries, next_offset)

    def _check_letters(self, folder: SimFolder, checkpoint: int) -> None:
        number = _number(folder)
        partition = self.partitions[number]
        known = self._known(folder)
        if partition.past or partition.start or known.origin != 0:
            return  # what was refused then depends on what the log was
        fold = self._fold(partition, 0, 0, [], max(checkpoint, 0))
        self._read_letters()
        missing = [offset for offset in fold.refused if (number, offset) not in self._buried]
        if missing:
            raise BrokenError(
                f"{folder.name}: checkpoint {checkpoint} passes {missing}, no letter has them"
            )

    def _read_letters(self) -> None:
        entries: list[Entry] = self.letters.history
        for entry in entries[self._letters_seen :]:
            headers = dict(entry.headers)
            number = int(headers["tailrace.source.partition"] or b"-1")
            self._buried.add((number, int(headers["tailrace.source.offset"] or b"-1")))
        self._letters_seen = len(entries)


def _number(folder: SimFolder) -> int:
    return int(folder.name.rpartition(":")[2])


def _difference(found: Documents, wanted: Documents) -> str:
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            return f"{key!r} is {found.get(key)}, should be {wanted.get(key)}"
    return "nothing"
