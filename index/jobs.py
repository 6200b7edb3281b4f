"""Flush and merge: planned in the apply thread, run in another, installed in the apply thread.

`run()` does all that is slow, in the one safe order: segment file durable, its name durable,
manifest durable. When it returns, a crash finds the new state; until then it finds the old.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pyroaring import BitMap

from index.directory import Directory
from index.manifest import Manifest, SegmentEntry, write_manifest
from index.memtable import Memtable
from index.merge import MergeDraft
from index.options import IndexOptions
from index.part import Part, full_bitset, set_docs
from index.reader import I64, U64, Reader
from index.schema import Schema
from index.segment import Segment, SegmentMeta, write_segment


class Job(Protocol):
    """One change of a shard's manifest on its way."""

    @property
    def kind(self) -> str: ...

    def run(self) -> None:
        """Make the change durable. Thread rule: any one thread. Raises: StorageError."""


def encode_deletes(alive: U64 | None, n_docs: int) -> bytes | None:
    """Return the dead documents as a roaring bitmap in the portable format; None where all live."""
    if alive is None:
        return None
    dead = full_bitset(n_docs) & ~alive
    bitmap = BitMap(set_docs(dead).tolist())
    return bitmap.serialize() if bitmap else None


def decode_deletes(deletes: bytes | None, n_docs: int) -> U64 | None:
    """Return the live documents as a bitset; None where all live."""
    if deletes is None:
        return None
    alive = full_bitset(n_docs)
    import numpy as np

    for doc_id in BitMap.deserialize(deletes):
        alive[doc_id >> 6] &= ~(np.uint64(1) << np.uint64(doc_id & 63))
    return alive


@dataclass(slots=True)
class FlushJob:
    """A frozen memtable becomes a segment; the checkpoint moves to the moment of the freeze."""

    directory: Directory
    schema: Schema
    options: IndexOptions
    before: Manifest
    checkpoint: int
    fence: dict[str, int] | None
    segment_name: str
    frozen: Part | None
    """None: nothing was indexed since the last checkpoint, only the checkpoint moves."""
    memtable: Memtable
    segments: list[Part]
    living: list[U64 | None]
    """Of each segment, the bits at the moment of the freeze."""
    kind: str = "flush"
    manifest: Manifest | None = None
    output: Segment | None = None
    doc_map: I64 | None = None
    _alive: U64 | None = None
    _reader: Reader | None = None

    def __post_init__(self) -> None:
        if self.frozen is not None:
            self._alive = self.frozen.alive
            self._reader = self.frozen.reader

    @property
    def frozen_alive(self) -> U64 | None:
        return self._alive

    def run(self) -> None:
        entries = [
            SegmentEntry(entry.meta, encode_deletes(alive, entry.meta.n_docs))
            for entry, alive in zip(self.before.segments, self.living, strict=True)
        ]
        if self._reader is not None:
            draft = self.memtable.draft(self._reader, self._alive)
            self.doc_map = draft.doc_map
            if draft.n_docs or draft.tombstones():
                meta = write_segment(
                    self.directory, self.segment_name, draft, self.schema.fields, self.options
                )
                self.directory.sync()
                self.output = Segment.open(self.directory, meta)
                entries.append(SegmentEntry(meta, None))
        self.manifest = _next(self.before, entries, self.checkpoint, self.fence)
        write_manifest(self.directory, self.manifest)


@dataclass(slots=True)
class MergeJob:
    """Neighbouring segments become one; the checkpoint stays."""

    directory: Directory
    schema: Schema
    options: IndexOptions
    before: Manifest
    segment_name: str
    first: int
    inputs: list[Part]
    living: list[U64 | None] = field(default_factory=list)
    """Of each input, the bits at the manifest's checkpoint: what only died later is kept."""
    kind: str = "merge"
    manifest: Manifest | None = None
    output: Segment | None = None
    doc_maps: list[I64] = field(default_factory=list)

    def run(self) -> None:
        segments = [part.reader for part in self.inputs]
        draft = MergeDraft([s for s in segments if isinstance(s, Segment)], self.living)
        self.doc_maps = draft.doc_maps
        entries = list(self.before.segments)
        replaced: list[SegmentEntry] = []
        if draft.n_docs or draft.tombstones():
            meta: SegmentMeta = write_segment(
                self.directory, self.segment_name, draft, self.schema.fields, self.options
            )
            self.directory.sync()
            self.output = Segment.open(self.directory, meta)
            replaced = [SegmentEntry(meta, None)]
        entries[self.first : self.first + len(self.inputs)] = replaced
        self.manifest = _next(self.before, entries, self.before.next_offset, self.before.fence)
        write_manifest(self.directory, self.manifest)


def _next(
    before: Manifest,
    entries: list[SegmentEntry],
    checkpoint: int,
    fence: dict[str, int] | None,
) -> Manifest:
    return Manifest(
        generation=before.generation + 1,
        epoch=before.epoch,
        next_offset=checkpoint,
        segments=tuple(entries),
        topic_id=before.topic_id,
        fence=fence,
        extra=before.extra,
    )
