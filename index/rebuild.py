"""A shard with damaged files begins anew, to be filled from its log again.

Nothing is thrown away for it: all files are set aside as `<name>.bad` until the new shard durably
covers what the damaged one did. Until then its manifest remembers that it is being rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from index.directory import Directory
from index.errors import CorruptionError
from index.format import SUFFIX
from index.manifest import DAMAGED, NOTHING, Manifest, epoch_of, generation_of, load_manifest
from index.ownership import fencing, take_over, write_manifest

REBUILD: Final = "rebuild"
"""Key of `Manifest.extra`; absent where nothing is being rebuilt."""


class Rebuild(msgspec.Struct, frozen=True):
    """What the damaged shard was, as far as is known."""

    until: int
    """Its checkpoint: below it, the new shard lacks what the damaged one had."""
    damage: str
    fence: dict[str, int] | None = None


class DamagedShardError(CorruptionError):
    """Files that the manifest names are damaged: the shard cannot be opened."""

    def __init__(self, damage: CorruptionError, origin: int, checkpoint: int) -> None:
        super().__init__(damage.name, damage.offset, damage.reason)
        self.origin = origin
        """Where in its log the shard began; -1 where that is not known."""
        self.checkpoint = checkpoint
        """How far it had come, durably; -1 where that is not known."""

    def because(self, reason: str) -> DamagedShardError:
        """Return the same with what else there is to say."""
        damage = CorruptionError(self.name, self.offset, f"{self.reason}; {reason}")
        return DamagedShardError(damage, self.origin, self.checkpoint)


def rebuild_of(manifest: Manifest) -> Rebuild | None:
    """Return what is being rebuilt, None where all is there."""
    told = manifest.extra.get(REBUILD)
    return msgspec.convert(told, Rebuild) if told is not None else None


@contextmanager
def telling_origin(directory: Directory) -> Iterator[None]:
    """Raise a CorruptionError of a shard that is opened as a DamagedShardError."""
    try:
        yield
    except CorruptionError as error:
        manifest = _newest_of(directory)
        rebuild = rebuild_of(manifest)
        until = rebuild.until if rebuild is not None else NOTHING
        checkpoint = max(manifest.next_offset, until)
        raise DamagedShardError(error, manifest.origin, checkpoint) from error


def _newest_of(directory: Directory) -> Manifest:
    """Return the newest manifest, one that knows nothing where none can be read."""
    unknown = Manifest(generation=0, epoch=0, next_offset=NOTHING)
    with suppress(CorruptionError):
        return load_manifest(directory) or unknown
    return unknown


def begin_anew(directory: Directory, damage: str, log_end: int) -> None:
    """Set all files of a damaged shard aside and make it an empty one of the same log, which is
    rebuilt when it has come as far as the damaged one, or where that is not known to `log_end`.

    Cut short, it leaves a shard that is still damaged, or the empty one; then it may be called
    again. Raises: FencedError, StorageError.
    """
    try:
        before = take_over(directory)
    except CorruptionError:  # no manifest is sound
        before = Manifest(generation=0, epoch=0, next_offset=NOTHING)
    # First the segments: those that no manifest names any more would be removed as orphans. None
    # of a later owner, who may be there by now.
    segments = [name for name in directory.list() if name.endswith(SUFFIX)]
    if before.epoch > 0:
        segments = [name for name in segments if epoch_of(name) <= before.epoch]
    _set_aside(directory, segments)
    if before.epoch == 0:
        _set_aside(directory, _manifests(directory))
        before = take_over(directory)
    older = _manifests(directory)
    known = rebuild_of(before)
    until = max(before.next_offset, known.until if known is not None else NOTHING)
    rebuild = Rebuild(
        until=until if until >= 0 else log_end,
        damage=damage,
        fence=before.fence or (known.fence if known is not None else None),
    )
    empty = msgspec.structs.replace(
        before,
        generation=before.generation + 1,
        next_offset=NOTHING,
        origin=NOTHING,
        segments=(),
        fence=None,
        extra={**before.extra, REBUILD: msgspec.to_builtins(rebuild)},
    )
    write_manifest(directory, empty)
    with fencing(directory, empty):
        _set_aside(directory, older)


def _manifests(directory: Directory) -> list[str]:
    return [name for name in directory.list() if generation_of(name) is not None]


def _set_aside(directory: Directory, names: list[str]) -> None:
    for name in names:
        with suppress(CorruptionError):  # gone already
            directory.rename(name, name + DAMAGED)
    if names:
        directory.sync()


def after_checkpoint(manifest: Manifest) -> Manifest:
    """Return the manifest without the note of a rebuild whose end its checkpoint has reached."""
    rebuild = rebuild_of(manifest)
    if rebuild is None or manifest.next_offset < rebuild.until:
        return manifest
    extra = {name: value for name, value in manifest.extra.items() if name != REBUILD}
    return msgspec.structs.replace(manifest, extra=extra)


def remove_set_aside(directory: Directory) -> None:
    """Delete what was set aside. Requires: the rebuilt shard durably covers it."""
    for name in directory.list():
        if name.endswith(DAMAGED):
            with suppress(CorruptionError):
                directory.delete(name)
