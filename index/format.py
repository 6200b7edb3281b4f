"""The container that a segment file is: sections, a table of them, a footer. docs/format.md.

file    := header section* table footer
header  := magic (8 bytes), version u32, zeros up to 64 bytes
section := bytes, zeros up to a multiple of 64
table   := (kind u32, field u32, offset u64, length u64, crc u32, 0 u32) per section
footer  := magic, version u32, sections u32, offset of the table u64, crc of the table u32,
           zeros, crc of the footer u32: 64 bytes

All numbers are little-endian, all checksums CRC32C. Sections follow each other without a gap
and a section's checksum covers its padding, so that every byte of the file is checked by
something. The checksum of the footer stands in the manifest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, BinaryIO, NamedTuple

import google_crc32c
import numpy as np
import numpy.typing as npt

from index.errors import CorruptionError, storage_error
from index.reader import U8

SUFFIX = ".seg"
MAGIC = b"TAILSEG\x01"
VERSION = 2
ALIGNMENT = 64
HEADER = MAGIC + struct.pack("<I", VERSION) + bytes(52)
_ENTRY = struct.Struct("<IIQQII")
_FOOTER = struct.Struct("<8sIIQI32xI")
FOOTER_SIZE = _FOOTER.size
NO_FIELD = 0xFFFFFFFF

_STEP = 1 << 20
"""Bytes a checksum looks at in one go: it holds the interpreter for that long (~0.1 ms)."""


PACED_BYTES = 4 << 20
"""Bytes that are checked between two calls of a pace."""


class Kind(IntEnum):
    """What a section holds. Numbers are never used again for something else."""

    META = 1
    """JSON: `segment_writer.SegmentInfo`."""
    TERMS = 2
    """u8: the front-coded dictionary (kernels/terms.py)."""
    TERM_BLOCKS = 3
    """u64[blocks + 1]: where each block of the dictionary begins."""
    TERM_PREFIXES = 4
    """u64[blocks]: first 8 bytes of each block's first term."""
    RECORDS = 5
    """u64[terms] (kernels/postings.py, like the next five)."""
    LAST_DOCS = 6
    DOC_METAS = 7
    POS_METAS = 8
    POSTINGS = 9
    POSITIONS = 10
    LENGTHS = 11
    """Per text field, packed (packed.py): tokens of each document."""
    NORMS = 12
    """Per text field, u8[docs]: the lengths in one byte (lengths.py)."""
    PRESENT = 13
    """Per field, u64[(docs + 63) / 64]: which documents have a value."""
    VALUES = 14
    """Per field that is not text: i64, f64 or u32 (ordinals) values."""
    VALUE_STARTS = 15
    """Per field with several values in some document, u32[docs + 1]."""
    KEY_SLOTS = 16
    """u32 (kernels/keys.py)."""
    KEY_STARTS = 17
    """Packed, docs + 1."""
    KEYS = 18
    OFFSETS = 19
    """Packed: place of each document in the log."""
    VERSIONS = 20
    """Packed; left out where each version is the offset."""
    SOURCES = 21
    """zstandard frames, one a block of sources (stored.py)."""
    SOURCE_BLOCKS = 22
    """u64[blocks + 1]: where each frame begins."""
    SOURCE_DOCS = 23
    """u32[blocks + 1]: the first document of each block."""
    TOMBSTONE_STARTS = 24
    TOMBSTONES = 25
    TOMBSTONE_VERSIONS = 26
    ZONES = 27
    """Per field of numbers, i64 or f64: the least and the greatest value of each 1024 documents."""


class Section(NamedTuple):
    """A section on its way into a file."""

    kind: Kind
    field: int
    chunks: Iterable[npt.NDArray[Any] | bytes]


def section(kind: Kind, array: npt.NDArray[Any] | bytes, field: int = NO_FIELD) -> Section:
    """Return a section of one array or of bytes."""
    return Section(kind, field, (array,))


def checksum(data: npt.NDArray[Any] | bytes, value: int = 0) -> int:
    """Return the CRC32C of `data`, going on from `value`."""
    if isinstance(data, bytes):
        return int(google_crc32c.extend(value, data))
    flat = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    for at in range(0, len(flat), _STEP):
        value = google_crc32c.extend(value, flat[at : at + _STEP])
    return int(value)


class SegmentFile:
    """Writes the container. Feed `chunks` to `Directory.write_file`; then `n_bytes` and `crc`
    say what was written."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self.crc = 0

    def chunks(self, sections: Iterable[Section]) -> Iterator[bytes | U8]:
        yield HEADER
        at = len(HEADER)
        table: list[bytes] = []
        for kind, field, parts in sections:
            start, crc = at, 0
            for part in parts:
                data = part if isinstance(part, bytes) else _as_bytes(part)
                if len(data) == 0:
                    continue
                yield data
                at += len(data)
                crc = checksum(data, crc)
            length = at - start
            padding = bytes(-at % ALIGNMENT)
            yield padding
            at += len(padding)
            table.append(_ENTRY.pack(kind, field, start, length, checksum(padding, crc), 0))
        entries = b"".join(table)
        yield entries
        footer = _FOOTER.pack(MAGIC, VERSION, len(table), at, checksum(entries), 0)[:-4]
        self.crc = checksum(footer)
        yield footer + struct.pack("<I", self.crc)
        self.n_bytes = at + len(entries) + FOOTER_SIZE


def _as_bytes(array: npt.NDArray[Any]) -> U8:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class Spool:
    """A section that grows while others do: in memory at first, then in a scratch file."""

    LIMIT = 4 << 20
    """Bytes kept in memory. A merge has ten spools, so it needs at most ten times as much."""

    def __init__(self, scratch: Callable[[], BinaryIO]) -> None:
        self._scratch = scratch
        self._file: BinaryIO | None = None
        self._parts: list[bytes] = []
        self._held = 0
        self.n_bytes = 0

    def write(self, array: npt.NDArray[Any] | bytes) -> None:
        data = array if isinstance(array, bytes) else array.tobytes()
        self._parts.append(data)
        self._held += len(data)
        self.n_bytes += len(data)
        if self._held > self.LIMIT:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = self._scratch()
            for part in self._parts:
                view = memoryview(part)
                while view:
                    view = view[self._file.write(view) :]
        except OSError as error:
            raise storage_error("scratch file", error) from error
        self._parts.clear()
        self._held = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield all bytes, once; the spool is closed afterwards."""
        if self._file is not None:
            self._file.seek(0)
            while part := self._file.read(_STEP):
                yield part
        yield from self._parts
        self.close()

    def close(self) -> None:
        self._parts.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


class Entry(NamedTuple):
    offset: int
    length: int
    crc: int


class Sections:
    """A container that was mapped; its header, table and footer are checked when it is made.

    Raises: CorruptionError naming the file and the byte.
    """

    def __init__(self, name: str, data: U8, crc: int | None = None) -> None:
        """`crc`: the footer's checksum as the manifest has it; None: any sound footer."""
        self.name = name
        self.data = data
        self._entries: dict[tuple[int, int], Entry] = {}
        if len(data) < len(HEADER) + FOOTER_SIZE:
            raise CorruptionError(name, 0, f"{len(data)} bytes are too few for a segment")
        if data[: len(HEADER)].tobytes() != HEADER:
            raise CorruptionError(name, 0, "not the header of a segment of this version")
        self._read_table(crc)

    def _read_table(self, crc: int | None) -> None:
        at = len(self.data) - FOOTER_SIZE
        footer = self.data[at:].tobytes()
        magic, version, n_sections, offset, table_crc, footer_crc = _FOOTER.unpack(footer)
        if magic != MAGIC or version != VERSION or checksum(footer[:-4]) != footer_crc:
            raise CorruptionError(self.name, at, "the footer is damaged")
        if crc is not None and crc != footer_crc:
            raise CorruptionError(self.name, at, "not the segment that the manifest names")
        if offset + n_sections * _ENTRY.size != at:
            raise CorruptionError(self.name, at, "the table is not where the footer says")
        table = self.data[offset:at].tobytes()
        if checksum(table) != table_crc:
            raise CorruptionError(self.name, offset, "the table of sections is damaged")
        expected = len(HEADER)
        for kind, field, start, length, section_crc, _ in _ENTRY.iter_unpack(table):
            if start != expected or (kind, field) in self._entries:
                raise CorruptionError(self.name, offset, "sections overlap or leave a hole")
            self._entries[kind, field] = Entry(start, length, section_crc)
            expected = -(-(start + length) // ALIGNMENT) * ALIGNMENT
        if expected != offset:
            raise CorruptionError(self.name, offset, "sections overlap or leave a hole")

    def damages(
        self, pace: Callable[[int], None] = lambda n_bytes: None
    ) -> Iterator[CorruptionError]:
        """Read every section; yield those whose checksum is wrong. `pace` is called with the bytes
        that were read since the last call."""
        for (kind, field), entry in self._entries.items():
            end = -(-(entry.offset + entry.length) // ALIGNMENT) * ALIGNMENT
            crc = 0
            for at in range(entry.offset, end, PACED_BYTES):
                part = self.data[at : min(at + PACED_BYTES, end)]
                crc = checksum(part, crc)
                pace(len(part))
            if crc != entry.crc:
                what = _name(kind) + (f" of field {field}" if field != NO_FIELD else "")
                yield CorruptionError(self.name, entry.offset, f"checksum of {what} is wrong")

    def verify(self, pace: Callable[[int], None] = lambda n_bytes: None) -> None:
        """Read every section. Raises: CorruptionError for the first with a wrong checksum."""
        for damage in self.damages(pace):
            raise damage

    def has(self, kind: Kind, field: int = NO_FIELD) -> bool:
        return (kind, field) in self._entries

    def offset(self, kind: Kind, field: int = NO_FIELD) -> int:
        """Return where the section begins in the file; 0 where there is none."""
        entry = self._entries.get((kind, field))
        return entry.offset if entry is not None else 0

    def length(self, kind: Kind, field: int = NO_FIELD) -> int:
        """Return how many bytes the section has; 0 where there is none."""
        entry = self._entries.get((kind, field))
        return entry.length if entry is not None else 0

    def names(self) -> list[tuple[int, int]]:
        """Return (kind, field) of every section, also of kinds that we do not know."""
        return list(self._entries)

    def array(
        self, kind: Kind, dtype: npt.DTypeLike, field: int = NO_FIELD, n: int | None = None
    ) -> npt.NDArray[Any]:
        """Return a section as an array in the mapped file. `n`: how many items it must have.

        Raises: CorruptionError where it is not there or of another length.
        """
        entry = self._entries.get((kind, field))
        if entry is None:
            raise CorruptionError(self.name, 0, f"there is no section {kind.name.lower()}")
        size = np.dtype(dtype).itemsize
        if entry.length % size or (n is not None and entry.length != n * size):
            reason = f"section {kind.name.lower()} has {entry.length} bytes"
            raise CorruptionError(self.name, entry.offset, reason)
        return self.data[entry.offset : entry.offset + entry.length].view(dtype)


def _name(kind: int) -> str:
    return Kind(kind).name.lower() if kind in Kind._value2member_map_ else f"section {kind}"
