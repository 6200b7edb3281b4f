from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.check import verify
from index.directory import FsDirectory
from index.engine import Engine
from index.errors import CorruptionError, FencedError, StorageError, UnsettledError
from index.manifest import (
    Manifest,
    SegmentEntry,
    SegmentMeta,
    load_manifest,
    manifest_name,
    segment_name,
)
from index.ownership import remove_orphans, take_over, write_manifest
from index.schema import Schema, SchemaRef
from tests.index import ownership_world as world
from tests.index.storage_world import MemoryDirectory


def manifest(generation: int, *segments: str, epoch: int = 1) -> Manifest:
    entries = tuple(SegmentEntry(SegmentMeta(name, 3, 100, 77, 0, 9)) for name in segments)
    return Manifest(generation, epoch, 10 * generation, entries)


# --- one edit ----------------------------------------------------------------------------
def test_the_bytes_are_durable_before_the_name_and_the_name_before_the_end() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(7))
    name = manifest_name(7)
    temporary = name + ".0.tmp"
    assert directory.calls == [("write", temporary), ("publish", temporary, name), ("sync",)]


def test_the_last_two_are_kept_and_older_ones_go_after_the_edit() -> None:
    directory = MemoryDirectory()
    for generation in range(1, 6):
        write_manifest(directory, manifest(generation))
    assert directory.list() == [manifest_name(4), manifest_name(5)]
    assert directory.calls[-2:] == [("sync",), ("delete", manifest_name(3))]


def test_what_a_crash_left_of_the_same_edit_is_no_hindrance() -> None:
    directory = MemoryDirectory({manifest_name(3) + ".0.tmp": b"half"})
    write_manifest(directory, manifest(3))
    assert load_manifest(directory) == manifest(3)


def test_a_failed_publish_leaves_the_manifest_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = FsDirectory(tmp_path)
    write_manifest(directory, manifest(1))

    def fail(self: FsDirectory, temporary: str, name: str) -> None:
        raise StorageError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FsDirectory, "publish", fail)
        with pytest.raises(StorageError, match="no space"):
            write_manifest(directory, manifest(2))
    assert directory.list() == [manifest_name(1)]
    write_manifest(directory, manifest(2))
    assert load_manifest(directory) == manifest(2)


def test_an_edit_whose_name_may_not_be_durable_is_settled_by_the_same_edit() -> None:
    class FailingOnce(MemoryDirectory):
        has_failed = False

        def sync(self) -> None:
            if not self.has_failed:
                self.has_failed = True
                raise StorageError("input/output error")

    directory = FailingOnce()
    with pytest.raises(UnsettledError, match="input/output"):
        write_manifest(directory, manifest(2))
    with pytest.raises(FencedError):
        write_manifest(directory, manifest(2, "another.seg"))
    write_manifest(directory, manifest(2))
    assert directory.list() == [manifest_name(2)]


def test_two_that_open_at_the_same_time_are_told_apart() -> None:
    """Their takeovers are equal, byte for byte."""
    directory = MemoryDirectory()
    write_manifest(directory, manifest(3, epoch=3))
    with pytest.raises(FencedError):
        write_manifest(directory, manifest(3, epoch=3))


def test_a_generation_is_written_once() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(6, epoch=6))
    before = dict(directory.files)
    for generation in (5, 6):
        with pytest.raises(FencedError, match="has another owner, who is at generation 6"):
            write_manifest(directory, manifest(generation, epoch=2))
    assert directory.files == before


# --- orphans -----------------------------------------------------------------------------
def test_orphans_are_what_no_kept_manifest_names() -> None:
    files = {f"{i}.seg": b"" for i in range(1, 6)}
    directory = MemoryDirectory({**files, "other.tmp": b"", manifest_name(2) + ".7.tmp": b""})
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "1.seg", "2.seg"))
    write_manifest(directory, manifest(3, "3.seg"))
    orphans = [manifest_name(2) + ".7.tmp", "4.seg", "5.seg"]
    assert remove_orphans(directory, manifest(3, "3.seg")) == orphans
    assert directory.list() == [
        "1.seg", "2.seg", "3.seg", manifest_name(2), manifest_name(3), "other.tmp"
    ]  # fmt: skip


def test_no_segment_goes_while_the_manifest_before_cannot_be_read() -> None:
    directory = MemoryDirectory({"1.seg": b"", "2.seg": b""})
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "2.seg"))
    directory.flip(manifest_name(1), 80)
    assert remove_orphans(directory, manifest(2, "2.seg")) == []


def test_an_owner_deletes_nothing_of_a_later_one() -> None:
    later = [segment_name(5, 1), manifest_name(5) + ".0.tmp"]
    directory = MemoryDirectory(dict.fromkeys([segment_name(4, 1), *later], b""))
    write_manifest(directory, manifest(4, epoch=4))
    assert remove_orphans(directory, manifest(4, epoch=4)) == [segment_name(4, 1)]
    write_manifest(directory, manifest(5, epoch=5))
    with pytest.raises(FencedError):
        remove_orphans(directory, manifest(4, epoch=4))
    assert directory.list() == [*later[:1], manifest_name(4), manifest_name(5), *later[1:]]


# --- taking over -------------------------------------------------------------------------
def test_each_owner_has_the_generation_of_its_takeover_as_its_epoch() -> None:
    directory = MemoryDirectory()
    assert (take_over(directory).generation, take_over(directory).epoch) == (1, 2)
    write_manifest(directory, manifest(3, "2.seg", epoch=2))
    taken = take_over(directory)
    assert (taken.generation, taken.epoch) == (4, 4)
    assert (taken.next_offset, taken.segments) == (30, manifest(3, "2.seg").segments)
    assert directory.list() == [manifest_name(3), manifest_name(4)]


def test_a_takeover_is_one_small_file() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1, "1.seg"))
    directory.calls.clear()
    take_over(directory)
    assert [call[0] for call in directory.calls] == ["write", "publish", "sync"]


def test_a_damaged_newest_is_set_aside_for_the_one_before() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "1.seg", "2.seg"))
    directory.flip(manifest_name(2), 80)
    taken = take_over(directory)
    assert (taken.generation, taken.segments) == (3, manifest(1, "1.seg").segments)
    assert directory.list() == [manifest_name(1), manifest_name(2) + ".bad", manifest_name(3)]


def test_a_generation_that_was_set_aside_never_comes_again() -> None:
    """Its owner may still be there."""
    directory = MemoryDirectory({manifest_name(7) + ".bad": b""})
    write_manifest(directory, manifest(4))
    assert take_over(directory).generation == 8


def test_where_none_is_sound_nothing_is_changed() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1))
    directory.flip(manifest_name(1), 80)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=r"manifest-000000000001\.json"):
            take_over(directory)
    assert directory.list() == [manifest_name(1)]


def test_a_shard_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    """Its segments bear no epoch, its manifests no origin."""
    directory = FsDirectory(tmp_path)
    script = world.Owner(MemoryDirectory(), world.flushes)
    script.go_on()
    assert script.engine is not None
    disk = script.disk
    name = next(name for name in disk.list() if name.endswith(".seg"))
    old = load_manifest(disk)
    assert old is not None
    directory.write_file("000000000042.seg", [disk.read(name)])
    entry = old.segments[0]
    meta = entry.meta
    meta = SegmentMeta(
        "000000000042.seg", meta.n_docs, meta.n_bytes, meta.crc, meta.first_offset,
        meta.last_offset, meta.n_tombstones,
    )  # fmt: skip
    write_manifest(
        directory,
        Manifest(9, 1, old.next_offset, (SegmentEntry(meta, entry.deletes),), format_version=1),
    )
    engine = Engine.open(directory, SchemaRef(Schema.from_mapping({})), world.OPTIONS)
    assert (engine.manifest.epoch, engine.origin) == (10, -1)
    assert engine.stats().n_docs == script.engine.stats().n_docs
    engine.apply([world.event(6), world.event(7)], 8)
    job = engine.plan_flush()
    assert job is not None
    job.run()
    engine.install(job)
    assert segment_name(10, 1) in directory.list()
    assert engine.manifest.format_version == 2
    assert verify(directory).is_sound


# --- several owners ----------------------------------------------------------------------
@pytest.mark.parametrize("successor", world.SUCCESSORS)
def test_whoever_is_stopped_anywhere_is_fenced_and_harms_nobody(
    successor: Callable[[world.Owner], None],
) -> None:
    for n_first in range(world.n_operations(world.first_owner) + 1):
        world.run_interleaving(n_first, successor)


def test_nobody_is_misled_by_a_damaged_manifest() -> None:
    for n_first in range(world.n_operations(world.first_owner) + 1):
        world.run_interleaving(n_first, world.outruns, meanwhile=world.damage_newest)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 25)), max_size=25))
def test_three_that_are_stopped_in_turn_leave_one_owner(turns: list[tuple[int, int]]) -> None:
    world.run_schedule(turns)


def test_what_a_fenced_owner_published_late_is_no_part_of_the_history() -> None:
    """It published a number that was free again."""
    disk = MemoryDirectory()
    owner = world.Owner(disk, lambda owner: write_manifest(owner.directory, manifest(3, epoch=2)))
    write_manifest(disk, manifest(2, epoch=2))
    owner.go_on(1)
    for generation in (3, 4, 5):
        write_manifest(disk, manifest(generation, epoch=3))
    owner.go_on()
    assert owner.is_fenced
    assert disk.list() == [manifest_name(3), manifest_name(4), manifest_name(5)]
    report = verify(disk)
    assert report.is_sound
    assert report.generation == 5
    write_manifest(disk, manifest(6, epoch=3))
    assert disk.list() == [manifest_name(5), manifest_name(6)]
