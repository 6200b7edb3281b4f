"""A damaged newest manifest costs a replay, whatever the edit was that it made."""

from __future__ import annotations

import random
from contextlib import suppress

import orjson
import pytest

from index.check import verify
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.manifest import DAMAGED, manifest_name
from index.options import IndexOptions
from index.rebuild import DamagedShardError, begin_anew
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.storage_world import MemoryDirectory

OPTIONS = IndexOptions(merge_factor=2)


class Life:
    """A shard of random events, flushed and merged all along."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.directory = MemoryDirectory()
        self.events: list[DocumentEvent] = []
        self.engine = open_engine(self.directory)

    def step(self) -> None:
        """Apply some events; then flush, or merge what can be merged."""
        first = len(self.events)
        for _ in range(self.chance.randrange(1, 6)):
            key = b"k%d" % self.chance.randrange(12)
            offset = len(self.events)
            if self.chance.random() < 0.25:
                self.events.append(DocumentEvent(offset, Op.DELETE, key, None, None))
            else:
                source = orjson.dumps({"n": offset})
                self.events.append(DocumentEvent(offset, Op.UPSERT, key, source, None))
        self.engine.apply(self.events[first:], len(self.events))
        job = self.engine.plan_flush()
        if self.chance.random() < 0.4:
            job = (self.engine.plan_full_merge() if job is None else None) or job
        assert job is not None
        job.run()
        self.engine.install(job)
        if self.chance.random() < 0.4 and (merge := self.engine.plan_merge()) is not None:
            merge.run()
            self.engine.install(merge)

    def documents(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for event in self.events:
            found.pop(event.key, None)
            if event.source is not None:
                found[event.key] = event.source
        return found

    def survivor(self) -> MemoryDirectory:
        return MemoryDirectory(self.directory.files)


def open_engine(directory: MemoryDirectory) -> Engine:
    return Engine.open(directory, SchemaRef(Schema.from_mapping({})), OPTIONS)


def recovered(directory: MemoryDirectory, events: list[DocumentEvent]) -> Engine:
    """Open what is left and read the log on from there."""
    engine = open_engine(directory)
    first = max(engine.next_offset, 0)
    engine.apply(events[first:], len(events))
    return engine


def documents_of(engine: Engine) -> dict[bytes, bytes]:
    searcher = Searcher(engine.views(), engine.schema.current, 0)
    found = {b"k%d" % number: searcher.get(b"k%d" % number) for number in range(12)}
    return {key: at[0].reader.source(at[1]) for key, at in found.items() if at is not None}


def damage_newest(directory: MemoryDirectory) -> str:
    name = max(
        name for name in directory.files if name.startswith("manifest-") and ".bad" not in name
    )
    directory.flip(name, len(directory.files[name]) // 2)
    return name


@pytest.mark.parametrize("seed", range(12))
def test_after_every_edit_the_manifest_before_is_enough(seed: int) -> None:
    life = Life(seed)
    for _ in range(8):
        life.step()
        directory = life.survivor()
        checkpoint = life.engine.durable_offset
        damaged = damage_newest(directory)
        assert damaged in {finding.file for finding in verify(directory).findings}
        engine = recovered(directory, life.events)
        assert engine.durable_offset <= checkpoint
        assert documents_of(engine) == life.documents()
        assert damaged + DAMAGED in directory.files
        job = engine.plan_flush()
        if job is not None:
            job.run()
            engine.install(job)
        assert documents_of(recovered(directory, life.events)) == life.documents()
        report = verify(directory)
        assert report.is_sound, report.findings
        assert f"{damaged}{DAMAGED}: set aside as damaged" in report.notes


def test_the_manifest_of_the_owner_before_is_as_good_as_the_new_owners() -> None:
    life = Life(3)
    for _ in range(4):
        life.step()
    directory = life.survivor()
    first = open_engine(directory)
    damaged = damage_newest(directory)
    assert damaged == manifest_name(first.manifest.generation)
    second = open_engine(directory)
    assert second.manifest.segments == first.manifest.segments
    assert second.manifest.generation > first.manifest.generation
    assert documents_of(recovered(directory, life.events)) == life.documents()


def test_two_damaged_manifests_are_a_damaged_shard_that_can_begin_anew() -> None:
    life = Life(5)
    for _ in range(5):
        life.step()
    directory = life.survivor()
    for name in [name for name in directory.files if name.startswith("manifest-")]:
        directory.flip(name, 40)
    with pytest.raises(DamagedShardError) as damage:
        open_engine(directory)
    assert (damage.value.origin, damage.value.checkpoint) == (-1, -1)
    before = set(directory.files)
    begin_anew(directory, str(damage.value), len(life.events))
    assert {name + DAMAGED for name in before} <= set(directory.files)
    engine = recovered(directory, life.events)
    assert engine.rebuild is not None
    assert engine.rebuild.until == len(life.events)
    assert documents_of(engine) == life.documents()


@pytest.mark.parametrize("n_done", range(12))
def test_a_beginning_that_is_cut_short_may_be_made_again(n_done: int) -> None:
    life = Life(7)
    for _ in range(4):
        life.step()
    directory = life.survivor()
    checkpoint = life.engine.durable_offset
    directory.flip(life.engine.manifest.segments[0].meta.name, 70)
    failing = Failing(directory.files, n_done)
    with suppress(KeyboardInterrupt):
        begin_anew(failing, "damaged", 99)
    left = MemoryDirectory(failing.files)
    try:
        engine = open_engine(left)
    except DamagedShardError:
        begin_anew(left, "damaged", 99)
        engine = open_engine(left)
    assert engine.rebuild is not None
    assert engine.rebuild.until == checkpoint
    assert engine.next_offset == -1
    engine.apply(life.events, len(life.events))
    job = engine.plan_flush()
    assert job is not None
    job.run()
    engine.install(job)
    assert documents_of(engine) == life.documents()
    assert engine.rebuild is None
    assert not [name for name in left.files if name.endswith(DAMAGED)]
    assert verify(left).is_sound


class Failing(MemoryDirectory):
    """Ends the process, so to speak, at one of its changes."""

    def __init__(self, files: dict[str, bytes], n_left: int) -> None:
        super().__init__(files)
        self.n_left = n_left

    def _count(self) -> None:
        if self.n_left == 0:
            raise KeyboardInterrupt
        self.n_left -= 1

    def rename(self, old: str, new: str) -> None:
        self._count()
        super().rename(old, new)

    def publish(self, temporary: str, name: str) -> None:
        self._count()
        super().publish(temporary, name)

    def delete(self, name: str) -> None:
        self._count()
        super().delete(name)
