"""Is a shard's directory sound? Every byte, every structure, and what must hold between files.

`verify` reads everything and changes nothing. `python -m index.check DIR` prints the report as
JSON; its exit code is 0 where all is sound, 1 where something was found.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import msgspec
import numpy as np
from pyroaring import BitMap

from index.columns import canonical, counts_of, mask_of, zones_of
from index.directory import Directory, FsDirectory
from index.errors import CorruptionError, StorageError
from index.format import NO_FIELD, SUFFIX, Kind, Sections
from index.kernels.postings import check_postings
from index.kernels.rows import BLOCK, ROW_WIDTH
from index.kernels.terms import check_terms
from index.lengths import encode_lengths
from index.manifest import (
    DAMAGED,
    Manifest,
    SegmentEntry,
    decode_manifest,
    generation_of,
    is_of_fenced,
    manifest_name,
)
from index.reader import I64, Column
from index.segment import Segment
from index.segment_writer import FieldInfo

SCRATCH_POSITIONS = 1 << 20
"""Positions of one block that are looked at; of a block with more they are only counted."""


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


def verify(directory: Directory) -> Report:
    """Check a shard's directory. Nothing is changed. Raises: StorageError where it cannot be read
    at all; whatever else is wrong is a finding."""
    report = Report()
    names = directory.list()
    manifest = _check_manifests(directory, names, report)
    report.notes += [f"{name}: set aside as damaged" for name in names if name.endswith(DAMAGED)]
    if manifest is None:
        if any(name.endswith(SUFFIX) for name in names):
            report.add("manifest", 0, "there are segments and no manifest that can be read")
        return report
    report.generation, report.next_offset = manifest.generation, manifest.next_offset
    live = {entry.meta.name for entry in manifest.segments}
    orphans = [name for name in names if name.endswith(SUFFIX) and name not in live]
    report.notes += [f"{name}: not in the newest manifest" for name in orphans]
    segments: list[tuple[Segment, SegmentEntry]] = []
    sound: list[tuple[Segment, SegmentEntry]] = []
    for entry in manifest.segments:
        segment = _check_file(directory, entry, report)
        if segment is not None:
            n_findings = len(report.findings)
            _check_segment(segment, report)
            segments.append((segment, entry))
            if len(report.findings) == n_findings:
                sound.append((segment, entry))
    _check_offsets(manifest, segments, report)
    _check_liveness(sound, report)
    return report


def _check_manifests(directory: Directory, names: list[str], report: Report) -> Manifest | None:
    """Return the newest manifest that can be read."""
    manifests: list[Manifest] = []
    for name in sorted((name for name in names if generation_of(name) is not None), reverse=True):
        try:
            manifests.append(decode_manifest(name, directory.read(name)))
        except CorruptionError as error:
            report.add(error.name, error.offset, error.reason)
        except StorageError as error:
            report.add(name, 0, str(error))
    fenced = [manifest for manifest in manifests if is_of_fenced(manifest, manifests[0])]
    report.notes += [
        f"{manifest_name(manifest.generation)}: left by an owner that was fenced"
        for manifest in fenced
    ]
    for newer, older in pairwise(manifest for manifest in manifests if manifest not in fenced):
        if newer.epoch < older.epoch or newer.next_offset < older.next_offset:
            reason = f"epoch or checkpoint is behind generation {older.generation}"
            report.add(f"generation {newer.generation}", 0, reason)
    return manifests[0] if manifests else None


def _check_file(directory: Directory, entry: SegmentEntry, report: Report) -> Segment | None:
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
        return None


# --- one segment ---------------------------------------------------------------------------
def _check_segment(segment: Segment, report: Report) -> None:
    checks: tuple[Callable[[Segment], Iterator[tuple[Kind, int, str]]], ...] = (
        _check_terms, _check_fields, _check_documents
    )  # fmt: skip
    for check in checks:
        try:
            for kind, field, reason in check(segment):
                report.add(segment.meta.name, segment.sections.offset(kind, field), reason)
        except CorruptionError as error:
            report.add(error.name, error.offset, error.reason)


def _check_terms(segment: Segment) -> Iterator[tuple[Kind, int, str]]:
    """The dictionary rises, postings rise and agree with the lengths."""
    terms, n_docs = segment.terms, segment.n_docs
    last = np.empty(terms.longest, np.uint8)
    docs, tfs = np.empty((2, BLOCK), np.uint32)
    scratch = np.empty(min(SCRATCH_POSITIONS, _most_positions(segment)), np.uint32)
    row = np.zeros(ROW_WIDTH, np.int64)
    for field in segment.info.fields:
        place = terms.fields[field.no]
        bad = check_terms(terms.row, place.first_block, place.n_terms, last)
        if bad >= 0:
            yield Kind.TERMS, NO_FIELD, f"term {bad} of field {field.no} is out of order"
        totals = np.zeros(3, np.int64)
        first, end = place.first, place.first + place.n_terms
        bad = check_postings(
            segment.postings.row, first, end, n_docs, row, docs, tfs, scratch, totals
        )
        if bad >= 0:
            yield Kind.POSTINGS, NO_FIELD, f"postings of term {bad} are not sound"
        elif field.kind == "text" and totals[1] != field.total_length:
            reason = f"field {field.no} has {totals[1]} tokens, not {field.total_length}"
            yield Kind.POSTINGS, NO_FIELD, reason
        elif totals[2] not in (0, totals[1]):
            reason = f"field {field.no} has {totals[2]} positions of {totals[1]} tokens"
            yield Kind.POSITIONS, NO_FIELD, reason


def _most_positions(segment: Segment) -> int:
    return max((field.total_length for field in segment.info.fields), default=0)


def _check_fields(segment: Segment) -> Iterator[tuple[Kind, int, str]]:
    """Lengths, norms and values agree with each other and with the statistics."""
    n_docs = segment.n_docs
    for field in segment.info.fields:
        present = segment.present(field.no)
        if present is None or int(np.bitwise_count(present).sum()) != field.n_present:
            yield Kind.PRESENT, field.no, f"not {field.n_present} documents"
        lengths, norms = segment.lengths(field.no), segment.norms(field.no)
        if lengths is not None and norms is not None:
            if int(lengths.sum(dtype=np.int64)) != field.total_length:
                yield Kind.LENGTHS, field.no, f"sum is not {field.total_length}"
            if not np.array_equal(norms, encode_lengths(lengths)):
                yield Kind.NORMS, field.no, "norms are not those of the lengths"
        column = segment.column(field.no)
        if column is not None:
            yield from _check_column(segment, field, column, n_docs)


def _check_column(
    segment: Segment, field: FieldInfo, column: Column, n_docs: int
) -> Iterator[tuple[Kind, int, str]]:
    counts = counts_of(column, n_docs)
    if np.any(counts < 0) or int(counts.sum()) != field.total_length:
        yield Kind.VALUE_STARTS, field.no, f"not {field.total_length} values"
        return
    has = mask_of(segment.present(field.no), n_docs)
    if not np.array_equal(counts > 0, has):
        yield Kind.PRESENT, field.no, "not the documents that have values"
    if column.zones is not None and not np.array_equal(
        column.zones, zones_of(canonical(column, n_docs), n_docs), equal_nan=column.kind == "f64"
    ):
        yield Kind.ZONES, field.no, "not the least and greatest values"


def _check_documents(segment: Segment) -> Iterator[tuple[Kind, int, str]]:
    """Keys are found, offsets rise, every source can be read."""
    n_docs = segment.n_docs
    blob, starts = segment.keys.all()
    if np.any(segment.keys.find_all(blob, starts) < np.arange(n_docs)):
        yield Kind.KEY_SLOTS, NO_FIELD, "a document is not found by its key"
    if np.any(np.diff(segment.offsets.all()) <= 0):
        yield Kind.OFFSETS, NO_FIELD, "offsets do not rise"
    if len(segment.tombstones()) != segment.info.n_tombstones:
        yield Kind.TOMBSTONES, NO_FIELD, f"not {segment.info.n_tombstones} tombstones"
    if sum(1 for _ in segment.stored.all()) != n_docs:
        yield Kind.SOURCES, NO_FIELD, f"not {n_docs} sources"


# --- between segments ----------------------------------------------------------------------
def _check_offsets(
    manifest: Manifest, segments: list[tuple[Segment, SegmentEntry]], report: Report
) -> None:
    """Segments lie in log order, below the checkpoint."""
    last = -1
    for segment, entry in segments:
        meta = entry.meta
        if segment.n_docs == 0:
            continue
        at = segment.sections.offset(Kind.OFFSETS)
        ends = segment.offsets[0], segment.offsets[segment.n_docs - 1]
        if ends != (meta.first_offset, meta.last_offset):
            report.add(meta.name, at, "offsets are not those that the manifest names")
        if ends[0] <= last:
            report.add(meta.name, at, f"offset {ends[0]} is not after the segment before, {last}")
        last = max(last, ends[1])
    if last >= manifest.next_offset and last >= 0:
        reason = f"offset {last} is not below the checkpoint {manifest.next_offset}"
        report.add(f"generation {manifest.generation}", 0, reason)


def _check_liveness(segments: list[tuple[Segment, SegmentEntry]], report: Report) -> None:
    """Deletes are sound, and each key lives in at most one document. Requires: sound segments."""
    living: list[np.ndarray] = []
    for segment, entry in segments:
        alive = np.ones(segment.n_docs, np.bool_)
        living.append(alive)
        if entry.deletes is None:
            continue
        try:
            dead = np.array(BitMap.deserialize(entry.deletes).to_array(), np.int64)
        except ValueError as error:
            report.add("manifest", 0, f"deletes of {entry.meta.name}: {error}")
            continue
        if len(dead) and dead[-1] >= segment.n_docs:
            report.add("manifest", 0, f"deletes of {entry.meta.name}: document {dead[-1]}")
            continue
        alive[dead] = False
    report.n_live = sum(int(np.count_nonzero(alive)) for alive in living)
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
