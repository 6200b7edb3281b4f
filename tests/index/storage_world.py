"""Documents as plain Python, the draft made from them, and a disk in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from hypothesis import strategies as st

from index.directory import FsDirectory
from index.draft import TermChunk
from index.errors import CorruptionError, FencedError, StorageError
from index.kernels.leaves import fill
from index.kernels.rows import BLOCK, CURSOR_WIDTH, ROW_WIDTH
from index.options import IndexOptions
from index.reader import Column
from index.segment import Segment, SegmentMeta, write_segment

TITLE, BODY, TAG, SIZE, PRICE = 0, 2, 3, 5, 6
TEXTS = (TITLE, BODY)


class NamedField(NamedTuple):
    no: int
    name: str
    type: str


FIELDS = [
    NamedField(TITLE, "title", "text"),
    NamedField(BODY, "body", "text"),
    NamedField(TAG, "tag", "keyword"),
    NamedField(SIZE, "size", "long"),
    NamedField(PRICE, "price", "double"),
]
KINDS: dict[int, Any] = {TAG: "ord", SIZE: "i64", PRICE: "f64"}


@dataclass
class Document:
    key: bytes
    version: int
    source: bytes
    texts: dict[int, list[bytes]] = field(default_factory=dict)
    """Of each text field its tokens; token i is at position 2 i."""
    values: dict[int, list[Any]] = field(default_factory=dict)


words = st.sampled_from([b"a", b"ab", b"abc", b"b", b"ba", b"\xc3\xa9", b"z" * 300, b"z" * 301])
texts = st.lists(words, max_size=6)
tags = st.lists(st.sampled_from([b"", b"red", b"green", b"gr\xc3\xbcn"]), max_size=3)
documents = st.builds(
    lambda number, version, source, title, body, tag, size, price: Document(
        key=b"k%d" % number,
        version=version,
        source=source,
        texts={no: tokens for no, tokens in [(TITLE, title), (BODY, body)] if tokens is not None},
        values={no: values for no, values in [(TAG, tag), (SIZE, size), (PRICE, price)] if values},
    ),
    st.integers(0, 9),
    st.integers(0, 99),
    st.binary(max_size=40),
    st.one_of(st.none(), texts),
    st.one_of(st.none(), texts),
    tags,
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
    st.lists(st.floats(allow_nan=False), max_size=2),
)

Postings = dict[int, list[int]]
"""Doc id -> positions; of a field without positions they are empty."""


def postings_of(docs: list[Document]) -> dict[tuple[int, bytes], Postings]:
    """Return (field, term) -> postings, in the order of the dictionary."""
    found: dict[tuple[int, bytes], Postings] = {}
    for doc_id, doc in enumerate(docs):
        for no, tokens in doc.texts.items():
            for at, token in enumerate(tokens):
                found.setdefault((no, token), {}).setdefault(doc_id, []).append(2 * at)
        for tag in doc.values.get(TAG, []):
            found.setdefault((TAG, tag), {})[doc_id] = []
    return dict(sorted(found.items()))


def bits(flags: list[bool]) -> np.ndarray:
    words = np.zeros((len(flags) + 63) // 64, np.uint64)
    for doc_id, flag in enumerate(flags):
        if flag:
            words[doc_id >> 6] |= np.uint64(1) << np.uint64(doc_id & 63)
    return words


def bits_set(words: np.ndarray | None, n_docs: int) -> list[bool]:
    if words is None:
        return [True] * n_docs
    return [bool(int(words[doc_id >> 6]) >> (doc_id & 63) & 1) for doc_id in range(n_docs)]


def starts(counts: list[int], dtype: Any = np.int64) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)]).astype(dtype)


def chunk_of(terms: list[tuple[tuple[int, bytes], Postings]]) -> TermChunk:
    flat = [(doc, positions) for _, postings in terms for doc, positions in postings.items()]
    return TermChunk(
        field_nos=np.array([no for (no, _), _ in terms], np.uint32),
        term_starts=starts([len(term) for (_, term), _ in terms]),
        blob=np.frombuffer(bytearray(b"".join(term for (_, term), _ in terms)), np.uint8),
        posting_starts=starts([len(postings) for _, postings in terms]),
        docs=np.array([doc for doc, _ in flat], np.uint32),
        tfs=np.array([max(len(positions), 1) for _, positions in flat], np.uint32),
        position_starts=starts([sum(map(len, postings.values())) for _, postings in terms]),
        positions=np.array([p for _, positions in flat for p in positions], np.uint32),
    )


class ListDraft:
    """A `SegmentDraft` made by hand. Document i is at offset first_offset + 10 i."""

    def __init__(
        self,
        docs: list[Document],
        first_offset: int = 0,
        tombstones: dict[bytes, int] | None = None,
        chunk_terms: int = 3,
    ) -> None:
        self.docs = docs
        self._first_offset = first_offset
        self._tombstones = tombstones or {}
        self._chunk_terms = chunk_terms

    @property
    def n_docs(self) -> int:
        return len(self.docs)

    def term_chunks(self) -> Iterator[TermChunk]:
        terms = list(postings_of(self.docs).items())
        for at in range(0, len(terms), self._chunk_terms):
            yield chunk_of(terms[at : at + self._chunk_terms])

    def lengths(self) -> dict[int, np.ndarray]:
        return {
            no: np.array([len(doc.texts.get(no, [])) for doc in self.docs], np.uint32)
            for no in TEXTS
        }

    def text_present(self) -> dict[int, np.ndarray]:
        return {no: bits([no in doc.texts for doc in self.docs]) for no in TEXTS}

    def columns(self) -> dict[int, Column]:
        return {no: self._column(no) for no in KINDS}

    def _column(self, no: int) -> Column:
        values = [doc.values.get(no, []) for doc in self.docs]
        dtype: Any = {"i64": np.int64, "f64": np.float64, "ord": np.uint32}[KINDS[no]]
        if no == TAG:
            terms = [term for field_no, term in postings_of(self.docs) if field_no == TAG]
            values = [[terms.index(tag) for tag in of_doc] for of_doc in values]
        flat = np.array([value for of_doc in values for value in of_doc], dtype)
        present = bits([bool(of_doc) for of_doc in values])
        return Column(KINDS[no], flat, present, starts([len(v) for v in values], np.uint32))

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        keys = [doc.key for doc in self.docs]
        return np.frombuffer(bytearray(b"".join(keys)), np.uint8), starts([len(k) for k in keys])

    def versions(self) -> np.ndarray:
        return np.array([doc.version for doc in self.docs], np.int64)

    def offsets(self) -> np.ndarray:
        return np.arange(len(self.docs), dtype=np.int64) * 10 + self._first_offset

    def sources(self) -> Iterator[bytes]:
        for doc in self.docs:
            yield doc.source

    def tombstones(self) -> dict[bytes, int]:
        return self._tombstones


class MemoryFile:
    """An `AppendFile` of a `MemoryDirectory`. What it wrote is in `files` at once."""

    def __init__(self, directory: MemoryDirectory, name: str) -> None:
        self._directory = directory
        self._name = name
        self._last = b""

    @property
    def n_bytes(self) -> int:
        return len(self._data())

    def _data(self) -> bytes:
        # Readable when its name is gone.
        self._last = self._directory.files.get(self._name, self._last)
        return self._last

    def read(self, position: int, n_bytes: int) -> bytes:
        return self._data()[position : position + n_bytes]

    def write(self, position: int, data: Any) -> None:
        self._directory.calls.append(("append", self._name))
        new = bytes(memoryview(data))
        old = self._data().ljust(position, b"\0")
        self._replace(old[:position] + new + old[position + len(new) :])

    def truncate(self, n_bytes: int) -> None:
        self._directory.calls.append(("truncate", self._name))
        self._replace(self._data()[:n_bytes].ljust(n_bytes, b"\0"))

    def _replace(self, data: bytes) -> None:
        self._last = data
        if self._name in self._directory.files:
            self._directory.files[self._name] = data

    def sync(self) -> None:
        self._directory.calls.append(("sync", self._name))

    def close(self) -> None:
        if self._directory.locks.get(self._name) is self:
            del self._directory.locks[self._name]


class MemoryDirectory:
    """A `Directory` in memory that can be damaged."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.calls: list[tuple[str, ...]] = []
        self.locks: dict[str, MemoryFile] = {}
        """The files that are open for appending."""
        self.capacity = 1 << 40

    def write_file(self, name: str, chunks: Any) -> int:
        if name in self.files:
            raise StorageError(f"{name}: File exists")
        self.calls.append(("write", name))
        self.files[name] = b"".join(bytes(memoryview(chunk)) for chunk in chunks)
        return len(self.files[name])

    def map(self, name: str) -> np.ndarray:
        return np.frombuffer(bytearray(self.read(name)), np.uint8)

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise CorruptionError(name, 0, "the file is not there")
        return self.files[name]

    def size(self, name: str) -> int:
        return len(self.read(name))

    def open_file(self, name: str) -> MemoryFile:
        self.read(name)
        return MemoryFile(self, name)

    def append_file(self, name: str) -> MemoryFile:
        if name in self.locks:
            raise StorageError(f"{name} is in use by this process")
        self.calls.append(("open", name))
        self.files.setdefault(name, b"")
        self.locks[name] = MemoryFile(self, name)
        return self.locks[name]

    def publish(self, temporary: str, name: str) -> None:
        self.calls.append(("publish", temporary, name))
        data = self.read(temporary)
        if name in self.files:
            raise FencedError(f"{name} is there already, made by another owner")
        self.files[name] = data
        del self.files[temporary]

    def rename(self, old: str, new: str) -> None:
        self.calls.append(("rename", old, new))
        self.read(old)
        self.files[new] = self.files.pop(old)

    def delete(self, name: str) -> None:
        self.calls.append(("delete", name))
        self.read(name)
        del self.files[name]

    def list(self) -> list[str]:
        return sorted(self.files)

    def sync(self) -> None:
        self.calls.append(("sync",))

    def scratch(self) -> BinaryIO:
        return io.BytesIO()

    def free_bytes(self) -> int:
        return self.capacity - sum(map(len, self.files.values()))

    def total_bytes(self) -> int:
        return self.capacity

    def flip(self, name: str, at: int, mask: int = 1) -> None:
        data = bytearray(self.files[name])
        data[at] ^= mask
        self.files[name] = bytes(data)


OPTIONS = IndexOptions(stored_block_bytes=64)


def write(
    directory: MemoryDirectory | FsDirectory, name: str, draft: Any, options: IndexOptions = OPTIONS
) -> SegmentMeta:
    return write_segment(directory, name, draft, FIELDS, options)


def write_and_open(draft: Any, name: str = "1.seg") -> Segment:
    directory = MemoryDirectory()
    return Segment.open(directory, write(directory, name, draft))


def read_postings(segment: Segment) -> dict[tuple[int, bytes], Postings]:
    """Read every posting back through the reader's protocol."""
    found: dict[tuple[int, bytes], Postings] = {}
    every = np.arange(segment.n_docs, dtype=np.uint32)
    for no, place in segment.terms.fields.items():
        for term_id in range(place.first, place.first + place.n_terms):
            docs, tfs = walk(segment, term_id)
            at, positions = segment.positions(term_id, every)
            assert segment.doc_freq(term_id) == len(docs)
            for doc, tf in zip(docs, tfs, strict=True):
                mine = positions[at[doc] : at[doc + 1]].tolist()
                assert tf == max(len(mine), 1)
                found.setdefault((no, segment.term_bytes(term_id)), {})[doc] = mine
    return found


def walk(segment: Segment, term_id: int) -> tuple[list[int], list[int]]:
    """Return (doc ids, frequencies) of a term, through the kernels that a query uses."""
    row = np.zeros(ROW_WIDTH, np.int64)
    segment.leaf(term_id, row)
    cursor = np.zeros(CURSOR_WIDTH, np.int64)
    docs, tfs = np.zeros((2, BLOCK), np.uint32)
    found: list[tuple[int, int]] = []
    while n := fill(row, cursor, docs, tfs):
        found += zip(docs[:n].tolist(), tfs[:n].tolist(), strict=True)
    return [doc for doc, _ in found], [tf for _, tf in found]


def values_of(segment: Segment, no: int, doc_id: int) -> list[Any]:
    """Return a document's values, keywords as bytes."""
    column = segment.column(no)
    if column is None:
        return []
    if column.starts is None:
        has = bits_set(column.present, segment.n_docs)[doc_id]
        found = column.values[doc_id : doc_id + has].tolist()
    else:
        found = column.values[column.starts[doc_id] : column.starts[doc_id + 1]].tolist()
    return [segment.ord_term(no, value) for value in found] if no == TAG else found
