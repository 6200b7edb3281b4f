"""Is a shard's directory sound? Every byte, every structure, and what must hold between files.

`verify` reads everything and changes nothing. `python -m index.check DIR` prints the report as
JSON; its exit code is 0 where all is sound, 1 where something was found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from pyroaring import BitMap

from index.check_segment import check_segment
from index.directory import Directory, FsDirectory
from index.errors import CorruptionError, StorageError
from index.format import SUFFIX, Kind, Sections
from index.gaps import gaps_of
from index.manifest import (
    DAMAGED,
    KEPT,
    TEMPORARY,
    Manifest,
    SegmentEntry,
    decode_manifest,
    generation_of,
    manifest_name,
)
from index.reader import I64
from index.segment import Segment
from index.segment_writer import NamedField


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was written, and where."""

    file: str
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file} at byte {self.offset}: {self.reason}"


class Report(msgspec.Struct):
    """What `verify` found. Of the newest manifest that can be read."""

    generation: int = 0
    next_offset: int = -1
    n_segments: int = 0
    n_docs: int = 0
    n_live: int = 0
    """In sound segments."""
    n_bytes: int = 0
    findings: list[Finding] = []
    notes: list[str] = []
    """What is not wrong, but worth knowing: orphans, manifests set aside."""

    @property
    def is_sound(self) -> bool:
        return not self.findings

    def add(self, file: str, offset: int, reason: str) -> None:
        self.findings.append(Finding(file, offset, reason))


def verify(
    directory: Directory,
    fields: Sequence[NamedField] | None = None,
    pace: Callable[[int], None] = lambda n_bytes: None,
) -> Report:
    """Check a shard's directory. Nothing is changed. Raises: StorageError where it cannot be read
    at all; whatever else is wrong is a finding.

    `fields`: those of the index by number; None: not known. `pace` is called with the bytes that
    were looked at since its last call: in all, those of the segments that manifests name.
    """
    report = Report()
    names = directory.list()
    manifests = _check_manifests(directory, names, report)
    report.notes += [f"{name}: set aside as damaged" for name in names if name.endswith(DAMAGED)]
    report.notes += [f"{name}: left by a crash" for name in names if name.endswith(TEMPORARY)]
    if not manifests:
        if any(name.endswith(SUFFIX) for name in names):
            report.add("manifest", 0, "there are segments and no manifest that can be read")
        return report
    manifest = manifests[0]
    report.generation, report.next_offset = manifest.generation, manifest.next_offset
    _tell_gaps(manifest, report)
    segments: list[tuple[Segment, SegmentEntry]] = []
    sound: list[tuple[Segment, SegmentEntry]] = []
    for entry in manifest.segments:
        segment = _check_file(directory, entry, report)
        if segment is None:
            pace(entry.meta.n_bytes)
            continue
        n_findings = len(report.findings)
        for error in check_segment(segment, pace):
            report.add(error.name, error.offset, error.reason)
        _check_known(segment, fields, report)
        segments.append((segment, entry))
        if len(report.findings) == n_findings:
            sound.append((segment, entry))
    _check_offsets(manifest, segments, report)
    _check_liveness(sound, manifest_name(manifest.generation), report)
    _check_older(directory, names, manifests, report, pace)
    return report


def _tell_gaps(manifest: Manifest, report: Report) -> None:
    name = manifest_name(manifest.generation)
    try:
        gaps = gaps_of(manifest)
    except CorruptionError as error:
        report.add(error.name, error.offset, error.reason)
        return
    report.notes += [
        f"{name}: offsets {gap.first} to {gap.end} are lost, the log had dropped them"
        for gap in gaps
    ]


# --- manifests and files -------------------------------------------------------------------
def _check_manifests(directory: Directory, names: list[str], report: Report) -> list[Manifest]:
    """Return those that are kept and can be read, the newest first. Each follows the one before
    it. An older one is there again where a power loss undid its removal, or where an owner that
    was fenced published it after its number was free."""
    manifests: list[Manifest] = []
    generations = {name: generation for name in names if (generation := generation_of(name))}
    newest = max(generations.values(), default=0)
    is_whole = newest - 1 in generations.values()
    for name in sorted(generations, reverse=True):
        if is_whole and generations[name] <= newest - KEPT:
            report.notes.append(f"{name}: left by a crash")
            continue
        try:
            manifests.append(decode_manifest(name, directory.read(name)))
        except CorruptionError as error:
            report.add(error.name, error.offset, error.reason)
        except StorageError as error:
            report.add(name, 0, str(error))
    for newer, older in pairwise(manifests):
        name = manifest_name(newer.generation)
        between = range(older.generation + 1, newer.generation)
        if not all(manifest_name(generation) + DAMAGED in names for generation in between):
            report.add(name, 0, f"generation {older.generation} is the one before")
        if newer.epoch < older.epoch or newer.next_offset < older.next_offset:
            reason = f"epoch or checkpoint is behind generation {older.generation}"
            report.add(name, 0, reason)
    return manifests


def _check_file(directory: Directory, entry: SegmentEntry, report: Report) -> Segment | None:
    """Compare every byte with its checksum."""
    meta = entry.meta
    try:
        sections = Sections(meta.name, directory.map(meta.name), meta.crc)
        report.n_segments += 1
        report.n_docs += meta.n_docs
        report.n_bytes += len(sections.data)
        damages = list(sections.damages())
        for damage in damages:
            report.add(damage.name, damage.offset, damage.reason)
        # Behind a wrong checksum every structure may be wrong: one finding says it all.
        return None if damages else Segment(sections, meta)
    except CorruptionError as error:
        report.add(error.name, error.offset, error.reason)
    except StorageError as error:
        report.add(meta.name, 0, str(error))
    return None


def _check_older(
    directory: Directory,
    names: list[str],
    manifests: list[Manifest],
    report: Report,
    pace: Callable[[int], None],
) -> None:
    """What only the manifest before names must be there and sound too: it is what a damaged newest
    manifest falls back to. What none names is an orphan."""
    newest, *older = manifests
    known = {entry.meta.name for entry in newest.segments}
    for manifest in older:
        for entry in manifest.segments:
            if entry.meta.name not in known:
                known.add(entry.meta.name)
                _check_file(directory, entry, report)
                report.n_segments -= 1
                report.n_docs -= entry.meta.n_docs
                report.n_bytes -= entry.meta.n_bytes
                pace(entry.meta.n_bytes)
    orphans = [name for name in names if name.endswith(SUFFIX) and name not in known]
    report.notes += [f"{name}: in no manifest" for name in orphans]


def _check_known(segment: Segment, fields: Sequence[NamedField] | None, report: Report) -> None:
    """The index knows every field of the segment as it was when the segment was written."""
    if fields is None:
        return
    at = segment.sections.offset(Kind.META)
    for field in segment.info.fields:
        known = fields[field.no] if field.no < len(fields) else None
        if known is None or (known.name, known.type) != (field.name, field.type):
            of_index = f"[{known.name}] ({known.type})" if known is not None else "not there"
            reason = f"field {field.no} is [{field.name}] ({field.type}), in the index {of_index}"
            report.add(segment.meta.name, at, reason)


# --- between segments ----------------------------------------------------------------------
def _check_offsets(
    manifest: Manifest, segments: list[tuple[Segment, SegmentEntry]], report: Report
) -> None:
    """Segments lie in log order, below the checkpoint, and so does the fence."""
    last = -1
    for segment, entry in segments:
        meta = entry.meta
        if segment.n_docs == 0:
            continue
        at = segment.sections.offset(Kind.OFFSETS)
        ends = segment.offsets[0], segment.offsets[segment.n_docs - 1]
        if ends[0] <= last:
            report.add(meta.name, at, f"offset {ends[0]} is not after the segment before, {last}")
        last = max(last, ends[1])
    name = manifest_name(manifest.generation)
    if last >= manifest.next_offset and last >= 0:
        reason = f"offset {last} is not below the checkpoint {manifest.next_offset}"
        report.add(name, 0, reason)
    if manifest.fence is not None and manifest.fence["offset"] >= manifest.next_offset:
        report.add(name, 0, f"the fence is not below the checkpoint {manifest.next_offset}")


def _check_liveness(
    segments: list[tuple[Segment, SegmentEntry]], manifest: str, report: Report
) -> None:
    """Deletes are sound, each key lives in at most one document, and none lives that was deleted.
    Requires: sound segments."""
    living = [_living(segment, entry, manifest, report) for segment, entry in segments]
    report.n_live = sum(int(np.count_nonzero(alive)) for alive in living)
    tombstones: dict[bytes, int] = {}
    for segment, _ in segments:
        for key, version in segment.tombstones().items():
            tombstones[key] = max(version, tombstones.get(key, version))
    for number, (segment, _) in enumerate(segments):
        blob, starts = segment.keys.all()
        superseded = segment.keys.find_all(blob, starts) > np.arange(segment.n_docs)
        for (newer, _), alive in zip(segments[number + 1 :], living[number + 1 :], strict=True):
            superseded |= _found_alive(newer.keys.find_all(blob, starts), alive)
        twice = np.flatnonzero(living[number] & superseded)
        if len(twice):
            doc_id = int(twice[0])
            at = segment.sections.offset(Kind.KEYS) + int(starts[doc_id])
            report.add(segment.meta.name, at, f"document {doc_id} lives, and a newer one too")
        _check_tombstones(segment, living[number], tombstones, report)


def _living(segment: Segment, entry: SegmentEntry, manifest: str, report: Report) -> np.ndarray:
    """Return which documents of a segment live."""
    alive = np.ones(segment.n_docs, np.bool_)
    if entry.deletes is None:
        return alive
    try:
        dead = np.array(BitMap.deserialize(entry.deletes).to_array(), np.int64)
    except ValueError as error:
        report.add(manifest, 0, f"deletes of {entry.meta.name}: {error}")
        return alive
    if len(dead) and dead[-1] >= segment.n_docs:
        report.add(manifest, 0, f"deletes of {entry.meta.name}: document {dead[-1]}")
        return alive
    alive[dead] = False
    return alive


def _check_tombstones(
    segment: Segment, alive: np.ndarray, tombstones: dict[bytes, int], report: Report
) -> None:
    """No document lives whose key was deleted at a higher version."""
    keys = list(tombstones)
    for key, doc_id in zip(keys, segment.find_keys(keys).tolist(), strict=True):
        if doc_id >= 0 and alive[doc_id] and segment.version(doc_id) < tombstones[key]:
            at = segment.sections.offset(Kind.KEYS)
            reason = f"document {doc_id} lives, deleted at version {tombstones[key]}"
            report.add(segment.meta.name, at, reason)


def _found_alive(found: I64, alive: np.ndarray) -> np.ndarray:
    return (found >= 0) & alive[np.maximum(found, 0)] if len(alive) else found >= 0


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m index.check DIRECTORY\n")
        return 2
    report = verify(FsDirectory(arguments[0]))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    return 0 if report.is_sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
