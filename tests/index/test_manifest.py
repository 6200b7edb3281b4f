from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.directory import FsDirectory
from index.errors import CorruptionError, StorageError
from index.manifest import (
    Manifest,
    SegmentEntry,
    SegmentMeta,
    decode_manifest,
    encode_manifest,
    load_manifest,
    manifest_name,
    remove_orphans,
    write_manifest,
)
from tests.index.storage_world import MemoryDirectory


def entry(name: str) -> SegmentEntry:
    return SegmentEntry(SegmentMeta(name, 3, 100, 77, 0, 9), b"\x00\xff")


def manifest(generation: int, *names: str) -> Manifest:
    return Manifest(
        generation=generation,
        epoch=2,
        next_offset=10 * generation,
        segments=tuple(map(entry, names)),
        topic_id="t",
        fence={"crc": 5, "timestamp_ms": 6},
        extra={"a": [1]},
    )


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    assert load_manifest(directory) is None
    write_manifest(directory, manifest(1, "1.seg", "2.seg"))
    assert load_manifest(directory) == manifest(1, "1.seg", "2.seg")
    assert directory.list() == ["manifest-000000000001.json"]


def test_the_bytes_are_durable_before_the_name_and_the_name_before_the_end() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(7))
    name = manifest_name(7)
    assert directory.calls == [("write", name + ".tmp"), ("rename", name + ".tmp", name), ("sync",)]


def test_the_last_two_are_kept_and_older_ones_go_after_the_edit() -> None:
    directory = MemoryDirectory()
    for generation in range(1, 6):
        write_manifest(directory, manifest(generation))
    assert directory.list() == [manifest_name(4), manifest_name(5)]
    assert directory.calls[-2:] == [("sync",), ("delete", manifest_name(3))]


def test_what_a_crash_left_of_the_same_edit_is_no_hindrance() -> None:
    directory = MemoryDirectory({manifest_name(3) + ".tmp": b"half"})
    write_manifest(directory, manifest(3))
    assert load_manifest(directory) == manifest(3)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_each_flipped_bit_is_found(data: st.DataObject) -> None:
    text = bytearray(encode_manifest(manifest(3, "1.seg")))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptionError, match=r"^manifest-000000000003\.json at byte \d+: "):
        decode_manifest(manifest_name(3), bytes(text))


def test_each_truncation_is_found() -> None:
    text = encode_manifest(manifest(3, "1.seg"))
    for n_bytes in range(len(text)):
        with pytest.raises(CorruptionError):
            decode_manifest(manifest_name(3), text[:n_bytes])


def test_a_manifest_under_another_name_is_refused() -> None:
    with pytest.raises(CorruptionError, match="holds generation 3"):
        decode_manifest(manifest_name(4), encode_manifest(manifest(3)))


def test_a_later_format_is_refused() -> None:
    later = Manifest(generation=1, epoch=1, next_offset=0, format_version=2)
    with pytest.raises(StorageError, match="format version 2"):
        decode_manifest(manifest_name(1), encode_manifest(later))


def test_a_damaged_newest_is_set_aside_for_the_one_before() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "1.seg", "2.seg"))
    directory.flip(manifest_name(2), 80)
    assert load_manifest(directory) == manifest(1, "1.seg")
    assert directory.list() == [manifest_name(1), manifest_name(2) + ".bad"]
    write_manifest(directory, manifest(2, "1.seg"))
    assert load_manifest(directory) == manifest(2, "1.seg")


def test_where_none_is_sound_nothing_is_changed() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1))
    directory.flip(manifest_name(1), 80)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=r"manifest-000000000001\.json"):
            load_manifest(directory)
    assert directory.list() == [manifest_name(1)]


def test_orphans_are_what_no_kept_manifest_names() -> None:
    files = {f"{i}.seg": b"" for i in range(1, 6)}
    directory = MemoryDirectory({**files, "x.tmp": b"", "other": b""})
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "1.seg", "2.seg"))
    write_manifest(directory, manifest(3, "3.seg"))
    assert remove_orphans(directory, manifest(3, "3.seg")) == ["x.tmp", "4.seg", "5.seg"]
    assert directory.list() == [
        "1.seg", "2.seg", "3.seg", manifest_name(2), manifest_name(3), "other"
    ]  # fmt: skip


def test_no_segment_goes_while_the_manifest_before_cannot_be_read() -> None:
    directory = MemoryDirectory({"1.seg": b"", "2.seg": b""})
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "2.seg"))
    directory.flip(manifest_name(1), 80)
    assert remove_orphans(directory, manifest(2, "2.seg")) == []


def test_a_failed_rename_leaves_the_manifest_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = FsDirectory(tmp_path)
    write_manifest(directory, manifest(1))

    def fail(self: FsDirectory, old: str, new: str) -> None:
        raise StorageError("no")

    monkeypatch.setattr(FsDirectory, "rename", fail)
    with pytest.raises(StorageError):
        write_manifest(directory, manifest(2))
    assert load_manifest(directory) == manifest(1)


def test_a_manifest_of_a_later_build_is_neither_damage_nor_passed_over(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    write_manifest(directory, Manifest(generation=1, epoch=1, next_offset=0))
    write_manifest(directory, Manifest(generation=2, epoch=1, next_offset=5, format_version=2))
    before = directory.list()
    with pytest.raises(StorageError, match="format version 2"):
        load_manifest(directory)
    assert directory.list() == before
