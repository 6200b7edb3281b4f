"""Owners of one shard in one process, each of which can be stopped before any of its operations
on the directory, as a process is that gets no time, and go on after others did what they did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from index.check import verify
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.errors import FencedError, StorageError
from index.manifest import NOTHING, generation_of, load_manifest
from index.options import IndexOptions
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index.storage_world import MemoryDirectory

OPTIONS = IndexOptions(merge_factor=2, stored_block_bytes=64)
N_EVENTS = 12
WAIT_S = 30.0


def event(offset: int) -> DocumentEvent:
    """The log: keys come again and again, some are deleted."""
    key = b"k%d" % (offset % 5)
    if offset % 7 == 6:
        return DocumentEvent(offset, Op.DELETE, key, None, None)
    fields = {"n": offset}
    return DocumentEvent(offset, Op.UPSERT, key, b'{"n":%d}' % offset, fields)


def expected(n_events: int) -> dict[bytes, bytes]:
    """What the log says after so many events."""
    alive: dict[bytes, bytes] = {}
    for made in map(event, range(n_events)):
        if made.source is None:
            alive.pop(made.key, None)
        else:
            alive[made.key] = made.source
    return alive


class GatedDirectory:
    """The directory as one owner sees it: before each operation it asks whether it may."""

    def __init__(self, disk: MemoryDirectory, gate: Callable[[], None]) -> None:
        self._disk = disk
        self._gate = gate
        self.has_published = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._disk, name)

        def gated(*args: Any) -> Any:
            self._gate()
            result = operation(*args)
            self.has_published |= name == "publish"
            return result

        return gated

    def __str__(self) -> str:
        return "the shard"


class Owner:
    """One process, with a thread of its own that runs only inside `go_on`."""

    def __init__(self, disk: MemoryDirectory, script: Callable[[Owner], None]) -> None:
        self.engine: Engine | None = None
        self.durable = NOTHING
        """Events it told others to be durable."""
        self.n_done = 0
        self.error: BaseException | None = None
        self.is_done = False
        self.disk = disk
        self.directory: Any = GatedDirectory(disk, self._gate)
        self._script = script
        self._n_allowed: float = 0
        self._may_go = threading.Semaphore(0)
        self._has_stopped = threading.Semaphore(0)
        self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # --- from outside --------------------------------------------------------------------
    def go_on(self, n_operations: float = float("inf")) -> None:
        """Let it do so many operations on the directory, and all up to the next one."""
        if self.is_done:
            return
        self._n_allowed = n_operations
        self._may_go.release()
        assert self._has_stopped.acquire(timeout=WAIT_S), "an owner hangs"

    def go_on_with(self, script: Callable[[Owner], None]) -> None:
        """Let it do something else, to its end."""
        self._script, self.is_done = script, False
        self._start()
        self.go_on()

    @property
    def is_fenced(self) -> bool:
        return isinstance(self.error, FencedError)

    # --- what scripts do -----------------------------------------------------------------
    def open(self) -> None:
        schema = SchemaRef(Schema.from_mapping({}))
        self.engine = Engine.open(self.directory, schema, OPTIONS)

    def apply(self, n_events: int) -> None:
        """Read on in the log, up to `n_events` from its start."""
        assert self.engine is not None
        start = max(self.engine.next_offset, 0)
        self.engine.apply(list(map(event, range(start, n_events))), n_events)

    def flush(self) -> None:
        assert self.engine is not None
        self.finish(self.engine.plan_flush())
        self.durable = self.engine.durable_offset

    def merge(self) -> None:
        assert self.engine is not None
        self.finish(self.engine.plan_full_merge())

    def finish(self, job: Any) -> None:
        assert self.engine is not None
        if job is None:
            return
        try:
            job.run()
        except StorageError:
            self.engine.abandon(job)
            raise
        self.engine.install(job)

    # --- its thread ----------------------------------------------------------------------
    def _gate(self) -> None:
        if self._n_allowed <= 0:
            self._has_stopped.release()
            self._may_go.acquire()
        self._n_allowed -= 1
        self.n_done += 1

    def _run(self) -> None:
        self._may_go.acquire()
        try:
            self._script(self)
        except BaseException as error:
            self.error = error
        self.is_done = True
        self._has_stopped.release()


def first_owner(owner: Owner) -> None:
    """Two flushes, a merge, and once more."""
    owner.open()
    for n_events in (3, 5):
        owner.apply(n_events)
        owner.flush()
    owner.merge()
    owner.apply(7)
    owner.flush()


def opens(owner: Owner) -> None:
    owner.open()


def flushes(owner: Owner) -> None:
    owner.open()
    owner.apply(6)
    owner.flush()


def outruns(owner: Owner) -> None:
    """So many generations that numbers which the one before had in mind are free again."""
    owner.open()
    for n_events in (6, 8, 9, 10):
        owner.apply(n_events)
        owner.flush()
        owner.merge()


SUCCESSORS = (opens, flushes, outruns)


def n_operations(script: Callable[[Owner], None]) -> int:
    """Return how many operations an undisturbed owner does."""
    owner = Owner(MemoryDirectory(), script)
    owner.go_on()
    assert owner.error is None, owner.error
    return owner.n_done


def run_interleaving(
    n_first: int,
    successor: Callable[[Owner], None],
    n_second: float = float("inf"),
    *,
    meanwhile: Callable[[MemoryDirectory], None] = lambda disk: None,
) -> None:
    """One owner is stopped after `n_first` operations, the next does `n_second`; the first goes on
    to its end, then the next does. Raises: AssertionError where a promise is broken.

    `meanwhile` happens to the disk before the next owner comes.
    """
    disk = MemoryDirectory()
    first, second = Owner(disk, first_owner), Owner(disk, successor)
    first.go_on(n_first)
    meanwhile(disk)
    second.go_on(n_second)
    has_taken_over = n_first > 0 and second.directory.has_published
    first.go_on()
    second.go_on()
    for owner in (first, second):
        assert owner.error is None or owner.is_fenced, f"not fenced, but {owner.error!r}"
    if has_taken_over:
        assert second.error is None, f"the new owner is harmed: {second.error!r}"
    check_disk(disk)
    newest = load_manifest(disk)
    assert newest is not None
    for owner in (first, second):
        # What a damaged manifest told, the log tells again.
        is_kept = newest.next_offset >= owner.durable or meanwhile is damage_newest
        assert is_kept, "what was durable is lost"
    assert first.engine is not None or second.engine is not None, "both are refused"
    if has_taken_over:
        assert second.engine is not None
        assert second.engine.manifest.epoch == newest.epoch, "who was fenced came back"
    for owner in (first, second):
        if owner.engine is not None:
            check_goes_on(owner, is_newest=owner.engine.manifest.epoch == newest.epoch)
    check_disk(disk)


def run_schedule(turns: list[tuple[int, int]]) -> None:
    """Three owners get turns: (which, how many operations). Then each goes on to its end.
    Raises: AssertionError where a promise is broken."""
    disk = MemoryDirectory()
    owners = [Owner(disk, script) for script in (first_owner, outruns, flushes)]
    for number, n_more in turns:
        owners[number].go_on(n_more)
    for owner in owners:
        owner.go_on()
        assert owner.error is None or owner.is_fenced, f"not fenced, but {owner.error!r}"
    check_disk(disk)
    newest = load_manifest(disk)
    assert newest is not None
    for owner in owners:
        assert newest.next_offset >= owner.durable, "what was durable is lost"
        if owner.engine is not None:
            check_goes_on(owner, is_newest=owner.engine.manifest.epoch == newest.epoch)
    check_disk(disk)


def damage_newest(disk: MemoryDirectory) -> None:
    """Flip a bit of the newest manifest, unless it is the only one."""
    manifests = [name for name in disk.list() if generation_of(name) is not None]
    if len(manifests) > 1:
        disk.flip(manifests[-1], 80)


def check_goes_on(owner: Owner, *, is_newest: bool) -> None:
    """The newest owner goes on, any other never does."""
    if owner.error is None:
        owner.go_on_with(_one_more_flush)
    assert owner.error is None or owner.is_fenced, f"not fenced, but {owner.error!r}"
    assert owner.is_fenced != is_newest, "two go on" if owner.error is None else "nobody goes on"


def _one_more_flush(owner: Owner) -> None:
    owner.apply(N_EVENTS)
    owner.flush()


def check_disk(disk: MemoryDirectory) -> None:
    """All that is there is sound; whoever opens it and reads on has what the log says."""
    report = verify(disk)
    assert report.is_sound, str(report.findings)
    copy = Owner(MemoryDirectory(disk.files), opens)
    copy.go_on()
    assert copy.error is None, f"cannot be opened: {copy.error!r}"
    assert copy.engine is not None
    copy.apply(N_EVENTS)
    searcher = Searcher(copy.engine.views(), copy.engine.schema.current, 0)
    alive = {}
    for key in {made.key for made in map(event, range(N_EVENTS))}:
        found = searcher.get(key)
        if found is not None:
            alive[key] = bytes(found[0].reader.source(found[1]))
    assert alive == expected(N_EVENTS)
