"""Manifests: which segments are live, and the log offset they cover. One edit, one new file.

A manifest is `manifest-<generation>.json`: a line with its checksum and length, then JSON. The
last two are kept, with the segments that they name, so that a damaged newest one costs a replay
and not the shard. Who may write the next one is ownership.py's.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import count
from typing import Any

import msgspec

from index.directory import Directory
from index.errors import CorruptionError, StorageError
from index.format import SUFFIX, checksum

FORMAT_VERSION = 2
"""A build that reads only version 1 does not know that it may be fenced: it must not write here."""

KEPT = 2
"""Manifests that are kept: the newest and the one before it."""

NOTHING = -1
"""The checkpoint of a shard that has never seen its log."""

TEMPORARY = ".tmp"
DAMAGED = ".bad"
_NAME = re.compile(r"manifest-(\d{12})\.json")
_ANY_NAME = re.compile(r"manifest-(\d{12})\.json(?:\.bad|(?:\.\d+)?(\.tmp))?")
_SEGMENT_NAME = re.compile(rf"(\d{{6,}})-\d{{12}}{re.escape(SUFFIX)}")
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
    """More than that of the manifest before."""
    epoch: int
    """Of the owner: the generation with which it took the directory over. Never goes back."""
    next_offset: int
    """The checkpoint: every event below it is in the segments, none from it on."""
    segments: tuple[SegmentEntry, ...] = ()
    """In log order."""
    topic_id: str = ""
    fence: dict[str, int] | None = None
    """What identifies the record before the checkpoint: its checksum and timestamp."""
    origin: int = -1
    """The offset at which the shard began: every event from it up to the checkpoint was applied.
    -1 where nothing was yet, or where an older build did not keep it."""
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


def temporary_name(generation: int, names: Collection[str]) -> str:
    """Return a name for a manifest on its way that is not among `names`: what a crash left is
    not deleted first, because it may be another process's that opens the shard right now."""
    name = manifest_name(generation)
    return next(made for n in count() if (made := f"{name}.{n}{TEMPORARY}") not in names)


def is_temporary(name: str, generation: int) -> bool:
    """Return whether a name is that of a manifest on its way to at most `generation`."""
    match = _ANY_NAME.fullmatch(name)
    return match is not None and match[2] is not None and int(match[1]) <= generation


def next_generation(names: Collection[str]) -> int:
    """Return a generation that no manifest of `names` has, damaged ones included, and no newer."""
    found = [match for match in map(_ANY_NAME.fullmatch, names) if match is not None]
    return 1 + max((int(match[1]) for match in found if match[2] is None), default=0)


def newest_generation(names: Collection[str]) -> int:
    """Return the greatest generation among `names`, 0 where there is none."""
    return max((generation_of(name) or 0 for name in names), default=0)


def segment_name(epoch: int, number: int) -> str:
    """Return a name that no other owner gives. Each owner counts its segments for itself."""
    return f"{epoch:06d}-{number:012d}{SUFFIX}"


def epoch_of(name: str) -> int:
    """Return the epoch of a segment's owner; 0 for a name of an older build."""
    match = _SEGMENT_NAME.fullmatch(name)
    return int(match[1]) if match else 0


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
        if not 1 <= version <= FORMAT_VERSION:
            # Not damage: an older build must not set it aside and delete what it names.
            reason = f"format version {version}, this build reads up to {FORMAT_VERSION}"
            raise StorageError(f"{name}: {reason}")
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptionError(name, head.end(), str(error)) from None
    if manifest.generation != generation_of(name):
        raise CorruptionError(name, head.end(), f"holds generation {manifest.generation}")
    return manifest


def load_manifest(directory: Directory) -> Manifest | None:
    """Return the newest manifest that is sound, or None where there is none at all. Nothing is
    changed.

    Raises: CorruptionError where there are manifests and none is sound.
    """
    return find_newest(directory, directory.list())[0]


def find_newest(directory: Directory, names: list[str]) -> tuple[Manifest | None, list[str]]:
    """Return the newest sound manifest of `names`, and the names of damaged ones that are newer.

    Raises: CorruptionError where there are manifests and none is sound, or where one is not there
    any more.
    """
    damages: list[CorruptionError] = []
    for name in sorted((name for name in names if generation_of(name) is not None), reverse=True):
        try:
            return decode_manifest(name, directory.read(name)), [d.name for d in damages]
        except CorruptionError as error:
            damages.append(error)
    if damages:
        raise damages[0]
    return None, []
