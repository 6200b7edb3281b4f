"""Who may change a shard's directory: one owner at a time, and the newest wins.

A process may be stopped for any time between two of its operations, lose the lock on its data
directory, and go on when another process has the shard. It must then find out before anything it
does counts, and harm nothing:

- Generations only rise, and each is published once (`Directory.publish`). To open a shard is to
  publish the next one, which fences every owner before. That generation is the owner's epoch.
- Old manifests are deleted, so that their numbers are free again: an owner looks after its
  publish whether there is a newer one. What a fenced owner leaves is older than the newest.
- Segments bear the epoch in their names, and temporary manifests their generation: nobody writes
  a name of another owner's, and nobody deletes one of a later owner's.
- What an owner deletes, no manifest names that a later owner can have begun with: it is in
  neither the newest of its own nor the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress

import msgspec

from index.directory import Directory
from index.errors import CorruptionError, FencedError, StorageError, UnsettledError
from index.format import SUFFIX
from index.manifest import (
    DAMAGED,
    FORMAT_VERSION,
    KEPT,
    NOTHING,
    Manifest,
    decode_manifest,
    encode_manifest,
    epoch_of,
    find_newest,
    generation_of,
    is_temporary,
    manifest_name,
    newest_generation,
    next_generation,
    temporary_name,
)

MAX_RIVALS = 10
"""Processes that may want to publish the same generation at the same time."""


def take_over(directory: Directory, topic_id: str = "") -> Manifest:
    """Become the owner: publish the newest sound manifest as the next generation, or that of an
    empty shard. Damaged ones that were newer are kept as `<name>.bad`. Cost: one small file.

    Raises: FencedError where another process changes it at the same time; CorruptionError where
    there are manifests and none is sound; StorageError where segments lie without any (an empty
    shard would look like one that lost everything).
    """
    names = directory.list()
    before, damaged = _read_newest(directory, names)
    if before is None:
        stray = [name for name in names if name.endswith(SUFFIX)]
        if stray:
            raise StorageError(
                f"{directory}: segments such as {stray[0]} but no readable manifest; "
                "restore one, or remove the shard's directory to rebuild it from the log"
            )
        before = Manifest(generation=0, epoch=0, next_offset=NOTHING, topic_id=topic_id)
    generation = next_generation(names)
    manifest = msgspec.structs.replace(
        before, generation=generation, epoch=generation, format_version=FORMAT_VERSION
    )
    names = _publish(directory, manifest)
    # Only an owner may change anything, so this comes after.
    for name in damaged:
        with suppress(CorruptionError):  # the next owner was quicker
            directory.rename(name, name + DAMAGED)
    if damaged:
        directory.sync()
    _remove_old(directory, [name for name in names if name not in damaged])
    return manifest


def _read_newest(directory: Directory, names: list[str]) -> tuple[Manifest | None, list[str]]:
    try:
        return find_newest(directory, names)
    except CorruptionError as error:
        newest = newest_generation(directory.list())
        if newest == newest_generation(names):
            raise
        # Not tried again: whoever was stopped here would take the shard from its next owner.
        raise FencedError(
            f"{directory} has another owner, who is at generation {newest}"
        ) from error


def write_manifest(directory: Directory, manifest: Manifest) -> None:
    """Make an edit durable. Requires: the segments that it names are durable, names included.

    Raises: FencedError where another owner has taken over, who may have begun with this very
    edit; UnsettledError where the edit is in the directory or may be, and is not known to be
    durable, and then it may be called again. Any other StorageError: the edit is not there.
    """
    _remove_old(directory, _publish(directory, manifest))


def _publish(directory: Directory, manifest: Manifest) -> list[str]:
    """Return the names that are there afterwards; the manifest is the newest of them."""
    name, data = manifest_name(manifest.generation), encode_manifest(manifest)
    names = directory.list()
    with fencing(directory, manifest):
        if newest_generation(names) < manifest.generation:
            _give_name(directory, manifest, data, names)
        elif _is_takeover(manifest) or name not in names or directory.read(name) != data:
            raise _fenced(directory, manifest, newest_generation(names))
        try:
            directory.sync()
            names = directory.list()
        except FencedError:
            raise
        except StorageError as error:
            raise UnsettledError(f"{name} may not be durable: {error}") from error
    if newest_generation(names) > manifest.generation:
        # The number was free again, or the next owner began with this very manifest.
        raise _fenced(directory, manifest, newest_generation(names))
    return names


def _give_name(directory: Directory, manifest: Manifest, data: bytes, names: list[str]) -> None:
    name = manifest_name(manifest.generation)
    temporary = _write_temporary(directory, manifest, data, names)
    try:
        directory.publish(temporary, name)
    except FencedError as error:
        raise _fenced(directory, manifest, manifest.generation) from error
    except StorageError as error:
        # An error does not say that nothing was done: the directory does.
        try:
            newest = newest_generation(directory.list())
            is_there = newest >= manifest.generation
            is_mine = is_there and not _is_takeover(manifest) and directory.read(name) == data
        except FencedError:
            raise
        except StorageError:
            raise UnsettledError(f"{name} may be there: {error}") from error
        if is_there and not is_mine:
            raise _fenced(directory, manifest, newest) from error
        if not is_mine:
            with suppress(StorageError):
                directory.delete(temporary)
            raise


def _write_temporary(
    directory: Directory, manifest: Manifest, data: bytes, names: list[str]
) -> str:
    for _ in range(MAX_RIVALS):
        temporary = temporary_name(manifest.generation, names)
        try:
            directory.write_file(temporary, (data,))
        except StorageError as error:
            names = directory.list()
            newest = newest_generation(names)
            if newest >= manifest.generation:
                raise _fenced(directory, manifest, newest) from error
            if temporary not in names:
                raise
            # Of a rival who wants to publish the same generation: one of us will.
        else:
            return temporary
    raise StorageError(f"{directory}: too many want to publish generation {manifest.generation}")


def _remove_old(directory: Directory, names: list[str]) -> None:
    """Delete all manifests of `names` but the `KEPT` newest."""
    manifests = [name for name in names if generation_of(name) is not None]
    for name in sorted(manifests)[:-KEPT]:
        with suppress(StorageError):  # gone already, or the next edit looks again
            directory.delete(name)


def remove_orphans(
    directory: Directory,
    manifest: Manifest,
    being_written: Callable[[], AbstractSet[str]] = frozenset,
) -> list[str]:
    """Delete segments that no kept manifest names and that are not `being_written`, and temporary
    files, none of a later owner; return their names.

    `being_written` is asked after the names are listed: what is begun later is not among them.
    `manifest` is the owner's newest. Where the one before it cannot be read, no segment is
    deleted. Raises: FencedError where there is a newer one.
    """
    names = directory.list()
    if newest_generation(names) > manifest.generation:
        raise _fenced(directory, manifest, newest_generation(names))
    live = {entry.meta.name for entry in manifest.segments} | being_written()
    is_known = True
    for name in names:
        if generation_of(name) in (None, manifest.generation):
            continue
        try:
            kept = decode_manifest(name, directory.read(name))
        except StorageError:
            is_known = False
            continue
        live |= {entry.meta.name for entry in kept.segments}
    orphans = [name for name in names if is_temporary(name, manifest.generation)]
    if is_known:
        segments = [name for name in names if name.endswith(SUFFIX) and name not in live]
        orphans += [name for name in segments if epoch_of(name) <= manifest.epoch]
    for name in orphans:
        with suppress(CorruptionError):  # gone already: an owner before or after deletes it too
            directory.delete(name)
    return orphans


@contextmanager
def fencing(directory: Directory, manifest: Manifest) -> Iterator[None]:
    """Tell an error that a new owner is the reason of, by a FencedError in its place, from one of
    the disk: files that are gone because they are no longer needed are not damage.

    `manifest` is any of the owner's.
    """
    try:
        yield
    except FencedError:
        raise
    except StorageError as error:
        newest = _newest_manifest(directory)
        if newest is not None and newest.epoch > manifest.epoch:
            raise _fenced(directory, manifest, newest.generation) from error
        raise


def _newest_manifest(directory: Directory) -> Manifest | None:
    """Return the newest manifest, None where that cannot be found out. Raises: FencedError."""
    for _ in range(MAX_RIVALS):
        try:
            names = directory.list()
            with suppress(CorruptionError):
                return find_newest(directory, names)[0]
            if newest_generation(directory.list()) == newest_generation(names):
                return None
        except FencedError:
            raise
        except StorageError:
            return None
        # It was deleted while it was read: there is a newer one.
    return None


def _is_takeover(manifest: Manifest) -> bool:
    """Others who open the shard at the same time have the same bytes."""
    return manifest.generation == manifest.epoch


def _fenced(directory: Directory, manifest: Manifest, newest: int) -> FencedError:
    return FencedError(
        f"{directory} has another owner, who is at generation {newest}; "
        f"this one, of epoch {manifest.epoch}, is fenced"
    )
