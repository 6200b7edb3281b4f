"""Sources of documents: blocks of some kilobytes, each one zstandard frame.

A block holds u32[n + 1] starts, then the sources of its n documents one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import compress
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import zstandard

from index.errors import CorruptionError, StorageError
from index.format import NO_FIELD, Kind, Section, Sections, section
from index.reader import U8

CACHED_BLOCKS = 8
"""Blocks each segment keeps unpacked: neighbouring hits are fetched one after the other."""

LARGEST_CACHED = 64 << 10
"""Packed bytes of a block; a larger one holds a single large source and is not kept unpacked."""

SMALLEST_COPIED = 8 << 10
"""A merge packs smaller blocks again, together with their neighbours."""

MAX_BLOCK_BYTES = 1 << 31
"""A frame that claims more is damaged."""

_decompressors: list[zstandard.ZstdDecompressor] = []
"""Idle ones. One serves one call at a time, so a caller takes it out and puts it back."""


class Frame(NamedTuple):
    """A block that is packed already, of another segment."""

    n_docs: int
    data: U8


@runtime_checkable
class PackedSources(Protocol):
    """A draft that has whole blocks of sources: they are copied, not packed again."""

    def packed_sources(self) -> Iterator[bytes | Frame]:
        """Yield every source once, alone or in a frame, in order of doc ids."""


def encode_sources(
    sources: Iterable[bytes | Frame], n_docs: int, block_bytes: int, level: int
) -> Iterator[Section]:
    """Yield the sections for the sources of documents 0 .. n_docs - 1, in their order; each
    section is to be read to its end before the next one is taken.

    Raises: StorageError where there are not `n_docs` of them.
    """
    starts, docs = [0], [0]

    def frames() -> Iterator[U8 | bytes]:
        # The content size in each frame bounds what unpacking may allocate.
        compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
        for block in _blocks(sources, block_bytes):
            frame = block.data if isinstance(block, Frame) else compressor.compress(_pack(block))
            starts.append(starts[-1] + len(frame))
            docs.append(docs[-1] + (block.n_docs if isinstance(block, Frame) else len(block)))
            yield frame

    yield Section(Kind.SOURCES, NO_FIELD, frames())
    if docs[-1] != n_docs:
        raise StorageError(f"{docs[-1]} sources for {n_docs} documents")
    yield section(Kind.SOURCE_BLOCKS, np.array(starts, np.uint64))
    yield section(Kind.SOURCE_DOCS, np.array(docs, np.uint32))


def _blocks(sources: Iterable[bytes | Frame], block_bytes: int) -> Iterator[list[bytes] | Frame]:
    block: list[bytes] = []
    size = 0
    for source in sources:
        if isinstance(source, Frame):
            if block:
                yield block
                block, size = [], 0
            yield source
            continue
        block.append(source)
        size += len(source)
        if size >= block_bytes:
            yield block
            block, size = [], 0
    if block:
        yield block


def _pack(block: list[bytes]) -> bytes:
    starts = np.zeros(len(block) + 1, np.uint32)
    np.cumsum(np.fromiter(map(len, block), np.uint32, len(block)), out=starts[1:])
    return b"".join([starts.tobytes(), *block])


class Stored:
    """Mapped sources. Thread rule: any thread."""

    def __init__(self, sections: Sections, n_docs: int) -> None:
        """Raises: CorruptionError where the sections do not fit together."""
        self._docs = sections.array(Kind.SOURCE_DOCS, np.uint32)
        starts = sections.array(Kind.SOURCE_BLOCKS, np.uint64, n=len(self._docs))
        frames = sections.array(Kind.SOURCES, np.uint8)
        self._starts, self._frames = starts, frames
        self._n_docs = n_docs
        self.n_blocks = len(self._docs) - 1
        offset = sections.offset(Kind.SOURCES)
        if self.n_blocks < 0 or self._docs[-1] != n_docs or starts[-1] != len(frames):
            raise CorruptionError(sections.name, offset, "sources and their table do not agree")
        name, docs = sections.name, self._docs

        # The cache must not refer to self: a segment is closed when its last reference goes.
        @lru_cache(maxsize=CACHED_BLOCKS)
        def unpack(block: int) -> tuple[memoryview, list[int]]:
            start, end = int(starts[block]), int(starts[block + 1])
            n = int(docs[block + 1]) - int(docs[block])
            return _unpack(frames[start:end], n, name, offset + start)

        self._unpack = unpack

    def source(self, doc_id: int) -> bytes:
        """Raises: CorruptionError where its block cannot be unpacked."""
        if not 0 <= doc_id < self._n_docs:
            raise IndexError(f"document {doc_id} of {self._n_docs}")
        block = int(np.searchsorted(self._docs, doc_id, side="right")) - 1
        n_bytes = int(self._starts[block + 1]) - int(self._starts[block])
        unpack = self._unpack if n_bytes <= LARGEST_CACHED else self._unpack.__wrapped__
        text, starts = unpack(block)
        at = doc_id - int(self._docs[block])
        return bytes(text[starts[at] : starts[at + 1]])

    def packed(self, kept: npt.NDArray[np.bool_]) -> Iterator[bytes | Frame]:
        """Yield the sources of the kept documents: as frames where a whole block is kept, unless
        it is so small that it had better be joined to another. The cache stays as it is."""
        frames, bounds = self._frames, self._docs.tolist()
        starts = self._starts.tolist()
        for block in range(self.n_blocks):
            of_block = kept[bounds[block] : bounds[block + 1]]
            frame = frames[starts[block] : starts[block + 1]]
            if of_block.all() and zstandard.frame_content_size(frame.data) >= SMALLEST_COPIED:
                yield Frame(len(of_block), frame)
            elif of_block.any():
                yield from compress(self._sources_of(block), of_block.tolist())

    def all(self) -> Iterator[bytes]:
        """Yield every source in order of doc ids; the cache stays as it is."""
        for block in range(self.n_blocks):
            yield from self._sources_of(block)

    def _sources_of(self, block: int) -> Iterator[bytes]:
        text, starts = self._unpack.__wrapped__(block)
        for at in range(len(starts) - 1):
            yield bytes(text[starts[at] : starts[at + 1]])


def _unpack(frame: U8, n_docs: int, name: str, offset: int) -> tuple[memoryview, list[int]]:
    """Return (the sources, their starts) of one block."""
    try:
        decompressor = _decompressors.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(frame.data) > MAX_BLOCK_BYTES:
            raise CorruptionError(name, offset, "a block of sources claims to be too large")
        data = decompressor.decompress(frame.data)
    except zstandard.ZstdError as error:
        raise CorruptionError(name, offset, f"a block of sources: {error}") from None
    finally:
        _decompressors.append(decompressor)
    head = 4 * (n_docs + 1)
    if len(data) < head:
        raise CorruptionError(name, offset, "a block of sources is too short")
    starts = np.frombuffer(data, np.uint32, n_docs + 1)
    if starts[-1] != len(data) - head or np.any(starts[1:] < starts[:-1]):
        raise CorruptionError(name, offset, "a block of sources is not as long as it says")
    return memoryview(data)[head:], starts.tolist()
