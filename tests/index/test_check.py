from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from index.check import Report, verify
from index.directory import FsDirectory
from index.format import Kind, Sections, SegmentFile, section
from index.manifest import Manifest, SegmentEntry, encode_manifest, manifest_name
from index.ownership import write_manifest
from index.segment import Segment
from tests.index import storage_world as world
from tests.index.storage_world import (
    BODY,
    SIZE,
    TAG,
    TITLE,
    Document,
    ListDraft,
    MemoryDirectory,
    NamedField,
)

FIRST = [
    Document(b"a", 1, b'{"a":1}', {TITLE: [b"one", b"two", b"one"]}, {SIZE: [4, 5]}),
    Document(b"b", 2, b'{"b":2}', {TITLE: [b"two"], BODY: []}, {TAG: [b"x", b"y"]}),
    Document(b"c", 3, b'{"c":3}', {BODY: [b"z"]}, {TAG: [b"x"]}),
]
SECOND = [Document(b"b", 7, b'{"b":3}', {TITLE: [b"two"]}), Document(b"d", 8, b"{}")]


def shard() -> tuple[MemoryDirectory, Manifest]:
    """A sound shard: two segments, one document superseded."""
    directory = MemoryDirectory()
    metas = [
        world.write(directory, "1.seg", ListDraft(FIRST)),
        world.write(directory, "2.seg", ListDraft(SECOND, 100, {b"gone": 5})),
    ]
    entries = (SegmentEntry(metas[0], BitMap([1]).serialize()), SegmentEntry(metas[1]))
    manifest = Manifest(generation=3, epoch=1, next_offset=111, segments=entries)
    write_manifest(directory, manifest)
    return directory, manifest


def findings(directory: MemoryDirectory) -> list[str]:
    return [str(finding) for finding in verify(directory).findings]


def changed(manifest: Manifest, **fields: Any) -> Manifest:
    return msgspec.structs.replace(manifest, **fields)


def with_manifest(directory: MemoryDirectory, manifest: Manifest) -> MemoryDirectory:
    directory.files[manifest_name(manifest.generation)] = encode_manifest(manifest)
    return directory


def test_a_sound_shard_has_no_findings() -> None:
    directory, manifest = shard()
    before = dict(directory.files)
    report = verify(directory)
    assert report == Report(
        generation=3,
        next_offset=111,
        n_segments=2,
        n_docs=5,
        n_live=4,
        n_bytes=sum(entry.meta.n_bytes for entry in manifest.segments),
    )
    assert report.is_sound
    assert directory.files == before


def test_each_flipped_byte_of_each_file_is_found() -> None:
    directory, _ = shard()
    for name, data in directory.files.items():
        for at in range(0, len(data), 1 if name.startswith("manifest") else 7):
            directory.flip(name, at, 1 << at % 8)
            report = verify(directory)
            assert name in {finding.file for finding in report.findings}, at
            directory.flip(name, at, 1 << at % 8)
    assert verify(directory).is_sound


def test_an_empty_directory_is_sound() -> None:
    assert verify(MemoryDirectory()).is_sound


def test_segments_without_a_manifest_are_found() -> None:
    directory, _ = shard()
    del directory.files[manifest_name(3)]
    assert findings(directory) == [
        "manifest at byte 0: there are segments and no manifest that can be read"
    ]


def test_a_missing_segment_is_found() -> None:
    directory, _ = shard()
    del directory.files["2.seg"]
    assert findings(directory) == ["2.seg at byte 0: the file is not there"]


def test_orphans_and_damaged_manifests_are_noted() -> None:
    directory, _ = shard()
    directory.files["9.seg"] = b""
    directory.files[manifest_name(4) + ".bad"] = b""
    report = verify(directory)
    assert report.is_sound
    assert report.notes == [
        f"{manifest_name(4)}.bad: set aside as damaged",
        "9.seg: in no manifest",
    ]


def test_a_checkpoint_behind_the_documents_is_found() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, next_offset=110))
    assert findings(directory) == [
        f"{manifest_name(3)} at byte 0: offset 110 is not below the checkpoint 110"
    ]


def test_a_manifest_behind_the_one_before_is_found() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, generation=2, next_offset=112))
    assert findings(directory) == [
        f"{manifest_name(3)} at byte 0: epoch or checkpoint is behind generation 2"
    ]


def test_a_hole_in_the_generations_is_found() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, generation=1))
    assert findings(directory) == [f"{manifest_name(3)} at byte 0: generation 1 is the one before"]


def test_an_older_manifest_whose_removal_a_power_loss_undid_is_no_hole() -> None:
    directory, manifest = shard()
    gone = SegmentEntry(msgspec.structs.replace(manifest.segments[0].meta, name="0.seg"))
    with_manifest(directory, changed(manifest, generation=2))
    with_manifest(directory, changed(manifest, generation=1, segments=(gone,)))
    report = verify(directory)
    assert report.is_sound
    assert report.notes == [f"{manifest_name(1)}: left by a crash"]


def test_a_segment_that_only_the_manifest_before_names_is_looked_at() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, generation=4, segments=manifest.segments[1:]))
    assert verify(directory).is_sound
    directory.flip("1.seg", 100)
    assert [finding.file for finding in verify(directory).findings] == ["1.seg"]
    del directory.files["1.seg"]
    assert findings(directory) == ["1.seg at byte 0: the file is not there"]


def test_a_fence_behind_the_checkpoint_is_found() -> None:
    directory, manifest = shard()
    fence = {"offset": 111, "timestamp_ms": 0, "crc32c": 0}
    with_manifest(directory, changed(manifest, fence=fence))
    assert findings(directory) == [
        f"{manifest_name(3)} at byte 0: the fence is not below the checkpoint 111"
    ]


def test_a_document_that_lives_on_below_its_tombstone_is_found() -> None:
    directory = MemoryDirectory()
    metas = [
        world.write(directory, "1.seg", ListDraft([Document(b"gone", 4, b"{}")])),
        world.write(directory, "2.seg", ListDraft(SECOND, 100, {b"gone": 5})),
    ]
    write_manifest(directory, Manifest(1, 1, 111, tuple(SegmentEntry(meta) for meta in metas)))
    (finding,) = findings(directory)
    assert finding.endswith("document 0 lives, deleted at version 5")


@pytest.mark.parametrize("wrong", [{"name": "headline"}, {"type": "keyword"}])
def test_a_field_that_the_index_does_not_know_so_is_found(wrong: dict[str, str]) -> None:
    directory, _ = shard()
    fields = [NamedField(no, f"f{no}", "text") for no in range(7)]
    for field in world.FIELDS:
        fields[field.no] = field
    assert verify(directory, fields).is_sound
    fields[TITLE] = fields[TITLE]._replace(**wrong)
    assert {finding.file for finding in verify(directory, fields).findings} == {"1.seg", "2.seg"}
    assert "in the index not there" in str(verify(directory, fields[:1]).findings)


def test_progress_adds_up_to_the_bytes_of_the_segments() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, generation=4, segments=manifest.segments[1:]))
    seen: list[int] = []
    verify(directory, pace=seen.append)
    assert sum(seen) == sum(entry.meta.n_bytes for entry in manifest.segments)


def test_segments_out_of_log_order_are_found() -> None:
    directory, manifest = shard()
    with_manifest(directory, changed(manifest, segments=manifest.segments[::-1]))
    assert any("is not after the segment before" in finding for finding in findings(directory))


@pytest.mark.parametrize("deletes", [b"junk", BitMap([3]).serialize()])
def test_unsound_deletes_are_found(deletes: bytes) -> None:
    directory, manifest = shard()
    first, second = manifest.segments
    with_manifest(
        directory, changed(manifest, segments=(SegmentEntry(first.meta, deletes), second))
    )
    assert any("deletes of 1.seg" in finding for finding in findings(directory))


def test_a_key_that_lives_twice_is_found() -> None:
    directory, manifest = shard()
    first, second = manifest.segments
    with_manifest(directory, changed(manifest, segments=(SegmentEntry(first.meta), second)))
    (finding,) = findings(directory)
    assert finding.startswith("1.seg at byte ")
    assert finding.endswith("document 1 lives, and a newer one too")


def test_a_key_that_lives_twice_in_one_segment_is_found() -> None:
    directory = MemoryDirectory()
    meta = world.write(directory, "1.seg", ListDraft([FIRST[0], FIRST[0]]))
    write_manifest(directory, Manifest(1, 1, 100, (SegmentEntry(meta),)))
    assert [finding.split(": ")[1] for finding in findings(directory)] == [
        "document 0 lives, and a newer one too"
    ]


def rewritten(
    directory: MemoryDirectory, manifest: Manifest, kind: Kind, field: int, change: Any
) -> None:
    """Put a section of the first segment back changed, with all checksums as they must be."""
    meta = manifest.segments[0].meta
    sections = Sections(meta.name, directory.map(meta.name))
    parts = []
    for (k, f), entry in sections._entries.items():
        data = sections.data[entry.offset : entry.offset + entry.length].copy()
        if (k, f) == (kind, field):
            data = change(data)
        parts.append(section(Kind(k), data, f))
    file = SegmentFile()
    data = b"".join(bytes(memoryview(part)) for part in file.chunks(parts))
    directory.files[meta.name] = data
    changed_meta = msgspec.structs.replace(meta, n_bytes=len(data), crc=file.crc)
    first = SegmentEntry(changed_meta, manifest.segments[0].deletes)
    with_manifest(directory, changed(manifest, segments=(first, manifest.segments[1])))


def put(dtype: Any, at: int, value: Any) -> Any:
    def change(data: np.ndarray) -> np.ndarray:
        data.view(dtype)[at] = value
        return data

    return change


def weaker(data: np.ndarray) -> np.ndarray:
    """Let the bound of the first block speak of a frequency of 0."""
    data.view(np.uint64)[0] &= ~np.uint64(255 << 54)
    return data


def single_of(term: int, doc_id: int) -> Any:
    """Give a term's single posting to another document."""

    def change(data: np.ndarray) -> np.ndarray:
        data.view(np.uint64)[term] &= ~np.uint64(0xFFFFFFFF)
        data.view(np.uint64)[term] |= np.uint64(doc_id)
        return data

    return change


def said(before: bytes, after: bytes) -> Any:
    def change(data: np.ndarray) -> np.ndarray:
        return np.frombuffer(data.tobytes().replace(before, after), np.uint8)

    return change


NONE = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("kind", "field", "change", "reason"),
    [
        (Kind.LENGTHS, TITLE, put(np.uint8, 0, 9), "sum is not 4"),
        (Kind.NORMS, TITLE, put(np.uint8, 0, 9), "norms are not those of the lengths"),
        (Kind.PRESENT, TITLE, put(np.uint64, 0, 1), "not 2 documents"),
        (Kind.VALUES, TAG, put(np.uint32, 0, 2), "ordinal 2 of 2 terms"),
        (Kind.PRESENT, TAG, put(np.uint64, 0, 3), "not the documents that have values"),
        (Kind.VALUE_STARTS, TAG, put(np.uint32, 3, 2), "values do not follow each other"),
        (Kind.ZONES, SIZE, put(np.int64, 1, 8), "not the least and greatest values"),
        (Kind.OFFSETS, NONE, put(np.uint64, 1, 2**64 - 10), "offsets do not rise"),
        (Kind.KEYS, NONE, put(np.uint8, 0, ord("q")), "a document is not found by its key"),
        (Kind.KEY_STARTS, NONE, put(np.int64, 1, 9), "keys do not follow each other"),
        (Kind.TERMS, NONE, put(np.uint8, 2, ord("u")), "term 0 of field 0 is out of order"),
        (Kind.RECORDS, NONE, put(np.uint64, 0, 9 << 32), "postings of term 0 are not sound"),
        (Kind.SOURCES, NONE, put(np.uint8, 0, 0), "a block of sources: "),
        (Kind.POS_METAS, NONE, weaker, "a bound of the scores of term 0 does not hold"),
        (Kind.RECORDS, NONE, single_of(2, 0), "document 0 has 1 tokens, not 0"),
        (Kind.RECORDS, NONE, single_of(4, 0), "a document of term 1 of field 3 has not its value"),
        (Kind.META, NONE, said(b'"first_offset":0', b'"first_offset":1'), "that the manifest"),
        (Kind.META, NONE, said(b'"no":5', b'"no":6'), ""),
    ],
)
def test_a_structure_that_is_wrong_under_a_right_checksum_is_found(
    kind: Kind, field: int, change: Any, reason: str
) -> None:
    directory, manifest = shard()
    rewritten(directory, manifest, kind, field, change)
    found = findings(directory)
    assert any(reason in finding and finding.startswith("1.seg at byte") for finding in found)


@settings(deadline=None, max_examples=40)
@given(st.lists(world.documents, max_size=12))
def test_whatever_is_written_is_sound(docs: list[Document]) -> None:
    unique = list({doc.key: doc for doc in docs}.values())
    directory = MemoryDirectory()
    meta = world.write(directory, "1.seg", ListDraft(unique))
    write_manifest(directory, Manifest(1, 1, 1000, (SegmentEntry(meta),)))
    assert findings(directory) == []


def test_positions_of_large_blocks_are_looked_at() -> None:
    docs = [Document(b"%d" % i, i, b"", {0: [b"a"] * 40}) for i in range(300)]
    directory = MemoryDirectory()
    meta = world.write(directory, "1.seg", ListDraft(docs))
    write_manifest(directory, Manifest(1, 1, 10_000, (SegmentEntry(meta),)))
    assert findings(directory) == []
    assert Segment.open(directory, meta).field_stats(0).total_length == 12_000


def test_the_command_prints_json_and_tells_by_its_exit_code(tmp_path: Path) -> None:
    directory = FsDirectory(tmp_path)
    meta = world.write(directory, "1.seg", ListDraft(FIRST))
    write_manifest(directory, Manifest(1, 1, 100, (SegmentEntry(meta),)))
    codes = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "index.check", str(tmp_path)], capture_output=True, timeout=120
        )
        codes.append((done.returncode, len(msgspec.json.decode(done.stdout)["findings"])))
        data = bytearray((tmp_path / "1.seg").read_bytes())
        data[100] ^= 1
        (tmp_path / "1.seg").write_bytes(data)
    assert codes == [(0, 0), (1, 1)]
