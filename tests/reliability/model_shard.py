"""One shard of a model run: an engine on a disk in memory, its log, and its jobs stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from index.check import verify
from index.document import DocumentEvent, Outcome
from index.engine import Applied, Engine
from index.errors import StorageError
from index.jobs import Job
from index.schema import SchemaRef
from tests.index.storage_world import MemoryDirectory
from tests.reliability.model_oracle import event_of
from tests.reliability.model_steps import Change, Configuration


@dataclass(slots=True)
class Running:
    """A job and how far it is: planned, written, (a merge: settled,) committed; then installed."""

    job: Job
    stage: str = "planned"


class ModelShard:
    def __init__(self, number: int, chosen: Configuration, schema: SchemaRef) -> None:
        self.number = number
        self._chosen = chosen
        self._directory = MemoryDirectory()
        self._open(schema)
        self.log: list[tuple[int, Change, Outcome]] = []
        """Offset, event and what came of it."""
        self.end = 0
        """The log's end."""
        self._promised = -1
        """The checkpoint that was committed last."""

    def _open(self, schema: SchemaRef) -> None:
        self.flush: Running | None = None
        self.merge: Running | None = None
        self.engine = Engine.open(self._directory, schema, self._chosen.options, self.number)

    # --- writes --------------------------------------------------------------------------
    def apply(self, entries: list[tuple[int, Change, Outcome]], end: int) -> None:
        """Take the next entries of the log."""
        self.log.extend(entries)
        self.end = end
        self._apply(entries, end)
        if self.engine.is_memtable_full() and self.flush is None:
            self.flush_whole()

    def _apply(self, entries: list[tuple[int, Change, Outcome]], end: int) -> None:
        events = [
            event_of(c, offset, with_fields=self._is_parsed(offset)) for offset, c, _ in entries
        ]
        before = self.engine.next_offset
        applied = self.engine.apply(events, end)
        expected = [Outcome.NOOP if offset < before else outcome for offset, _, outcome in entries]
        assert applied.outcomes == expected, f"outcomes {applied.outcomes}, expected {expected}"
        assert self.engine.next_offset == max(before, end), "the next offset"
        self._check_changes(events, applied)

    def _is_parsed(self, offset: int) -> bool:
        form = self._chosen.form
        return form == "parsed" or (form == "mixed" and offset % 3 == 0)

    def _check_changes(self, events: list[DocumentEvent], applied: Applied) -> None:
        """Every key that changed is told of once, with where its documents are."""
        moved = (Outcome.CREATED, Outcome.UPDATED, Outcome.DELETED)
        changed = {e.key for e, o in zip(events, applied.outcomes, strict=True) if o in moved}
        told = set()
        for change in applied.changes:
            told.add(change.key)
            if change.old is not None:
                view, doc_id = change.old
                assert view.reader.key(doc_id) == change.key, "a change's old document"
            if change.new_doc >= 0:
                reader = self.engine.views()[-1].reader
                assert reader.key(change.new_doc) == change.key, "a change's new document"
        # what a batch both makes and deletes is no change
        assert told <= changed, f"changes of {told - changed}"

    def replay(self, n: int) -> None:
        """Apply the last entries of the log again."""
        views = self.engine.views()
        self._apply(self.log[-n:], self.end)
        now = self.engine.views()
        assert [v.n_alive for v in now] == [v.n_alive for v in views], "a replay changed something"

    # --- jobs ----------------------------------------------------------------------------
    def flush_whole(self) -> None:
        self.finish_flush()
        self.begin_flush()
        self.finish_flush()

    def begin_flush(self) -> None:
        if self.flush is None:
            if self.merge is not None and self.merge.stage in ("settled", "committed"):
                self.finish_merge()
            job = self.engine.plan_flush()
            self.flush = Running(job) if job is not None else None

    def finish_flush(self) -> None:
        while self.flush is not None:
            self.go_on_with_flush()

    def go_on_with_flush(self) -> None:
        running = self.flush
        if running is None:
            return
        if running.stage == "planned":
            running.job.write()
            running.stage = "written"
        elif running.stage == "written":
            self._commit(running)
        else:
            self.engine.install(running.job)
            self.flush = None

    def begin_merge(self, plan: str, *arguments: Any) -> None:
        if self.merge is None:
            job = getattr(self.engine, plan)(*arguments)
            self.merge = Running(job) if job is not None else None

    def merge_whole(self, plan: str, *arguments: Any) -> None:
        self.finish_merge()
        self.begin_merge(plan, *arguments)
        self.finish_merge()

    def finish_merge(self) -> None:
        while self.merge is not None:
            if self.merge.stage == "written":
                self.finish_flush()
            self.go_on_with_merge()

    def go_on_with_merge(self) -> None:
        running = self.merge
        if running is None:
            return
        if running.stage == "planned":
            running.job.write()
            running.stage = "written"
        elif running.stage == "written":
            if self.flush is None:  # it waits for a flush that is under way
                self.engine.settle(running.job)
                running.stage = "settled"
        elif running.stage == "settled":
            self._commit(running)
        else:
            self.engine.install(running.job)
            self.merge = None

    def _commit(self, running: Running) -> None:
        running.job.commit()
        running.stage = "committed"
        assert running.job.manifest is not None
        self._promised = running.job.manifest.next_offset

    def give_up_flush(self, schema: SchemaRef) -> None:
        if self.flush is None or self.flush.stage == "committed":
            return
        self.engine.abandon(self.flush.job)
        self.flush = None
        try:
            self.begin_flush()
        except StorageError:
            self.crash(schema)

    def give_up_merge(self) -> None:
        if self.merge is not None and self.merge.stage != "committed":
            self.engine.abandon(self.merge.job)
            self.merge = None

    # --- lives ---------------------------------------------------------------------------
    def crash(self, schema: SchemaRef, pieces: int = 1) -> None:
        """Lose the memory, open what is durable, and read the log on from its checkpoint."""
        self._open(schema)
        assert self.engine.next_offset == self._promised, "the checkpoint that was committed"
        rest = [entry for entry in self.log if entry[0] >= self.engine.next_offset]
        size = -(-len(rest) // pieces) or 1
        for first in range(0, len(rest), size):
            piece = rest[first : first + size]
            self._apply(piece, piece[-1][0] + 1)
        if self.end > self.engine.next_offset:
            self._apply([], self.end)

    def reopen(self, schema: SchemaRef) -> None:
        """Stop in order and start again."""
        self.finish_merge()
        self.flush_whole()
        self.crash(schema)

    def verify(self) -> None:
        self.engine.check()
        report = verify(self._directory)
        assert report.is_sound, f"verify found {report.findings}"
