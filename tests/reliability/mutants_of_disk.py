"""Wrong owners of a shard, and wrong logs: what nobody may be who was stopped and goes on."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import index.engine
import index.jobs
import index.manifest
import index.ownership
from consumers.log_file import FILE_HEADER, StoredRecord
from consumers.log_partition import PartitionFiles
from index.directory import Directory, FsDirectory
from index.errors import CorruptionError, StorageError, UnsettledError
from index.format import SUFFIX
from index.manifest import (
    TEMPORARY,
    Manifest,
    encode_manifest,
    load_manifest,
    manifest_name,
)
from tests.index.ownership_world import (
    damage_newest,
    first_owner,
    n_operations,
    opens,
    outruns,
    run_interleaving,
)
from tests.index.storage_world import MemoryDirectory, MemoryFile
from tests.reliability.mutant import Mutant
from tests.reliability.program import Violation

SMALL = FILE_HEADER.size + 1
"""Bytes of a file of the log: each append begins another."""


# --- the searches --------------------------------------------------------------------------
def search_owners() -> None:
    """Stop an owner before each of its operations, let another live, let the first go on."""
    for n_first in range(n_operations(first_owner) + 1):
        _interleave(n_first, outruns)


def search_openings() -> None:
    """Stop both in turn, the next while it opens; damage the newest manifest."""
    n_all = n_operations(first_owner)
    for n_first in range(2, n_all, 2):
        _interleave(n_first, opens)
    for n_first in (2, 3, 4, 6, n_all - 4, n_all - 3, n_all - 2, n_all - 1):
        for n_second in range(2, 8):
            _interleave(n_first, opens, n_second)
        _interleave(n_first, outruns, meanwhile=damage_newest)


def _interleave(n_first: int, successor: Any, *rest: Any, **more: Any) -> None:
    case = f"{n_first}-{successor.__name__}-{'-'.join(map(str, rest))}"
    try:
        run_interleaving(n_first, successor, *rest, **more)
    except AssertionError as error:
        raise Violation(case, str(error)) from error


def search_locks() -> None:
    """Open one log twice, as two processes do, and write to both."""
    with tempfile.TemporaryDirectory() as folder:
        directory = FsDirectory(Path(folder))
        first = PartitionFiles(directory, SMALL)
        first.append([_record(b"first")])
        try:
            second = PartitionFiles(directory, SMALL)
        except StorageError:
            first.close()
            return
        second.append([_record(b"second")])
        first.append([_record(b"third")])
        first.close()
        second.close()
        _demand_records(directory, [b"first", b"second", b"third"])


class FailingFile(MemoryFile):
    """What it writes never becomes durable."""

    has_failed = False

    def sync(self) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise StorageError("input/output error")


def search_log_failures() -> None:
    """Let a sync of the log fail once, and look at what is taken afterwards."""
    disk = MemoryDirectory()
    files = PartitionFiles(disk, 1 << 20)
    files._active = FailingFile(disk, disk.list()[0])
    for value in (b"lost", b"after"):
        try:
            files.append([_record(value)])
        except StorageError:
            continue
        raise Violation("sync", f"took {value!r} after a failed sync")


def search_new_files() -> None:
    """Let the name of a new file fail to become durable."""

    class Failing(MemoryDirectory):
        fails = False

        def sync(self) -> None:
            if self.fails:
                raise StorageError("input/output error")

    disk = Failing()
    files = PartitionFiles(disk, SMALL)
    files.append([_record(b"a")])
    disk.fails = True
    try:
        files.append([_record(b"b")])
    except StorageError:
        return
    raise Violation("new-file", "a record was taken into a file whose name may be lost")


def _record(value: bytes) -> StoredRecord:
    return StoredRecord(0, None, value)


def _demand_records(directory: Directory, values: list[bytes]) -> None:
    try:
        reader = PartitionFiles(directory, SMALL).reader(0)
        found: list[bytes | None] = []
        while records := reader.read(1 << 20):
            found += [record.value for record in records]
    except CorruptionError as error:
        raise Violation("log", f"what was taken cannot be read: {error}") from error
    if found != values:
        raise Violation("log", f"{found} is read, {values} was taken")


# --- what is wrong -------------------------------------------------------------------------
def publish_without(*, list_after: bool = True, once: bool = True) -> Any:
    def publish(directory: Directory, manifest: Manifest) -> list[str]:
        names = directory.list()
        if once and index.ownership.newest_generation(names) >= manifest.generation:
            raise index.ownership._fenced(directory, manifest, 0)
        temporary = index.manifest.temporary_name(manifest.generation, names)
        directory.write_file(temporary, (encode_manifest(manifest),))
        give = directory.publish if once else directory.rename
        with index.ownership.fencing(directory, manifest):
            give(temporary, manifest_name(manifest.generation))
        directory.sync()
        names = directory.list()
        if list_after and index.ownership.newest_generation(names) > manifest.generation:
            raise index.ownership._fenced(directory, manifest, 0)
        return names

    return publish


def take_over_without_edit(directory: Directory, topic_id: str = "") -> Manifest:
    """As if one that opens a shard had only to read."""
    before = load_manifest(directory)
    return before if before is not None else index.ownership.take_over(directory, topic_id)


def take_over_again(directory: Directory, topic_id: str = "") -> Manifest:
    """As if whoever lost the race had only to try once more."""
    try:
        return index.ownership.take_over(directory, topic_id)
    except StorageError:
        return index.ownership.take_over(directory, topic_id)


def remove_all_orphans(
    directory: Directory, manifest: Manifest, being_written: Any = frozenset
) -> list[str]:
    """As if all that this owner's manifest does not name were rubbish."""
    live = {entry.meta.name for entry in manifest.segments} | being_written()
    names = directory.list()
    orphans = [name for name in names if name.endswith(SUFFIX) and name not in live]
    for name in orphans:
        directory.delete(name)
    return orphans


@contextmanager
def unlocked() -> Iterator[None]:
    with patch.object(fcntl, "flock", lambda file, how: None):
        yield


@contextmanager
def discarded_when_fenced() -> Iterator[None]:
    """As if an edit that was refused were never in the directory."""

    @contextmanager
    def settling(job: Any) -> Iterator[None]:
        try:
            yield
        except UnsettledError:
            job.is_unsettled = True
            raise

    with patch.object(index.jobs, "_settling", settling):
        yield


def sync_and_forget(files: PartitionFiles) -> None:
    try:
        files._active.sync()
    except StorageError:
        raise StorageError("cannot sync") from None


def _patched(target: Any, name: str, wrong: Any) -> Callable[[], AbstractContextManager[Any]]:
    return partial(patch.object, target, name, wrong)


@contextmanager
def new_files_unsynced() -> Iterator[None]:
    really = PartitionFiles._rotate

    def rotate(files: PartitionFiles) -> None:
        directory = files.directory
        with patch.object(type(directory), "sync", lambda self: None):
            really(files)

    with patch.object(PartitionFiles, "_rotate", rotate):
        yield


def _mutant(name: str, wrong: str, switched: Any, search: Callable[[], None]) -> Mutant:
    return Mutant(name, wrong, switched, search)


MUTANTS = [
    _mutant(
        "generation_overwritten",
        "an edit takes the place of another owner's of the same generation",
        _patched(index.ownership, "_publish", publish_without(once=False, list_after=False)),
        search_owners,
    ),
    _mutant(
        "no_list_after_publish",
        "a generation whose number is free again is taken for the newest",
        _patched(index.ownership, "_publish", publish_without(list_after=False)),
        search_owners,
    ),
    _mutant(
        "no_epoch",
        "who opens a shard does not fence the owner before",
        _patched(index.engine, "take_over", take_over_without_edit),
        search_owners,
    ),
    _mutant(
        "takeover_tried_again",
        "who was stopped while it opened a shard takes it from the next owner",
        _patched(index.engine, "take_over", take_over_again),
        search_owners,
    ),
    _mutant(
        "same_segment_names",
        "two owners give their segments the same names",
        _patched(index.engine, "segment_name", lambda epoch, number: f"{number:012d}.seg"),
        search_owners,
    ),
    _mutant(
        "newer_files_deleted",
        "an owner deletes all segments that it does not know",
        _patched(index.engine, "remove_orphans", remove_all_orphans),
        search_owners,
    ),
    _mutant(
        "fenced_edit_discarded",
        "a fenced owner removes the segment that the next one began with",
        discarded_when_fenced,
        search_openings,
    ),
    _mutant(
        "temporary_taken_for_own",
        "an owner deletes the temporary manifest of the next",
        _patched(index.ownership, "is_temporary", lambda name, _: name.endswith(TEMPORARY)),
        search_openings,
    ),
    _mutant("log_unlocked", "two processes write to one log", unlocked, search_locks),
    _mutant(
        "log_goes_on_after_a_failed_sync",
        "the log takes records behind some that may not be on disk",
        _patched(PartitionFiles, "_sync", sync_and_forget),
        search_log_failures,
    ),
    _mutant(
        "log_file_without_a_name",
        "records are taken into a file whose name is not durable",
        new_files_unsynced,
        search_new_files,
    ),
]
