"""Segments and manifests with wrong contents under right checksums.

No checksum says anything about them: whatever they hold, nothing may be read outside their bytes
and nothing but an error of ours may come out. Each is made in memory between two pages that nobody
may touch, and opened, searched, verified and merged in a process that may die of it.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from random import Random
from typing import Any, NamedTuple

import msgspec
import numpy as np

from index.aggregate.run import aggregate
from index.check import verify
from index.errors import TailraceError
from index.format import FOOTER_SIZE, HEADER, VERSION, Kind, checksum
from index.jobs import decode_deletes
from index.manifest import (
    Manifest,
    SegmentEntry,
    decode_manifest,
    encode_manifest,
    manifest_name,
)
from index.merge import MergeDraft
from index.part import Part
from index.query.parse_json import parse_search
from index.schema import Schema
from index.searcher import Searcher
from index.segment import Segment, write_segment
from tests.index.storage_world import MemoryDirectory
from tests.reliability.corruption_world import (
    AGGREGATIONS,
    BODIES,
    MAPPING,
    NOW_MS,
    OPTIONS,
    SHARD,
    sound_files,
)
from tests.reliability.guarded import guarded
from tests.reliability.program import Run, Tally, Violation

CHUNK = 500
"""Forgeries of one process."""
MAX_BYTES = 8 << 30
"""Of address space: a size that was forged must not become memory."""
MAX_S = 20
"""What takes longer than this hangs."""

_ENTRY = struct.Struct("<IIQQII")
_FOOTER = struct.Struct("<8sIIQI32xI")
_WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, 1 << 62, (1 << 64) - 1)


class Forged(NamedTuple):
    """A file whose checksums are right, and what the manifest says of it."""

    entry: SegmentEntry
    data: bytes


@cache
def _originals() -> tuple[tuple[SegmentEntry, bytes], ...]:
    """Return the segments of the world, as the newest manifest names them."""
    files = sound_files()
    path = max(path for path in files if path.startswith(f"{SHARD}manifest"))
    name = path.removeprefix(SHARD)
    manifest = decode_manifest(name, files[path])
    return tuple((entry, files[SHARD + entry.meta.name]) for entry in manifest.segments)


# --- forging -------------------------------------------------------------------------------
def forge(number: int) -> Forged:
    """Return a forgery. Equal numbers give equal ones."""
    chance = Random(number)
    entry, data = chance.choice(_originals())
    table = _table_of(data)
    parts = [bytearray(data[start : start + length]) for _, _, start, length in table]
    for _ in range(chance.choice([1, 1, 1, 2, 5])):
        chance.choice(_DAMAGES)(chance, table, parts)
    meta = entry.meta
    if chance.random() < 0.1:
        field = chance.choice(["n_docs", "first_offset", "last_offset", "n_tombstones"])
        meta = msgspec.structs.replace(meta, **{field: _number(chance, getattr(meta, field))})
    forged = _assembled(chance, table, parts)
    meta = msgspec.structs.replace(
        meta, n_bytes=len(forged), crc=int.from_bytes(forged[-4:], "little")
    )
    deletes = entry.deletes
    if deletes is not None and chance.random() < 0.2:
        mutated = bytearray(deletes)
        mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        deletes = bytes(mutated)
    return Forged(SegmentEntry(meta, deletes), forged)


Table = list[tuple[int, int, int, int]]
"""(kind, field, start, length) of each section."""


def _table_of(data: bytes) -> Table:
    _, _, n_sections, offset, _, _ = _FOOTER.unpack(data[-FOOTER_SIZE:])
    entries = _ENTRY.iter_unpack(data[offset : offset + n_sections * _ENTRY.size])
    return [entry[:4] for entry in entries]


def _flip_bytes(chance: Random, table: Table, parts: list[bytearray]) -> None:
    part = chance.choice([part for part in parts if part])
    for _ in range(chance.choice([1, 1, 3, 20])):
        at = chance.randrange(len(part))
        part[at] = chance.choice([0, 255, 127, 128, part[at] ^ 1 << chance.randrange(8)])


def _set_word(chance: Random, table: Table, parts: list[bytearray]) -> None:
    """Put a number that is likely to lead somewhere else."""
    part = chance.choice([part for part in parts if len(part) >= 8])
    size = chance.choice([1, 2, 4, 8])
    at = chance.randrange(len(part) // size) * size
    before = int.from_bytes(part[at : at + size], "little")
    word = _number(chance, before) % (1 << 8 * size)
    part[at : at + size] = word.to_bytes(size, "little")


def _resize(chance: Random, table: Table, parts: list[bytearray]) -> None:
    """Let a section be shorter or longer than what others say."""
    part = chance.choice(parts)
    step = chance.choice([1, 4, 8, 64, len(part)])
    if chance.random() < 0.5:
        del part[max(len(part) - step, 0) :]
    else:
        part += chance.randbytes(step)


def _set_said(chance: Random, table: Table, parts: list[bytearray]) -> None:
    """Change a number in what the segment says of itself."""
    at = next((at for at, entry in enumerate(table) if entry[0] == Kind.META), 0)
    try:
        said = msgspec.json.decode(bytes(parts[at]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if not isinstance(said, dict):
        return
    place: Any = chance.choice([said, *said.get("fields", [])])
    names = [name for name, value in place.items() if isinstance(value, int)]
    if names:
        name = chance.choice(names)
        place[name] = _number(chance, place[name])
        parts[at][:] = msgspec.json.encode(said)


def _swap_sections(chance: Random, table: Table, parts: list[bytearray]) -> None:
    one, other = chance.sample(range(len(parts)), 2)
    parts[one], parts[other] = parts[other], parts[one]


def _drop_section(chance: Random, table: Table, parts: list[bytearray]) -> None:
    at = chance.randrange(len(parts))
    del parts[at], table[at]


def _rename_section(chance: Random, table: Table, parts: list[bytearray]) -> None:
    at = chance.randrange(len(parts))
    kind, field, start, length = table[at]
    if chance.random() < 0.5:
        kind = chance.randrange(1, 30)
    else:
        field = chance.choice([entry[1] for entry in table])
    table[at] = (kind, field, start, length)


_DAMAGES: tuple[Callable[[Random, Table, list[bytearray]], None], ...] = (
    _flip_bytes, _flip_bytes, _flip_bytes, _set_word, _set_word, _set_word, _set_said, _resize,
    _swap_sections, _drop_section, _rename_section,
)  # fmt: skip


def _number(chance: Random, before: int) -> int:
    near = (before - 1, before + 1, 2 * before, before // 2, -before)
    return chance.choice([*near, *_WORDS, chance.getrandbits(32)])


def _assembled(chance: Random, table: Table, parts: list[bytearray]) -> bytes:
    """Return the file with all checksums as they must be; sometimes the table or the footer say
    something else than where the sections are."""
    data = bytearray(HEADER)
    entries: list[list[int]] = []
    for (kind, field, _, _), part in zip(table, parts, strict=True):
        start = len(data)
        padded = bytes(part) + bytes(-len(part) % 64)
        data += padded
        entries.append([kind, field, start, len(part), checksum(padded), 0])
    if entries and chance.random() < 0.1:
        entry = chance.choice(entries)
        column = chance.choice([2, 3])
        entry[column] = _number(chance, entry[column]) % (1 << 64)
    packed = b"".join(_ENTRY.pack(*entry) for entry in entries)
    n_sections, offset = len(entries), len(data)
    if chance.random() < 0.05:
        n_sections = _number(chance, n_sections) % (1 << 32)
    if chance.random() < 0.05:
        offset = _number(chance, offset) % (1 << 64)
    footer = _FOOTER.pack(HEADER[:8], VERSION, n_sections, offset, checksum(packed), 0)[:-4]
    return bytes(data) + packed + footer + struct.pack("<I", checksum(footer))


# --- what is done with one -------------------------------------------------------------------
def ask(number: int) -> int:
    """Open, search, verify and merge a forgery; return how many of these it let be done.

    Raises: whatever is no error of ours."""
    forged, chance = forge(number), Random(-number)
    meta = forged.entry.meta
    directory = _Guarded({meta.name: forged.data})
    n_done = 0
    for work in (_search, _aggregate, _verify, _merge):
        with suppress(TailraceError):
            work(directory, forged.entry, chance)
            n_done += 1
    return n_done


class _Guarded(MemoryDirectory):
    def map(self, name: str) -> np.ndarray:
        return guarded(self.read(name))


def _part(directory: MemoryDirectory, entry: SegmentEntry) -> Part:
    segment = Segment.open(directory, entry.meta)
    return Part(
        segment,
        name=entry.meta.name,
        shard=0,
        alive=decode_deletes(entry.deletes, segment.n_docs, entry.meta.name),
        tombstones=segment.tombstones(),
    )


@cache
def _schema() -> Schema:
    return Schema.from_mapping(MAPPING)


def _search(directory: MemoryDirectory, entry: SegmentEntry, chance: Random) -> None:
    part = _part(directory, entry)
    part.reader.find_keys([b"doc-%d" % number for number in range(0, 150, 10)])
    searcher = Searcher((part.view,), _schema(), NOW_MS)
    for body in chance.sample(BODIES, 3):
        with suppress(TailraceError):
            result = searcher.search(parse_search(body))
            for hit in result.hits[:5]:
                part.reader.source(hit.doc_id)
                part.reader.key(hit.doc_id)
                part.reader.version(hit.doc_id)


def _aggregate(directory: MemoryDirectory, entry: SegmentEntry, chance: Random) -> None:
    searcher = Searcher((_part(directory, entry).view,), _schema(), NOW_MS)
    name = chance.choice([*AGGREGATIONS])
    request = parse_search({"size": 0, "aggs": {name: AGGREGATIONS[name]}})
    aggregate([searcher], request, lambda inner, results: {})


def _verify(directory: MemoryDirectory, entry: SegmentEntry, chance: Random) -> None:
    manifest = Manifest(1, 1, 1 << 40, (entry,))
    files = {**directory.files, manifest_name(1): encode_manifest(manifest)}
    verify(_Guarded(files), _schema().fields)


def _merge(directory: MemoryDirectory, entry: SegmentEntry, chance: Random) -> None:
    """Beside a sound one."""
    sound_entry, sound = chance.choice(_originals())
    other = MemoryDirectory({sound_entry.meta.name: sound})
    inputs = [
        Segment.open(directory, entry.meta), Segment.open(other, sound_entry.meta)
    ]  # fmt: skip
    alive = decode_deletes(entry.deletes, inputs[0].n_docs, entry.meta.name)
    draft = MergeDraft(inputs, [alive, None])
    write_segment(MemoryDirectory(), "merged.seg", draft, _schema().fields, OPTIONS)


# --- many of them --------------------------------------------------------------------------
def run(n: int, run: Run, tally: Tally) -> None:
    """Go through `n` forgeries. Raises: Violation."""
    numbers = range(run.seed * 1_000_003 + run.part, sys.maxsize, run.n_parts)
    for first in range(0, n, CHUNK):
        run_chunk(numbers[first : min(first + CHUNK, n)], tally)
        tally.n_cases += min(CHUNK, n - first)


def replay(case: str) -> None:
    number = int(case.removeprefix("forge:"))
    run_chunk(range(number, number + 1), Tally())


def run_chunk(numbers: range, tally: Tally) -> None:
    """Run some in a child: what kills it, or what is raised there, is a violation."""
    told = mmap.mmap(-1, 1 << 16)
    child = os.fork()
    if child == 0:
        os._exit(_child(numbers, told))
    _, status = os.waitpid(child, 0)
    at, n_done, length = struct.unpack_from("<QQQ", told)
    case, reason = f"forge:{at}", told[24 : 24 + length].decode(errors="replace")
    told.close()
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        raise Violation(case, "hangs" if name == "SIGALRM" else f"ends the process by {name}")
    if os.WEXITSTATUS(status):
        raise Violation(case, f"no error of ours: {reason}")
    tally.note("forgeries", len(numbers))
    tally.note("uses of forgeries that went through", n_done)


def _child(numbers: range, told: mmap.mmap) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    n_done = 0
    for number in numbers:
        struct.pack_into("<QQQ", told, 0, number, n_done, 0)
        signal.alarm(MAX_S)
        try:
            n_done += ask(number)
        except BaseException:
            text = traceback.format_exc(limit=-4).encode()[:60_000]
            struct.pack_into("<QQQ", told, 0, number, n_done, len(text))
            told[24 : 24 + len(text)] = text
            return 1
    struct.pack_into("<QQQ", told, 0, numbers[-1], n_done, 0)
    return 0
