"""Manifests: which segments are live, and the log offset they cover. One edit, one new file.

A manifest is `manifest-<generation>.json`: a line with its checksum and length, then JSON. It
is written under another name, made durable, renamed, and the rename made durable; only then is
the edit there. The last two are kept, with the segments that they name, so that a damaged
newest one costs a replay and not the shard.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

import msgspec

from index.directory import Directory
from index.errors import CorruptionError, FencedError, StorageError, UnsettledError
from index.format import SUFFIX, checksum

FORMAT_VERSION = 1
KEPT = 2
"""Manifests that are kept: the newest and the one before it."""

TEMPORARY = ".tmp"
DAMAGED = ".bad"
_NAME = re.compile(r"manifest-(\d{12})\.json")
_HEAD = re.compile(rb"tailrace manifest crc32c=([0-9a-f]{8}) length=(\d+)\n")


class SegmentMeta(msgspec.Struct, frozen=True):
    """What a manifest keeps of a segment."""

    name: str
    n_docs: int
    n_bytes: int
    crc: int
    """Of the footer, which holds the checksum of the table, which holds those of the sections."""
    first_offset: int
    """Offsets of the first and last document in the log; -1 where there is none."""
    last_offset: int
    n_tombstones: int = 0


class SegmentEntry(msgspec.Struct, frozen=True):
    meta: SegmentMeta
    deletes: bytes | None = None
    """Documents that were dead at the checkpoint: a roaring bitmap in the portable format."""


class Manifest(msgspec.Struct, frozen=True):
    """What a shard durably is."""

    generation: int
    """One more than the manifest before."""
    epoch: int
    """Of the owner; never goes back."""
    next_offset: int
    """The checkpoint: every event below it is in the segments, none from it on."""
    segments: tuple[SegmentEntry, ...] = ()
    """In log order."""
    topic_id: str = ""
    fence: dict[str, int] | None = None
    """What identifies the record before the checkpoint: its checksum and timestamp."""
    extra: dict[str, Any] = {}
    format_version: int = FORMAT_VERSION


class _Versioned(msgspec.Struct, frozen=True):
    """What a manifest of any version of the format has."""

    format_version: int = FORMAT_VERSION


def manifest_name(generation: int) -> str:
    return f"manifest-{generation:012d}.json"


def generation_of(name: str) -> int | None:
    """Return the generation that a file name tells, or None for another kind of file."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def encode_manifest(manifest: Manifest) -> bytes:
    body = msgspec.json.encode(manifest)
    head = f"tailrace manifest crc32c={checksum(body):08x} length={len(body)}\n"
    return head.encode() + body + b"\n"


def decode_manifest(name: str, data: bytes) -> Manifest:
    """Raises: CorruptionError; StorageError for a version of the format that we do not know."""
    head = _HEAD.match(data)
    if head is None:
        raise CorruptionError(name, 0, "not the first line of a manifest")
    body = data[head.end() : -1]
    if len(body) != int(head[2]) or data[-1:] != b"\n":
        raise CorruptionError(name, head.end(), f"not {int(head[2])} bytes of JSON and a newline")
    if checksum(body) != int(head[1], 16):
        raise CorruptionError(name, head.end(), "checksum is wrong")
    try:
        version = msgspec.json.decode(body, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            # Not damage: an older build must not set it aside and delete what it names.
            reason = f"format version {version}, this build reads {FORMAT_VERSION}"
            raise StorageError(f"{name}: {reason}")
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptionError(name, head.end(), str(error)) from None
    if manifest.generation != generation_of(name):
        raise CorruptionError(name, head.end(), f"holds generation {manifest.generation}")
    return manifest


def write_manifest(directory: Directory, manifest: Manifest) -> None:
    """Make an edit durable. Requires: the segments that it names are durable, names included.

    Raises: UnsettledError where the edit is in the directory or may be, and is not known to be
    durable; it may then be called again. Any other StorageError: the edit is not there.
    """
    name = manifest_name(manifest.generation)
    data = encode_manifest(manifest)
    names = directory.list()
    if name not in names:
        _publish(directory, name, data, names)
    elif directory.read(name) != data:
        raise FencedError(f"{name} is there already, made by another owner")
    try:
        directory.sync()
    except StorageError as error:
        raise UnsettledError(f"{name} may not be durable: {error}") from error
    for old in names:
        generation = generation_of(old)
        if generation is not None and generation <= manifest.generation - KEPT:
            with suppress(StorageError):  # the next edit looks again
                directory.delete(old)


def _publish(directory: Directory, name: str, data: bytes, names: list[str]) -> None:
    temporary = name + TEMPORARY
    if temporary in names:
        directory.delete(temporary)
    directory.write_file(temporary, (data,))
    try:
        directory.rename(temporary, name)
    except StorageError as error:
        # An error does not say that nothing was done: the directory does.
        try:
            is_there = name in directory.list()
        except StorageError:
            raise UnsettledError(f"{name} may be there: {error}") from error
        if not is_there:
            raise


def load_manifest(directory: Directory) -> Manifest | None:
    """Return the newest manifest that is sound, or None where there is none at all.

    Damaged ones that are newer are kept as `<name>.bad`, which `check.verify` reports.
    Raises: CorruptionError where there are manifests and none is sound.
    """
    names = [name for name in directory.list() if generation_of(name) is not None]
    damaged: list[CorruptionError] = []
    for name in sorted(names, reverse=True):
        try:
            manifest = decode_manifest(name, directory.read(name))
        except CorruptionError as error:
            damaged.append(error)
            continue
        for damage in damaged:
            directory.rename(damage.name, damage.name + DAMAGED)
        if damaged:
            directory.sync()
        return manifest
    if damaged:
        raise damaged[0]
    return None


def remove_orphans(
    directory: Directory, manifest: Manifest, being_written: AbstractSet[str] = frozenset()
) -> list[str]:
    """Delete segments that no kept manifest names and that are not `being_written`, and temporary
    files; return their names.

    `manifest` is the newest. Where the one before it cannot be read, no segment is deleted.
    """
    names = directory.list()
    live = {entry.meta.name for entry in manifest.segments} | being_written
    is_known = True
    for name in names:
        if generation_of(name) in (None, manifest.generation):
            continue
        try:
            kept = decode_manifest(name, directory.read(name))
        except CorruptionError:
            is_known = False
            continue
        live |= {entry.meta.name for entry in kept.segments}
    orphans = [name for name in names if name.endswith(TEMPORARY)]
    if is_known:
        orphans += [name for name in names if name.endswith(SUFFIX) and name not in live]
    for name in orphans:
        directory.delete(name)
    return orphans
