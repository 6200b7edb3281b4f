"""The engine of one shard: a deterministic function of a prefix of its log.

Events go in through `apply`, views of what is searchable come out of `views`. It owns no
clock, thread or socket. Thread rule: `apply`, `plan_*`, `take` and `install` belong to one thread,
the apply thread; `Job.run` to any other; `views`, `stats` and the offsets to all.

Invariants: a key is alive in at most one document of all parts; parts are in log order; the
manifest on disk describes exactly the events below its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from index.batch import Batch, Change, Places, sources_of
from index.directory import Directory
from index.document import DocumentEvent, Outcome
from index.errors import StorageError
from index.extract import Extractor
from index.gaps import Gap, gaps_of, with_gap
from index.jobs import FlushJob, Job, MergeJob, Pace, at_full_speed, decode_deletes
from index.live_bytes import KeyBatch
from index.manifest import NOTHING, Manifest, SegmentEntry, segment_name
from index.memtable import Memtable
from index.memtable_reader import MemtableReader
from index.merge_policy import (
    SegmentSize,
    n_unsettled,
    plan_expunge,
    plan_full_merge,
    plan_merge,
)
from index.options import IndexOptions
from index.ownership import fencing, remove_orphans, take_over
from index.part import Part, carry_over
from index.plain_batch import PlainBatch, plan_plain
from index.reader import U64, View, Views
from index.reading import DocumentReader
from index.rebuild import Rebuild, rebuild_of, remove_set_aside, telling_origin
from index.schema import SchemaRef
from index.segment import Check, Segment


class Applied:
    """What became of the events of a batch."""

    __slots__ = ("_changes", "_make_changes", "outcomes", "rejected", "versions")

    def __init__(
        self,
        outcomes: list[Outcome],
        versions: list[int],
        rejected: list[tuple[int, str]],
        changes: Callable[[], list[Change]],
    ) -> None:
        self.outcomes = outcomes
        """One for each event; an event below `next_offset`, applied before, is a NOOP."""
        self.versions = versions
        self.rejected = rejected
        """Index into the events, and why the document cannot be indexed."""
        self._make_changes = changes
        self._changes: list[Change] | None = None

    @property
    def changes(self) -> list[Change]:
        """What each key's search results differ by; worked out when first asked for."""
        if self._changes is None:
            self._changes = self._make_changes()
        return self._changes

    def work_out_changes(self) -> None:
        """Spare others the work, who will ask for them."""
        self._changes = self._make_changes()


@dataclass(frozen=True, slots=True)
class SegmentStats:
    name: str
    n_docs: int
    n_alive: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class EngineStats:
    n_docs: int
    """Live documents."""
    n_deleted: int
    n_bytes: int
    """Of segment files."""
    memtable_docs: int
    memtable_bytes: int
    next_offset: int
    durable_offset: int
    generation: int
    n_flushes: int
    n_merges: int
    bytes_flushed: int
    bytes_merged: int
    n_unsettled: int
    """Segments that merges could make fewer; grows while they cannot keep up."""
    segments: tuple[SegmentStats, ...]


class Engine:
    def __init__(
        self,
        directory: Directory,
        schema: SchemaRef,
        options: IndexOptions,
        *,
        shard: int,
        manifest: Manifest,
        segments: list[Part],
    ) -> None:
        self.schema = schema
        self.options = options
        self.shard = shard
        self._directory = directory
        self._manifest = manifest
        self._extractor = Extractor(schema, options)
        self._documents = DocumentReader(schema, options, self._extractor)
        self._segments = segments
        self._frozen: Part | None = None
        self._frozen_memtable: Memtable | None = None
        self._open_memtable()
        self._flush: FlushJob | None = None
        self._abandoned: FlushJob | None = None
        """A flush that failed, whose documents are frozen: the next one."""
        self._merge: MergeJob | None = None
        self._next_offset = manifest.next_offset
        self._origin = manifest.origin
        self._last_segment = 0
        self._is_unsettled = False
        """Whether a job was abandoned whose edit may be on disk."""
        self._topic_id = manifest.topic_id
        self._gaps = gaps_of(manifest)
        self._rebuild = rebuild_of(manifest)
        self._counts = {"flush": 0, "merge": 0}
        self._bytes = {"flush": 0, "merge": 0}
        self._publish()

    @classmethod
    def open(
        cls,
        directory: Directory,
        schema: SchemaRef,
        options: IndexOptions,
        shard: int = 0,
        topic_id: str = "",
    ) -> Engine:
        """Take the shard over (ownership.py) and open what its newest sound manifest names, or
        start an empty one. Of segments all is read or, by `options.check_on_open`, only the
        tables; `check` reads the rest.

        Raises: FencedError where another process does the same; DamagedShardError naming the file;
        StorageError where segments lie without any manifest.
        """
        with telling_origin(directory):
            manifest = take_over(directory, topic_id)
            with fencing(directory, manifest):
                remove_orphans(directory, manifest)
                entries = manifest.segments
                segments = [_open_part(directory, entry, shard, options) for entry in entries]
        return cls(
            directory,
            schema,
            options,
            shard=shard,
            manifest=manifest,
            segments=segments,
        )

    # --- what is there -----------------------------------------------------------------
    @property
    def next_offset(self) -> int:
        """The offset after the last applied event; -1 before the first."""
        return self._next_offset

    @property
    def fence(self) -> dict[str, int] | None:
        """What proves that the log is still the one that the shard was read from."""
        if self._manifest.fence is not None or self.rebuild is None:
            return self._manifest.fence
        return self.rebuild.fence

    @property
    def rebuild(self) -> Rebuild | None:
        """What the shard was before its files were damaged, as long as it durably lacks some of
        that."""
        return self._rebuild

    @property
    def topic_id(self) -> str:
        """The id of the topic that the shard has read; empty where nobody has told one."""
        return self._topic_id

    def note_topic_id(self, topic_id: str) -> None:
        """Learn the id of the topic that is read from now on; durable with the next flush. Any
        thread."""
        self._topic_id = topic_id

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Ranges of offsets that the log had dropped before the shard read them."""
        return self._gaps

    def note_gap(self, gap: Gap) -> None:
        """Learn that a range of offsets is lost; durable before or with the checkpoint that
        passes it. Requires: nothing from `gap.first` on is applied."""
        self._gaps = with_gap(self._gaps, gap)

    @property
    def durable_offset(self) -> int:
        """The checkpoint: every event below it survives a crash."""
        return self._manifest.next_offset

    @property
    def origin(self) -> int:
        """The offset at which the shard began; -1 where it has not, or nobody knows any more."""
        return self._origin

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def memtable_bytes(self) -> int:
        frozen = self._frozen_memtable
        return self._memtable.n_bytes + (frozen.n_bytes if frozen is not None else 0)

    @property
    def has_job(self) -> bool:
        return self._flush is not None or self._merge is not None

    def is_memtable_full(self) -> bool:
        return (
            self._memtable.n_bytes >= self.options.memtable_bytes
            or self._memtable.n_docs >= self.options.memtable_docs
        )

    @property
    def n_unsettled(self) -> int:
        """Return how many segments merges could still make fewer."""
        return n_unsettled([part.size for part in list(self._segments)], self.options)

    def views(self) -> tuple[View, ...]:
        """Return the searchable state: one view a part, in log order. Never changes afterwards."""
        return self._views

    def stats(self) -> EngineStats:
        views = self._views
        segments = tuple(
            SegmentStats(view.segment, view.reader.n_docs, view.n_alive, part.n_bytes)
            for view, part in zip(views, list(self._segments), strict=False)
        )
        n_docs = sum(view.n_alive for view in views)
        return EngineStats(
            n_docs=n_docs,
            n_deleted=sum(view.reader.n_docs for view in views) - n_docs,
            n_bytes=sum(segment.n_bytes for segment in segments),
            memtable_docs=self._memtable.n_docs,
            memtable_bytes=self.memtable_bytes,
            next_offset=self._next_offset,
            durable_offset=self.durable_offset,
            generation=self._manifest.generation,
            n_flushes=self._counts["flush"],
            n_merges=self._counts["merge"],
            bytes_flushed=self._bytes["flush"],
            bytes_merged=self._bytes["merge"],
            n_unsettled=self.n_unsettled,
            segments=segments,
        )

    def check(self, pace: Pace = at_full_speed) -> None:
        """Read every byte of the segments that were only opened. Thread rule: any.

        Raises: CorruptionError naming the file and the byte.
        """
        with fencing(self._directory, self._manifest):
            for part in list(self._segments):
                if isinstance(part.reader, Segment):
                    part.reader.check(self._directory, pace)

    # --- apply -------------------------------------------------------------------------
    def apply(self, events: list[DocumentEvent], next_offset: int) -> Applied:
        """Apply events in log order and make them searchable together.

        `next_offset` is the log position after the batch; events below the current one were
        applied before and are skipped, so that a replay changes nothing.
        """
        if self._next_offset == NOTHING:
            self._origin = events[0].offset if events else next_offset
        keys = [event.key for event in events]
        batch = self._decide(events, keys, self._locate(keys))
        first_doc = self._memtable.n_docs
        added = batch.accepted()
        if added.n_docs:
            self._memtable.append(*added)
        before = self._view_of
        if added.n_docs:
            self._active.grow(self._memtable.reader())
        for part, docs in batch.superseded(self._active, first_doc):
            part.kill(docs)
        self._next_offset = max(self._next_offset, next_offset)
        self._publish()
        return Applied(
            batch.outcomes,
            batch.outcome_versions,
            batch.rejected,
            partial(batch.changes, first_doc, before),
        )

    def _decide(
        self, events: list[DocumentEvent], keys: list[bytes], places: Places
    ) -> Batch | PlainBatch:
        reading = self._documents.read(sources_of(events))
        tombstones = self._tombstones()
        if not any(tombstones):
            plain = plan_plain(events, reading, keys, places, self._next_offset)
            if plain is not None:
                return plain
        batch = Batch(
            events, reading, keys, places, tombstones,
            self._extractor, self.schema, self._next_offset,
        )  # fmt: skip
        batch.decide()
        return batch

    def _locate(self, keys: list[bytes]) -> Places:
        """Return where each of the keys is alive."""
        places = Places(KeyBatch.of(keys))
        for part in self._newest_first():
            if part.reader.n_docs == 0:
                continue
            if isinstance(part.reader, MemtableReader):
                places.add(part, part.reader.find_batch(places.keys))
            else:
                assert isinstance(part.reader, Segment)
                places.add(part, part.reader.keys.find_all(places.keys.blob, places.keys.starts))
        return places

    def _newest_first(self) -> list[Part]:
        frozen = [self._frozen] if self._frozen is not None else []
        return [self._active, *frozen, *reversed(self._segments)]

    def _tombstones(self) -> list[dict[bytes, int]]:
        """Return the deletes to remember, the memtable's first: almost always one empty dict."""
        active, *older = self._newest_first()
        return [active.tombstones, *(part.tombstones for part in older if part.tombstones)]

    def _open_memtable(self) -> None:
        self._memtable = Memtable(self.schema, self.options)
        self._active = Part(
            self._memtable.reader(),
            name="memtable",
            shard=self.shard,
            tombstones=self._memtable.tombstones,
        )

    def _publish(self) -> None:
        frozen = [self._frozen] if self._frozen is not None else []
        parts = [*self._segments, *frozen, self._active]
        self._view_of = {id(part): part.view for part in parts}
        self._views = Views(part.view for part in parts)

    # --- flush and merge ---------------------------------------------------------------
    def plan_flush(self, fence: dict[str, int] | None = None) -> FlushJob | None:
        """Freeze the memtable, or None: a flush runs already, or nothing moved since the last.

        After a flush that was abandoned: that one again, its documents and its checkpoint, to
        another file. They are in no segment, so no checkpoint may pass them.
        Raises: StorageError where an edit is unsettled.
        """
        self._require_settled()
        if self._flush is not None or self._next_offset == self.durable_offset:
            return None
        if self._abandoned is not None:
            self._flush = self._abandoned.again(self._manifest, self._segment_name())
            self._abandoned = None
            return self._flush
        assert self._frozen is None, "documents that no flush has"
        frozen = self._active if self._memtable.n_docs or self._memtable.tombstones else None
        memtable = self._memtable
        job = FlushJob(
            directory=self._directory,
            schema=self.schema.current,
            options=self.options,
            before=self._manifest,
            checkpoint=self._next_offset,
            origin=self._origin,
            fence=fence,
            topic_id=self._topic_id,
            gaps=self._gaps,
            segment_name=self._segment_name(),
            frozen=frozen,
            memtable=memtable,
            segments=list(self._segments),
            living=[part.alive for part in self._segments],
        )
        if frozen is not None:
            self._frozen, self._frozen_memtable = frozen, memtable
            self._open_memtable()
            self._publish()
        self._flush = job
        return job

    def plan_merge(self) -> MergeJob | None:
        """Choose segments to merge (merge_policy.py), or None: a merge runs, or there is no need.

        A flush may run beside it; it must be installed before the merge is settled."""
        return self._plan(lambda sizes: plan_merge(sizes, self.options))

    def plan_full_merge(self, max_segments: int = 1) -> MergeJob | None:
        """Merge down to `max_segments`; None: a merge runs, or there is nothing to gain."""
        return self._plan(lambda sizes: plan_full_merge(sizes, max_segments))

    def plan_expunge(self) -> MergeJob | None:
        """Write the segment again that has the greatest share of deletes; None: a merge runs, or
        none has many."""
        return self._plan(plan_expunge)

    def _plan(self, choose: Callable[[list[SegmentSize]], slice | None]) -> MergeJob | None:
        self._require_settled()
        if self._merge is not None:
            return None
        chosen = choose([part.size for part in self._segments])
        if chosen is None:
            return None
        inputs = self._segments[chosen]
        job = MergeJob(
            directory=self._directory,
            schema=self.schema.current,
            options=self.options,
            before=self._manifest,
            segment_name=self._segment_name(),
            first=chosen.start,
            inputs=inputs,
            living=[part.durable for part in inputs],
        )
        self._merge = job
        return job

    def settle(self, job: Job) -> None:
        """Tell a job that is written, and about to be committed, what came since it was planned.
        Requires: no flush is between its plan and its install. Raises: StorageError where an edit
        is unsettled."""
        self._require_settled()
        if isinstance(job, MergeJob):
            job.settle(self._manifest, self._segments.index(job.inputs[0]))

    def install(self, job: Job) -> None:
        """Swap in what a finished job made, and remove the files that are not needed any more."""
        self.take(job)
        self.sweep()

    def take(self, job: Job) -> None:
        """Swap in what a finished job made. Deletes that came meanwhile are carried over. Nothing
        of it waits for the disk; `sweep` is to follow."""
        assert job is self._flush or job is self._merge, "a job of another engine, or done before"
        if isinstance(job, FlushJob):
            self._install_flush(job)
            self._flush = None
        elif isinstance(job, MergeJob):
            self._install_merge(job)
            self._merge = None
        self._publish()

    def sweep(self) -> None:
        """Remove the files that no kept manifest needs. Thread rule: any thread, while no flush is
        between its plan and its install; a merge may be planned and written beside it."""
        with suppress(StorageError):  # the edit is durable; the next one looks for them again
            remove_orphans(self._directory, self._manifest, self._being_written)

    def _being_written(self) -> set[str]:
        merge = self._merge
        return {merge.segment_name} if merge is not None else set()

    def abandon(self, job: Job) -> None:
        """Forget a job that failed, and remove its file. What a flush froze stays searchable, and
        is planned again. After a job that is unsettled no other is planned: the shard must be
        opened again, which finds out whether its edit is there."""
        assert job is self._flush or job is self._merge, "a job of another engine, or done before"
        if job.is_unsettled:
            self._is_unsettled = True
            return
        if isinstance(job, FlushJob):
            self._flush = None
            self._abandoned = job if job.frozen is not None else None
        else:
            self._merge = None
        job.discard()

    def _require_settled(self) -> None:
        if self._is_unsettled:
            raise StorageError(
                f"{self._directory}: an edit may not be durable, the shard must be opened again"
            )

    def _install_flush(self, job: FlushJob) -> None:
        assert job.manifest is not None, "the job did not run"
        for part, alive in zip(job.segments, job.living, strict=True):
            part.set_durable(alive)
        if job.frozen is not None:
            if job.output is not None and job.doc_map is not None:
                alive = carry_over(
                    job.frozen.alive, job.frozen_alive, job.doc_map, None, job.output.n_docs
                )
                self._segments.append(self._output_part(job.output, alive, "flush"))
            self._frozen = self._frozen_memtable = None
        self._take_manifest(job.manifest)
        if self._rebuild is not None and rebuild_of(job.manifest) is None:
            self._rebuild = None
            remove_set_aside(self._directory)
        self._counts["flush"] += 1

    def _install_merge(self, job: MergeJob) -> None:
        assert job.manifest is not None, "the job did not run"
        outputs: list[Part] = []
        if job.output is not None:
            alive = None
            for part, since, doc_map in zip(job.inputs, job.living, job.doc_maps, strict=True):
                alive = carry_over(part.alive, since, doc_map, alive, job.output.n_docs)
            outputs = [self._output_part(job.output, alive, "merge")]
            outputs[0].set_durable(job.durable)
        self._segments[job.first : job.first + len(job.inputs)] = outputs
        if self._abandoned is not None:
            self._abandoned.take_merge(job, outputs)
        self._take_manifest(job.manifest)
        self._counts["merge"] += 1

    def _take_manifest(self, manifest: Manifest) -> None:
        assert manifest.generation == self._manifest.generation + 1, "a job that was not settled"
        assert manifest.epoch == self._manifest.epoch, "a job of another owner"
        self._manifest = manifest

    def _output_part(self, segment: Segment, alive: U64 | None, kind: str) -> Part:
        part = Part(
            segment,
            name=segment.meta.name,
            shard=self.shard,
            alive=alive,
            n_bytes=segment.meta.n_bytes,
            tombstones=segment.tombstones(),
        )
        part.set_durable(None)
        self._bytes[kind] += segment.meta.n_bytes
        return part

    def _segment_name(self) -> str:
        self._last_segment += 1
        return segment_name(self._manifest.epoch, self._last_segment)


def _open_part(
    directory: Directory, entry: SegmentEntry, shard: int, options: IndexOptions
) -> Part:
    check: Check = "sections" if options.check_on_open == "all" else "table"
    segment = Segment.open(directory, entry.meta, check)
    alive = decode_deletes(entry.deletes, segment.n_docs, entry.meta.name)
    return Part(
        segment,
        name=entry.meta.name,
        shard=shard,
        alive=alive,
        n_bytes=entry.meta.n_bytes,
        tombstones=segment.tombstones(),
    )
