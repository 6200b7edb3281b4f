"""The apply thread's side of a shard: the engine, and what may be searched of it.

Thread rule: the apply thread, but for `visible`, which any thread may read, and
`letters_written`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import google_crc32c

from index.engine import Engine
from index.jobs import Job
from index.options import IndexOptions
from pipeline.applied import AppliedBatch, Visible
from pipeline.batcher import Batch
from pipeline.decoding import decode_batch
from pipeline.events import Record, Rejected
from pipeline.refusals import FindRefused, refuse_by_answer


class Applier:
    """Invariant: `visible` is one consistent moment, replaced as a whole."""

    def __init__(
        self,
        index: str,
        shard: int,
        engine: Engine,
        options: IndexOptions,
        find_refused: FindRefused = refuse_by_answer,
        wants_changes: Callable[[], bool] = lambda: False,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.engine = engine
        self.visible = Visible((), 0)
        self._index = index
        self._shard = shard
        self._options = options
        self._find_refused = find_refused
        self._wants_changes = wants_changes
        self._wall_s = wall_s
        self._last_record: Record | None = None
        self._awaits_letters = False
        """Whether a rejected record is not yet in the dead letters."""
        self._publish()

    def apply(self, batch: Batch) -> AppliedBatch:
        """Decode the batch, apply it, and make it searchable."""
        taken_s = self._wall_s()
        decoded = decode_batch(batch, self._options)
        decoded_s = self._wall_s()
        applied = self.engine.apply(decoded.events, batch.next_offset)
        if self._wants_changes():
            applied.work_out_changes()
        for number, reason in applied.rejected:
            record = decoded.records[number]
            decoded.rejected.append(Rejected(record, "mapper_parsing_exception", reason))
        decoded.rejected += self._find_refused(decoded, applied)
        if decoded.rejected:
            self._awaits_letters = True
        if batch.arrivals:
            self._last_record = batch.arrivals[-1].records[-1]
        self._publish()
        return AppliedBatch(
            index=self._index,
            shard=self._shard,
            batch=batch,
            decoded=decoded,
            applied=applied,
            visible=self.visible,
            taken_s=taken_s,
            decoded_s=decoded_s,
            searchable_s=self._wall_s(),
        )

    def letters_written(self) -> None:
        """Everything rejected so far is in the dead letters. The event loop's thread, between
        batches."""
        self._awaits_letters = False

    def plan_flush(self) -> Job | None:
        """Begin a flush; None: nothing to flush, a job runs, or a rejected record is not yet in
        the dead letters."""
        if self._awaits_letters:
            return None
        job = self.engine.plan_flush(self._fence())
        self._publish()
        return job

    def plan_merge(self) -> Job | None:
        return self.engine.plan_merge()

    def plan_full_merge(self, max_segments: int) -> Job | None:
        return self.engine.plan_full_merge(max_segments)

    def plan_expunge(self) -> Job | None:
        return self.engine.plan_expunge()

    def settle(self, job: Job) -> None:
        self.engine.settle(job)

    def install(self, job: Job) -> None:
        self.engine.take(job)
        self._publish()

    def abandon(self, job: Job) -> None:
        self.engine.abandon(job)

    def _publish(self) -> None:
        self.visible = Visible(self.engine.views(), max(self.engine.next_offset, 0))

    def _fence(self) -> dict[str, int] | None:
        """Return what proves, at the next start, that the log is still the one we read."""
        record = self._last_record
        if record is None:
            return self.engine.manifest.fence
        crc32c: int = google_crc32c.value(record.value or b"")
        return {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "crc32c": crc32c,
        }
