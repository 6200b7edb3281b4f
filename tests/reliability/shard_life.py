"""A shard on a CrashDisk: the real engine goes through a workload, and is opened after a crash."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import orjson

from index.check import verify
from index.document import Outcome
from index.engine import Engine
from index.jobs import FlushJob, Job, MergeJob
from index.options import IndexOptions
from index.part import set_docs
from index.reader import View
from index.searcher import Searcher
from tests.oracle import OracleHit, OracleResult, differences
from tests.reliability.crash_disk import CrashDisk
from tests.reliability.life import Life, demand
from tests.reliability.short_workloads import (
    EVENTS,
    SCHEMA,
    SEARCH,
    answer_at,
    log_of,
    outcomes_of,
)

OPTIONS = IndexOptions(merge_factor=2)


class ShardLife(Life):
    """One process's life with a shard, or several, one after the other.

    `is_spread`: a flush is written at once, and committed only after the next letter; a merge after
    the next flush, which runs beside it.
    """

    def __init__(self, disk: CrashDisk, history: str = "", is_spread: bool = False) -> None:
        super().__init__(disk, history)
        self.directory = disk.folder()
        self._is_spread = is_spread
        self._flush: Job | None = None
        self._merge: Job | None = None

    def open(self) -> None:
        """Open what the disk holds; nothing is applied yet. What is told to be durable then is
        promised: the log may be cut behind it."""
        self._flush = self._merge = None
        self.engine = Engine.open(self.directory, SCHEMA, OPTIONS)
        manifest = self.engine.manifest
        self.promise(manifest.next_offset, manifest.epoch)

    def identity(self) -> Hashable:
        return frozenset(self.disk.files.items()), self.engine.manifest.generation

    def go_on(self) -> None:
        self.check()
        self.replay()
        self.check()
        for letter in "sf":
            self.do(letter)
        self.finish()
        self.check()
        self.do("r")
        self.check()

    def replay(self) -> None:
        """Apply the whole log: what is below the checkpoint must change nothing."""
        events = log_of(self.history).events
        if events:
            start = max(self.engine.next_offset, 0)
            applied = self.engine.apply(list(events), len(events))
            wanted = (Outcome.NOOP,) * start + outcomes_of(self.history)[start:]
            demand(tuple(applied.outcomes) == wanted, "replayed:", applied.outcomes)

    def do(self, letter: str) -> None:
        if letter == "r":
            self.open()
            self.replay()
            return
        if letter in EVENTS:
            self._apply(letter)
        self._finish_flush()
        if letter in "cf":
            self._begin_flush()
        if letter in "cfm" and self._merge is not None:
            self.finish()
        if letter == "m":
            self._begin_merge()
        if not self._is_spread:
            self.finish()

    def finish(self) -> None:
        """Commit what was begun: a flush that ran beside a merge comes first."""
        self._finish_flush()
        self._finish_merge()

    def _apply(self, letter: str) -> None:
        start = len(log_of(self.history).events)
        self.grow(letter)
        events = log_of(self.history).events[start:]
        applied = self.engine.apply(list(events), start + len(events))
        wanted = outcomes_of(self.history)[start:]
        demand(tuple(applied.outcomes) == wanted, "applied:", applied.outcomes)

    def _begin_flush(self) -> None:
        self._flush = self.engine.plan_flush()
        if self._flush is not None:
            self._flush.write()

    def _begin_merge(self) -> None:
        self._merge = self.engine.plan_full_merge()
        if self._merge is not None:
            self._merge.write()

    def _finish_flush(self) -> None:
        job, self._flush = self._flush, None
        self._commit(job)

    def _finish_merge(self) -> None:
        job, self._merge = self._merge, None
        self._commit(job)

    def _commit(self, job: Job | None) -> None:
        if job is None:
            return
        self.engine.settle(job)
        job.commit()
        assert isinstance(job, FlushJob | MergeJob)
        assert job.manifest is not None
        self.promise(job.manifest.next_offset, job.manifest.epoch)
        self.engine.install(job)

    def check(self) -> None:
        """Demand that the shard is sound and holds what the log brought, each key once."""
        report = verify(self.directory)
        demand(report.is_sound, *report.findings)
        check_answers(self.engine, self.history)


def check_answers(engine: Engine, history: str) -> None:
    """Demand of an engine all that the events below its offset brought, and nothing else."""
    n_events = len(log_of(history).events)
    demand(engine.next_offset <= n_events, f"offset {engine.next_offset} of {n_events}")
    wanted = answer_at(history, max(engine.next_offset, 0))
    views = engine.views()
    found = [document for view in views for document in _living(view)]
    documents = {key: rest for key, *rest in found}
    demand(len(documents) == len(found), "twice alive:", [key for key, *_ in found])
    for key, (version, source) in wanted.documents.items():
        demand(key in documents, key, "is lost")
        demand(documents[key][0] == version, key, "in version", documents[key][0], "not", version)
        demand(orjson.loads(documents[key][1]) == source, key, "is not", source)
    demand(len(documents) == len(wanted.documents), "more than there is:", list(documents))
    searcher = Searcher(views, SCHEMA.current, 0)
    answer = searcher.search(SEARCH)
    hits = [OracleHit(searcher.key(hit), hit.score, None) for hit in answer.hits]
    different = differences(wanted.found, OracleResult(hits, answer.total))
    demand(different is None, "search:", different)


def _living(view: View) -> Iterator[tuple[bytes, int, bytes]]:
    reader = view.reader
    docs = range(reader.n_docs) if view.alive is None else set_docs(view.alive).tolist()
    for doc in docs:
        yield reader.key(doc), reader.version(doc), reader.source(doc)
