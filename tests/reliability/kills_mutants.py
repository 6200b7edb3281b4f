"""Wrong versions of the product that only the death or the hold of a process shows.

They are switched on in the servers of an act, by a variable of their environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

from tests.reliability.kills_points import replace

VARIABLE = "KILLS_MUTANT"


def checkpoint_ahead(write_manifest: Callable[..., Any]) -> Callable[..., Any]:
    """The manifest says more than its segments hold."""
    import msgspec

    @functools.wraps(write_manifest)
    def write(directory: Any, manifest: Any) -> Any:
        if manifest.segments:
            ahead = max(manifest.next_offset, 0) + 3
            manifest = msgspec.structs.replace(manifest, next_offset=ahead)
        return write_manifest(directory, manifest)

    return write


def answered_early(commit: Callable[..., Any]) -> Callable[..., Any]:
    """An append to the embedded log is answered before the records are in the file."""

    async def wait_for_nothing(*_arguments: Any) -> None:
        return

    # It would hide the rest: what is searchable has been read from the file.
    replace("pipeline.write", "Writer._wait_searchable", lambda wait: wait_for_nothing)

    @functools.wraps(commit)
    async def answer(writer: Any, loop: Any) -> None:
        offset = writer.files.next_offset
        for part, done in writer._pending:
            if not done.done():
                done.set_result(offset)
            offset += len(part)
        await asyncio.sleep(0.3)
        await commit(writer, loop)

    return answer


def hint_first(commit_hint: Callable[..., Any]) -> Callable[..., Any]:
    """The broker is told offsets that are not durable here."""

    @functools.wraps(commit_hint)
    def hint(source: Any, partition: int, next_offset: int) -> None:
        commit_hint(source, partition, next_offset + 1000)

    return hint


def never_fenced(newest_generation: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever wants to publish does, and nobody looks whose directory it is."""
    replace("pipeline.node_lock", "NodeLock.require", lambda require: lambda lock: None)
    replace("index.directory", "FsDirectory.publish", lambda publish: overwrite)
    replace("index.ownership", "fencing", lambda fencing: lambda *_: contextlib.nullcontext())
    return lambda names: 0


def overwrite(directory: Any, temporary: str, name: str) -> None:
    directory.rename(temporary, name)


MUTANTS: dict[str, tuple[str, str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "checkpoint_ahead": ("index.ownership", "write_manifest", checkpoint_ahead),
    "answered_early": ("consumers.log", "_Writer._commit", answered_early),
    "never_fenced": ("index.ownership", "newest_generation", never_fenced),
    "hint_first": ("consumers.kafka", "KafkaSource.commit_hint", hint_first),
}


def install(name: str) -> None:
    module, path, make = MUTANTS[name]
    replace(module, path, make)
