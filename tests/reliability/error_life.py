"""A shard whose disk fails: the real engine, and what its owner does about errors.

The remedies are those of pipeline/maintenance.py, done letter by letter instead of by a clock.
"""

from __future__ import annotations

from index.check import verify
from index.engine import Engine
from index.errors import CorruptionError, ExhaustedError, FencedError, StorageError, UnsettledError
from index.jobs import Job
from index.manifest import DAMAGED
from index.options import IndexOptions
from pipeline.maintenance import Remedy, remedy_of
from tests.reliability.faulty_disk import FaultyDisk
from tests.reliability.life import demand
from tests.reliability.shard_life import check_answers
from tests.reliability.short_workloads import EVENTS, SCHEMA, log_of, outcomes_of

OPTIONS = IndexOptions(merge_factor=2)
PATIENCE = 4
"""Attempts after which what is healed must have gone on."""


class ErrorLife:
    """A shard's life on a disk that may fail at each operation."""

    def __init__(self, disk: FaultyDisk, history: str = "") -> None:
        self.disk = disk
        self.history = history
        self.engine: Engine | None = None
        self.failure: StorageError | None = None
        """Why the shard takes no more jobs; it must be opened again."""
        self.promised = -1
        """The checkpoint that was told to the source."""
        self.n_failures = 0
        self._has_merged = False
        self._unsettled: Job | None = None

    # --- what happens ------------------------------------------------------------------------
    def do(self, letter: str) -> None:
        if letter in EVENTS:
            self._grow(letter)
        elif letter == "r":
            self._open()
        elif letter == "f":
            self._flush()
        elif letter == "m":
            self._merge()
        if self.engine is None:
            self._open()
        if self.has_trouble:  # what was before is the same in every case of a workload
            self.check()

    def _open(self) -> None:
        self.engine = self._unsettled = self.failure = None
        try:
            self.engine = Engine.open(self.disk, SCHEMA, OPTIONS)
        except StorageError as error:
            self._demand_a_reason(error)
            return
        demand(self.engine.durable_offset >= self.promised, "opened below what was promised")
        self.promised = self.engine.durable_offset
        events = log_of(self.history).events
        if events:
            self.engine.apply(list(events), len(events))

    def _grow(self, letter: str) -> None:
        start = len(log_of(self.history).events)
        self.history += letter
        events = log_of(self.history).events[start:]
        if self.engine is not None:
            applied = self.engine.apply(list(events), start + len(events))
            wanted = outcomes_of(self.history)[start:]
            demand(tuple(applied.outcomes) == wanted, "applied:", applied.outcomes)

    def _flush(self) -> None:
        """Flush as `Maintenance` does: a dead file costs another one, once."""
        n_dead = 0
        while self._settle() and self.engine is not None:
            job = self.engine.plan_flush()
            if job is None:
                return
            error = self._run(job)
            if error is None:
                self.promised = self.engine.durable_offset
                return
            if self._unsettled is not None or remedy_of(error) is Remedy.LATER:
                return
            n_dead += 1
            if remedy_of(error) is Remedy.FAIL or n_dead > 1:
                self._fail(error)

    def _merge(self) -> None:
        self._has_merged = True
        if not self._settle() or self.engine is None:
            return
        job = self.engine.plan_full_merge()
        if job is not None:
            error = self._run(job)
            if isinstance(error, UnsettledError) and self._unsettled is None:
                self._fail(error)

    def _run(self, job: Job) -> StorageError | None:
        assert self.engine is not None
        try:
            job.write()
            self.engine.settle(job)
            job.commit()
        except StorageError as error:
            self._demand_a_reason(error)
            if isinstance(error, UnsettledError) and isinstance(error.__cause__, ExhaustedError):
                self._unsettled = job
            else:
                self.engine.abandon(job)
            return error
        self.engine.install(job)
        return None

    def _settle(self) -> bool:
        """Find out what became of an edit; return whether others may follow."""
        job = self._unsettled
        if job is None or self.engine is None:
            return self.failure is None
        try:
            job.commit()
        except UnsettledError as error:
            if not isinstance(error.__cause__, ExhaustedError):
                self._unsettled = None
                self.engine.abandon(job)
                self._fail(error)
            return False
        self._unsettled = None
        self.engine.install(job)
        if job.kind == "flush":
            self.promised = self.engine.durable_offset
        return True

    def _fail(self, error: StorageError) -> None:
        self.failure = error
        self.n_failures += 1

    @property
    def has_trouble(self) -> bool:
        return self.disk.faults.n_met > 0 or self.disk.n_no_room > 0

    # --- what must hold ----------------------------------------------------------------------
    def check(self) -> None:
        """Demand that the shard answers right, whatever its disk does."""
        if self.engine is not None:
            check_answers(self.engine, self.history)
            n_events = len(log_of(self.history).events)
            demand(max(self.engine.next_offset, 0) == n_events, "events are missing")

    def _demand_a_reason(self, error: StorageError) -> None:
        """Demand of an error that it comes from the disk, and says so."""
        demand(self.has_trouble, "for no reason:", repr(error))
        demand(not isinstance(error, CorruptionError), "taken for damage:", error)
        # Whoever opens cannot know his own edit from another's who opens at the same time.
        is_open = self.engine is not None
        demand(not (is_open and isinstance(error, FencedError)), "taken for another owner:", error)

    def recover(self) -> None:
        """Once the disk is well: what stopped goes on, and all ends durable. A shard that failed
        is opened again first."""
        self.disk.faults.heal()
        self.disk.capacity = 1 << 40
        if self.failure is not None or self.engine is None:
            self._open()
        demand(self.engine is not None, "cannot be opened on a disk that is well")
        assert self.engine is not None
        n_events = len(log_of(self.history).events)
        for _ in range(PATIENCE):
            if max(self.engine.durable_offset, 0) == n_events:
                break
            self._flush()
            demand(self.failure is None, "failed on a disk that is well:", self.failure)
        demand(max(self.engine.durable_offset, 0) == n_events, "not durable:", self.promised)
        if self._has_merged:
            self._merge()
        self.check()
        report = verify(self.disk)
        demand(report.is_sound, *report.findings)
        self._demand_tidy()
        self._open()
        self.check()

    def _demand_tidy(self) -> None:
        """Demand that no file is left that nobody needs: the one manifest before may name some."""
        kept = len([name for name in self.disk.files if name.startswith("manifest")])
        demand(kept <= 3, "manifests are left:", sorted(self.disk.files))
        demand(not [n for n in self.disk.files if n.endswith(".tmp")], "left:", self.disk.files)


def survive(disk: FaultyDisk, promised: int, history: str) -> None:
    """Demand that neither a crash of the process nor a power loss loses a promise."""
    for files in (disk.files, disk.durable):
        demand(not [name for name in files if name.endswith(DAMAGED)], "set aside:", list(files))
        engine = Engine.open(FaultyDisk(files=files), SCHEMA, OPTIONS)
        demand(engine.durable_offset >= promised, "lost:", engine.durable_offset, "of", promised)
        check_answers(engine, history)
