from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.directory import FsDirectory
from index.errors import CorruptionError, StorageError
from index.format import checksum
from index.manifest import (
    Manifest,
    SegmentEntry,
    SegmentMeta,
    decode_manifest,
    encode_manifest,
    epoch_of,
    load_manifest,
    manifest_name,
    segment_name,
)
from index.ownership import write_manifest
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
    later = Manifest(generation=1, epoch=1, next_offset=0, format_version=3)
    with pytest.raises(StorageError, match="format version 3"):
        decode_manifest(manifest_name(1), encode_manifest(later))


def test_a_manifest_of_a_later_build_is_neither_damage_nor_passed_over(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    write_manifest(directory, Manifest(generation=1, epoch=1, next_offset=0))
    write_manifest(directory, Manifest(generation=2, epoch=1, next_offset=5, format_version=3))
    before = directory.list()
    with pytest.raises(StorageError, match="format version 3"):
        load_manifest(directory)
    assert directory.list() == before


def test_a_manifest_of_the_first_format_has_no_origin() -> None:
    body = (
        b'{"generation":3,"epoch":1,"next_offset":30,"segments":[],"topic_id":"t","fence":null,'
        b'"extra":{},"format_version":1}'
    )
    text = b"tailrace manifest crc32c=%08x length=%d\n%s\n" % (checksum(body), len(body), body)
    old = decode_manifest(manifest_name(3), text)
    assert (old.generation, old.next_offset, old.origin) == (3, 30, -1)


def test_the_name_of_a_segment_tells_its_owner() -> None:
    assert segment_name(7, 42) == "000007-000000000042.seg"
    assert epoch_of(segment_name(7, 42)) == 7
    assert epoch_of(segment_name(1_234_567, 1)) == 1_234_567
    assert epoch_of("000000000042.seg") == 0, "of a build that did not know owners"


def test_the_newest_sound_manifest_is_loaded_and_nothing_changed() -> None:
    directory = MemoryDirectory()
    write_manifest(directory, manifest(1, "1.seg"))
    write_manifest(directory, manifest(2, "1.seg", "2.seg"))
    directory.flip(manifest_name(2), 80)
    before = dict(directory.files)
    assert load_manifest(directory) == manifest(1, "1.seg")
    assert directory.files == before
