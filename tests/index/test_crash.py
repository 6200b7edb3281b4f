"""After a power loss at any moment the newest promised edit, or a later one, is there whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from index.errors import StorageError
from index.manifest import Manifest, SegmentEntry, load_manifest
from index.merge import MergeDraft
from index.ownership import remove_orphans, write_manifest
from index.segment import Segment, SegmentMeta
from tests.index import storage_world as world
from tests.index.crash_world import CrashDirectory
from tests.index.storage_world import Document, ListDraft, MemoryDirectory


class WithoutSegmentSync(CrashDirectory):
    """A mutant: names of segments are not made durable before the manifest has its own."""

    is_segment_durable = False


class WithoutLastSync(CrashDirectory):
    """A mutant: an edit is promised before its name is durable."""

    def promise(self) -> None:
        self.promised += 1
        self._note()

    def publish(self, temporary: str, name: str) -> None:
        super().publish(temporary, name)
        self._skips = True

    def sync(self) -> None:
        if getattr(self, "_skips", False):
            self._skips = False
            return
        super().sync()


class InPlace(CrashDirectory):
    """A mutant: a publish copies, so that the new name may hold half of the bytes."""

    def publish(self, temporary: str, name: str) -> None:
        data = self.files.pop(temporary)
        self.write_file(name, [data[: len(data) // 2]])
        self.files[name] = data


def run(directory: CrashDirectory) -> None:
    """Three flushes, a merge of them, one more flush; orphans removed after each."""
    entries: list[SegmentEntry] = []
    generation = 0

    def commit(meta: SegmentMeta, first: int) -> None:
        nonlocal generation
        if getattr(directory, "is_segment_durable", True):
            directory.sync()
        entries[first:] = [SegmentEntry(meta)]
        generation += 1
        manifest = Manifest(generation, 1, 100 * generation, tuple(entries))
        write_manifest(directory, manifest)
        directory.promise()
        remove_orphans(directory, manifest)

    for number in range(5):
        name = f"{number}.seg"
        if number == 3:
            segments = [Segment.open(directory, entry.meta) for entry in entries]
            commit(world.write(directory, name, MergeDraft(segments, [None] * 3)), 0)
            continue
        docs = [Document(b"%d" % number, number, b"{}", {0: [b"a"]})]
        commit(world.write(directory, name, ListDraft(docs, 10 * number)), len(entries))


def violations(directory: CrashDirectory) -> Iterator[str]:
    for survivor, promised in directory.survivors():
        try:
            manifest = load_manifest(survivor)
            found = manifest.generation if manifest is not None else 0
            if found < promised:
                yield f"edit {promised} is lost, edit {found} is there"
            if manifest is not None:
                check_opens(survivor, manifest)
                remove_orphans(survivor, manifest)
                check_opens(survivor, manifest)
        except StorageError as error:
            yield str(error)


def check_opens(directory: MemoryDirectory, manifest: Manifest) -> None:
    for entry in manifest.segments:
        Segment.open(directory, entry.meta)


def test_no_power_loss_loses_a_promised_edit() -> None:
    directory = CrashDirectory()
    run(directory)
    assert list(violations(directory)) == []
    assert len(list(directory.survivors())) > 50


@pytest.mark.parametrize("mutant", [WithoutSegmentSync, WithoutLastSync, InPlace])
def test_a_weaker_order_would_be_found_out(mutant: type[CrashDirectory]) -> None:
    directory = mutant()
    run(directory)
    assert next(violations(directory), None) is not None
