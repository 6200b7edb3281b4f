"""Flush and merge: planned in the apply thread, run in another, installed in the apply thread.

A job does all that is slow, in the one safe order: segment file durable, its name durable
(`write`), manifest durable (`commit`). When it has committed, a crash finds the new state; until
then it finds the old. Flushes go on while a merge writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypeAlias

import msgspec
import numpy as np
from pyroaring import BitMap

from index.directory import Directory
from index.errors import CorruptionError, FencedError, StorageError, UnsettledError
from index.gaps import Gap, with_log
from index.manifest import FORMAT_VERSION, Manifest, SegmentEntry
from index.memtable import Memtable
from index.merge import MergeDraft
from index.options import IndexOptions
from index.ownership import fencing, write_manifest
from index.part import Part, carry_over, clear_docs, full_bitset, set_docs
from index.reader import I64, U64, Reader
from index.rebuild import after_checkpoint
from index.schema import Schema
from index.segment import Segment, write_segment

Pace: TypeAlias = Callable[[int], None]
"""Called by a job between two pieces of work with the bytes written or read since the last call.
It may take its time; an exception ends the job."""


def at_full_speed(n_bytes: int) -> None:
    """The pace of a job that nothing holds back."""


class Job(Protocol):
    """One change of a shard's manifest on its way. It is written, then committed.

    Thread rule: any one thread. Commits of a shard come one after the other, none while a flush
    is planned and not installed; a merge is told by `Engine.settle` what came meanwhile.
    """

    @property
    def kind(self) -> Literal["flush", "merge"]: ...

    is_unsettled: bool
    """Whether the edit may be in the directory, and is not known to be durable, or to be the
    newest."""

    @property
    def n_bytes(self) -> int:
        """Of the segment that was written."""

    def write(self, pace: Pace = at_full_speed) -> None:
        """Make the segment durable. Raises: StorageError; FencedError where the shard has another
        owner by now."""

    def commit(self) -> None:
        """Make the edit durable. Requires: written.

        Raises: FencedError where the shard has another owner by now; UnsettledError, after which
        it may be called again, or the shard must be opened again; any other StorageError: the
        edit is not there and never will be.
        """

    def discard(self) -> None:
        """Remove what was written. Requires: not committed, nor unsettled."""

    def run(self) -> None:
        """Write and commit. Requires: no other job was planned after this one."""


def encode_deletes(alive: U64 | None, n_docs: int) -> bytes | None:
    """Return the dead documents as a roaring bitmap in the portable format; None where all live."""
    if alive is None:
        return None
    dead = full_bitset(n_docs) & ~alive
    bitmap = BitMap(set_docs(dead).tolist())
    return bitmap.serialize() if bitmap else None


def decode_deletes(deletes: bytes | None, n_docs: int, segment: str) -> U64 | None:
    """Return the live documents as a bitset; None where all live.

    Raises: CorruptionError naming the segment."""
    if deletes is None:
        return None
    try:
        dead = np.array(BitMap.deserialize(deletes).to_array(), np.uint32)
    except ValueError as error:
        raise CorruptionError(segment, 0, f"its deletes in the manifest: {error}") from None
    if len(dead) and dead[-1] >= n_docs:
        reason = f"its deletes in the manifest name document {dead[-1]} of {n_docs}"
        raise CorruptionError(segment, 0, reason)
    return clear_docs(None, n_docs, dead)


@contextmanager
def _settling(job: FlushJob | MergeJob) -> Iterator[None]:
    """What is done within publishes the job's edit."""
    try:
        yield
    except (UnsettledError, FencedError):
        # The next owner may have begun with this very edit: its segment must stay.
        job.is_unsettled = True
        raise
    except StorageError as error:
        if job.is_unsettled:
            raise UnsettledError(str(error)) from error  # nothing was found out
        raise
    job.is_unsettled = False


@dataclass(slots=True)
class FlushJob:
    """A frozen memtable becomes a segment; the checkpoint moves to the moment of the freeze."""

    directory: Directory
    schema: Schema
    options: IndexOptions
    before: Manifest
    checkpoint: int
    origin: int
    fence: dict[str, int] | None
    topic_id: str
    gaps: tuple[Gap, ...]
    segment_name: str
    frozen: Part | None
    """None: nothing was indexed since the last checkpoint, only the checkpoint moves."""
    memtable: Memtable
    segments: list[Part]
    living: list[U64 | None]
    """Of each segment, the bits at the moment of the freeze."""
    kind: Literal["flush"] = "flush"
    manifest: Manifest | None = None
    output: Segment | None = None
    doc_map: I64 | None = None
    is_unsettled: bool = False
    _alive: U64 | None = None
    _reader: Reader | None = None

    def __post_init__(self) -> None:
        if self.frozen is not None:
            self._alive = self.frozen.alive
            self._reader = self.frozen.reader

    @property
    def frozen_alive(self) -> U64 | None:
        return self._alive

    @property
    def n_bytes(self) -> int:
        return self.output.meta.n_bytes if self.output is not None else 0

    def write(self, pace: Pace = at_full_speed) -> None:
        if self._reader is None:
            return
        draft = self.memtable.draft(self._reader, self._alive)
        self.doc_map = draft.doc_map
        if draft.n_docs or draft.tombstones():
            self.output = _write_output(self, draft, pace)

    def commit(self) -> None:
        _publish(self)

    def _edit(self) -> Manifest:
        entries = [
            SegmentEntry(entry.meta, encode_deletes(alive, entry.meta.n_docs))
            for entry, alive in zip(self.before.segments, self.living, strict=True)
        ]
        if self.output is not None:
            entries.append(SegmentEntry(self.output.meta, None))
        after = _next(
            self.before,
            entries,
            next_offset=self.checkpoint,
            origin=self.origin,
            fence=self.fence,
        )
        return after_checkpoint(with_log(after, self.topic_id, self.gaps))

    def discard(self) -> None:
        _remove(self.directory, self.segment_name)

    def again(self, before: Manifest, segment_name: str) -> FlushJob:
        """Return a flush of the same documents to the same checkpoint, into another file.

        `before` is the manifest by now. Requires: this one was abandoned.
        """
        job = replace(
            self, before=before, segment_name=segment_name, manifest=None, output=None, doc_map=None
        )
        # As they were at the freeze: what died since died behind the checkpoint.
        job._alive, job._reader = self._alive, self._reader
        return job

    def take_merge(self, merge: MergeJob, outputs: list[Part]) -> None:
        """Learn of a merge that was installed while this one lay abandoned."""
        merged = slice(merge.first, merge.first + len(merge.inputs))
        living: U64 | None = None
        for part in outputs:
            each = zip(self.living[merged], merge.living, merge.doc_maps, strict=True)
            for alive, since, doc_map in each:
                living = carry_over(alive, since, doc_map, living, part.reader.n_docs)
        self.living[merged] = [living] * len(outputs)
        self.segments[merged] = outputs

    def run(self) -> None:
        self.write()
        self.commit()


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
    kind: Literal["merge"] = "merge"
    manifest: Manifest | None = None
    output: Segment | None = None
    doc_maps: list[I64] = field(default_factory=list)
    durable: U64 | None = None
    """Of the output, the bits at the checkpoint by now."""
    is_unsettled: bool = False

    @property
    def n_bytes(self) -> int:
        return self.output.meta.n_bytes if self.output is not None else 0

    def write(self, pace: Pace = at_full_speed) -> None:
        segments = [part.reader for part in self.inputs]
        inputs = [segment for segment in segments if isinstance(segment, Segment)]
        with fencing(self.directory, self.before):
            for segment in inputs:
                # What is damaged must not get a new and right checksum.
                segment.check(self.directory, pace)
        draft = MergeDraft(inputs, self.living)
        self.doc_maps = draft.doc_maps
        if draft.n_docs or draft.tombstones():
            self.output = _write_output(self, draft, pace)

    def settle(self, before: Manifest, first: int) -> None:
        """Take in what flushes changed since this was planned: `before` is the manifest by now,
        in which the inputs begin at `first`. Apply thread. Requires: written."""
        self.before, self.first = before, first
        if self.output is not None:
            for part, since, doc_map in zip(self.inputs, self.living, self.doc_maps, strict=True):
                self.durable = carry_over(
                    part.durable, since, doc_map, self.durable, self.output.n_docs
                )

    def commit(self) -> None:
        _publish(self)

    def _edit(self) -> Manifest:
        entries = list(self.before.segments)
        replaced: list[SegmentEntry] = []
        if self.output is not None:
            meta = self.output.meta
            replaced = [SegmentEntry(meta, encode_deletes(self.durable, meta.n_docs))]
        entries[self.first : self.first + len(self.inputs)] = replaced
        return _next(self.before, entries)

    def discard(self) -> None:
        _remove(self.directory, self.segment_name)

    def run(self) -> None:
        self.write()
        self.commit()


def _publish(job: FlushJob | MergeJob) -> None:
    """Make the job's edit durable; one that is unsettled is the same edit again."""
    if not job.is_unsettled:
        job.manifest = job._edit()
    assert job.manifest is not None, "an edit that is unsettled"
    with _settling(job):
        write_manifest(job.directory, job.manifest)


def _write_output(job: FlushJob | MergeJob, draft: Any, pace: Pace) -> Segment:
    """Return the job's segment, durable with its name."""
    with fencing(job.directory, job.before):
        meta = write_segment(
            job.directory, job.segment_name, draft, job.schema.fields, job.options, pace
        )
        job.directory.sync()
        segment = Segment.open(job.directory, meta, "table")
    segment.is_checked = True  # before it was kept
    return segment


def _remove(directory: Directory, name: str) -> None:
    with suppress(StorageError):  # not there, or it stays until orphans are looked for
        directory.delete(name)


def _next(before: Manifest, entries: list[SegmentEntry], **changes: Any) -> Manifest:
    return msgspec.structs.replace(
        before,
        generation=before.generation + 1,
        segments=tuple(entries),
        format_version=FORMAT_VERSION,
        **changes,
    )
