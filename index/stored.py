"""Sources of documents: blocks of some kilobytes, each one zstandard frame.

A block holds u32[n + 1] starts, then the sources of its n documents one after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import compress, pairwise
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import zstandard

from index.draft import Run
from index.errors import CorruptionError, StorageError
from index.format import NO_FIELD, Kind, Section, Sections, section
from index.kernels.gather import cut_blocks, pack_blocks
from index.reader import I64, U8, U32

CACHED_BLOCKS = 8
"""Blocks each segment keeps unpacked: neighbouring hits are fetched one after the other."""

LARGEST_CACHED = 64 << 10
"""Packed bytes of a block; a larger one holds a single large source and is not kept unpacked."""

SMALLEST_COPIED = 8 << 10
"""A merge packs smaller blocks again, together with their neighbours."""

LARGEST_RUN = 1 << 20
"""Bytes that are packed, or copied by a merge, in one go."""

MAX_BLOCK_BYTES = 1 << 31
"""A frame that claims more is damaged."""

_decompressors: list[zstandard.ZstdDecompressor] = []
"""Idle ones. One serves one call at a time, so a caller takes it out and puts it back."""


class Frames(NamedTuple):
    """Blocks that are packed already, of another segment, one after the other."""

    data: U8
    ends: I64
    """Where each ends in `data`."""
    n_docs: I64
    """Of each."""


@runtime_checkable
class PackedSources(Protocol):
    """A draft that has whole blocks of sources: they are copied, not packed again."""

    def packed_sources(self) -> Iterator[bytes | Frames]:
        """Yield every source once, alone or in a frame, in order of doc ids."""


def encode_sources(
    sources: Iterable[bytes | Run | Frames], n_docs: int, block_bytes: int, level: int
) -> Iterator[Section]:
    """Yield the sections for the sources of documents 0 .. n_docs - 1, in their order; each
    section is to be read to its end before the next one is taken.

    Raises: StorageError where there are not `n_docs` of them.
    """
    ends, counts = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
    n_bytes = 0

    def frames() -> Iterator[U8 | bytes]:
        nonlocal n_bytes
        # The content size in each frame bounds what unpacking may allocate.
        compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
        room = np.empty(0, np.uint8)
        for part in _parts(sources):
            if isinstance(part, Run):
                if len(room) < (wanted := _room_for(part)):
                    room = np.empty(wanted, np.uint8)
                part = _compressed(part, block_bytes, compressor, room)
            ends.append(n_bytes + part.ends)
            counts.append(part.n_docs)
            n_bytes += len(part.data)
            yield part.data

    yield Section(Kind.SOURCES, NO_FIELD, frames())
    docs = np.cumsum(np.concatenate(counts))
    if docs[-1] != n_docs:
        raise StorageError(f"{docs[-1]} sources for {n_docs} documents")
    yield section(Kind.SOURCE_BLOCKS, np.concatenate(ends).astype(np.uint64))
    yield section(Kind.SOURCE_DOCS, docs.astype(np.uint32))


def _parts(sources: Iterable[bytes | Run | Frames]) -> Iterator[Run | Frames]:
    """Yield what was packed already as it is, all else in runs."""
    waiting: list[bytes] = []
    size = 0
    for source in sources:
        if isinstance(source, bytes):
            waiting.append(source)
            size += len(source)
            if size >= LARGEST_RUN:
                yield Run.of(waiting)
                waiting, size = [], 0
            continue
        if waiting:
            yield Run.of(waiting)
            waiting, size = [], 0
        if isinstance(source, Frames):
            yield source
        else:
            yield from _pieces(source)
    if waiting:
        yield Run.of(waiting)


def _pieces(run: Run) -> Iterator[Run]:
    """Yield a long run in pieces of some blocks."""
    bounds = np.empty(len(run.starts), np.int64)
    n = cut_blocks(run.starts, LARGEST_RUN, bounds)
    for begin, end in pairwise(bounds[:n].tolist()):
        yield Run(run.blob, run.starts[begin : end + 1])


def _room_for(run: Run) -> int:
    """Return the most bytes that a run takes in blocks, before they are compressed."""
    return int(run.starts[-1] - run.starts[0]) + 8 * len(run.starts)


def _compressed(
    run: Run, block_bytes: int, compressor: zstandard.ZstdCompressor, room: U8
) -> Frames:
    """Return a run in blocks of as few sources as make `block_bytes`. `room`: see `_room_for`;
    memory that was used before costs less than new memory."""
    bounds = np.empty(len(run.starts), np.int64)
    bounds = bounds[: cut_blocks(run.starts, block_bytes, bounds)]
    n_docs = np.diff(bounds)
    sizes = np.diff(run.starts[bounds]) + 4 * (n_docs + 1)
    pack_blocks(run.blob, run.starts, bounds, room)
    places = [0, *np.cumsum(sizes).tolist()]
    data = room.data
    frames = [compressor.compress(data[begin:end]) for begin, end in pairwise(places)]
    ends = np.cumsum(np.fromiter(map(len, frames), np.int64, len(frames)))
    return Frames(np.frombuffer(b"".join(frames), np.uint8), ends, n_docs)


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
        is_sound = self.n_blocks >= 0 and self._docs[-1] == n_docs and starts[-1] == len(frames)
        if not is_sound or not (_rise(starts) and _rise(self._docs)):
            raise CorruptionError(sections.name, offset, "sources and their table do not agree")
        name, docs = sections.name, self._docs
        self._name, self._offset = name, offset

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

    def packed(self, kept: npt.NDArray[np.bool_]) -> Iterator[bytes | Frames]:
        """Yield the sources of the kept documents: as frames where whole blocks are kept, unless
        they are so small that they had better be joined to others. The cache stays as it is."""
        if self.n_blocks == 0:
            return
        bounds = self._docs.astype(np.int64)
        is_copied = np.minimum.reduceat(kept, bounds[:-1]) & self._are_large()
        edges = np.flatnonzero(is_copied[1:] != is_copied[:-1]) + 1
        for first, last in pairwise([0, *edges.tolist(), self.n_blocks]):
            if is_copied[first]:
                yield from self._runs(first, last, bounds)
                continue
            for block in range(first, last):
                of_block = kept[bounds[block] : bounds[block + 1]]
                if of_block.any():
                    yield from compress(self._sources_of(block), of_block.tolist())

    def _are_large(self) -> npt.NDArray[np.bool_]:
        """Return which blocks are large enough to be copied. Their sizes are read from the heads
        of the frames all at once: a call for each would hold up searches."""
        begins = self._starts[:-1].astype(np.int64)
        sizes = np.diff(self._starts).astype(np.int64)
        heads = self._frames[np.minimum(begins[:, None] + np.arange(4, 7), len(self._frames) - 1)]
        # RFC 8878, 3.1.1.1: bits 6 and 7 of the descriptor tell how long the content size is,
        # bit 5 that it follows at once
        length = heads[:, 0] >> 6
        two_bytes = heads[:, 1].astype(np.int64) + 256 * heads[:, 2].astype(np.int64) + 256
        is_known = (heads[:, 0] & 0x20 != 0) & (sizes > 6)
        is_large: npt.NDArray[np.bool_] = (length > 1) | (
            (length == 1) & (two_bytes >= SMALLEST_COPIED)
        )
        for block in np.flatnonzero(~is_known).tolist():
            frame = self._frames[begins[block] : begins[block] + sizes[block]]
            is_large[block] = self._content_size(frame, begins[block]) >= SMALLEST_COPIED
        return is_large

    def _content_size(self, frame: U8, begin: int) -> int:
        try:
            return int(zstandard.frame_content_size(frame.data))
        except zstandard.ZstdError as error:
            reason = f"a block of sources: {error}"
            raise CorruptionError(self._name, self._offset + int(begin), reason) from None

    def _runs(self, first: int, last: int, bounds: I64) -> Iterator[Frames]:
        """Yield blocks first .. last - 1 as they are, some LARGEST_RUN bytes at a time."""
        starts = self._starts[first : last + 1].astype(np.int64)
        at, end = 0, last - first
        while at < end:
            stop = int(np.searchsorted(starts, starts[at] + LARGEST_RUN, side="right")) - 1
            stop = min(max(stop, at + 1), end)
            data = self._frames[starts[at] : starts[stop]]
            docs = np.diff(bounds[first + at : first + stop + 1])
            yield Frames(data, starts[at + 1 : stop + 1] - starts[at], docs)
            at = stop

    def all(self) -> Iterator[bytes]:
        """Yield every source in order of doc ids; the cache stays as it is."""
        for block in range(self.n_blocks):
            yield from self._sources_of(block)

    def readable(self) -> Iterator[tuple[int, int]]:
        """Unpack every block, yield how many sources it holds and how many bytes it takes.

        Raises: CorruptionError at the first that cannot be unpacked."""
        starts, docs = self._starts.tolist(), self._docs.tolist()
        offset = self._offset
        for block in range(self.n_blocks):
            start, end, n = starts[block], starts[block + 1], docs[block + 1] - docs[block]
            _unpacked(self._frames[start:end], n, self._name, offset + start)
            yield n, end - start

    def _sources_of(self, block: int) -> Iterator[bytes]:
        text, starts = self._unpack.__wrapped__(block)
        for at in range(len(starts) - 1):
            yield bytes(text[starts[at] : starts[at + 1]])


def _rise(numbers: npt.NDArray[Any]) -> bool:
    return numbers[0] == 0 and bool((numbers[1:] > numbers[:-1]).all())


def _unpack(frame: U8, n_docs: int, name: str, offset: int) -> tuple[memoryview, list[int]]:
    """Return (the sources, their starts) of one block."""
    data, starts = _unpacked(frame, n_docs, name, offset)
    return memoryview(data)[4 * (n_docs + 1) :], starts.tolist()


def _unpacked(frame: U8, n_docs: int, name: str, offset: int) -> tuple[bytes, U32]:
    """Return the bytes of one block and the starts in it. Raises: CorruptionError."""
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
    if starts[-1] != len(data) - head or bool((starts[1:] < starts[:-1]).any()):
        raise CorruptionError(name, offset, "a block of sources is not as long as it says")
    return data, starts
