"""One searchable unit of a shard as the engine holds it: a reader, and which documents live.

A segment and a memtable never forget a document by themselves: an upsert or delete clears the
older version's bit here. Bits are copied before they are cleared, so that a view handed out
earlier keeps its own moment.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from index.merge_policy import SegmentSize
from index.reader import I64, U32, U64, FieldStats, Reader, View

_ONE = np.uint64(1)


def full_bitset(n_docs: int) -> U64:
    """Return a bitset with the bits 0 .. n_docs - 1 set."""
    words = np.full((n_docs + 63) // 64, np.iinfo(np.uint64).max, np.uint64)
    if n_docs % 64:
        words[-1] = (_ONE << np.uint64(n_docs % 64)) - _ONE
    return words


def set_docs(words: U64) -> U32:
    """Return the doc ids whose bits are set, rising."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).astype(np.uint32)


def is_set(words: U64 | None, doc_id: int) -> bool:
    """Return whether the bit is set; None stands for all set."""
    return words is None or bool((int(words[doc_id >> 6]) >> (doc_id & 63)) & 1)


def clear_docs(words: U64 | None, n_docs: int, doc_ids: U32) -> U64:
    """Return a copy of `words` with the bits of `doc_ids` cleared (None: all set)."""
    copy = full_bitset(n_docs) if words is None else words.copy()
    ids = doc_ids.astype(np.uint64)
    np.bitwise_and.at(
        copy, (ids >> np.uint64(6)).astype(np.int64), ~(_ONE << (ids & np.uint64(63)))
    )
    return copy


def grow_bitset(words: U64, old_n_docs: int, n_docs: int) -> U64:
    """Return a copy for `n_docs` documents in which the ones from `old_n_docs` on are set."""
    grown = full_bitset(n_docs)
    kept = full_bitset(old_n_docs)
    grown[: len(kept)] &= words | ~kept
    return grown


def count_set(words: U64) -> int:
    return int(np.bitwise_count(words).sum())


class LiveStats(dict[int, FieldStats]):
    """Statistics over the live documents of one reader; a field's are made when first asked for."""

    def __init__(self, reader: Reader, alive: U64 | None, text: dict[int, FieldStats]) -> None:
        super().__init__(text)
        self._reader = reader
        self._alive = alive

    def __missing__(self, field_no: int) -> FieldStats:
        stats = live_stats(self._reader, self._alive, field_no)
        self[field_no] = stats
        return stats


def live_stats(reader: Reader, alive: U64 | None, field_no: int) -> FieldStats:
    """Count documents and tokens (text) or values (anything else) of the live documents."""
    if alive is None:
        return reader.field_stats(field_no)
    lengths = reader.lengths(field_no)
    if lengths is not None:
        counts = lengths[set_docs(alive)]
        return FieldStats(int(np.count_nonzero(counts)), int(counts.sum(dtype=np.int64)))
    present = reader.present(field_no)
    if present is None:
        return FieldStats(0, 0)
    living = present & alive
    n_docs = count_set(living)
    column = reader.column(field_no)
    if column is None or column.starts is None:
        return FieldStats(n_docs, n_docs)
    docs = set_docs(living)
    return FieldStats(n_docs, int((column.starts[docs + 1] - column.starts[docs]).sum()))


class Part:
    """A reader with its liveness. Apply thread only; `view` is what others get."""

    def __init__(
        self,
        reader: Reader,
        *,
        name: str,
        shard: int,
        alive: U64 | None = None,
        n_bytes: int = 0,
        tombstones: dict[bytes, int] | None = None,
    ) -> None:
        self.name = name
        self.shard = shard
        self.reader = reader
        self.alive = alive
        self.n_bytes = n_bytes
        self.set_durable(alive)
        self.tombstones = tombstones if tombstones is not None else {}
        self._text = {
            field_no: live_stats(reader, alive, field_no)
            for field_no in reader.field_nos
            if reader.norms(field_no) is not None
        }
        self._make_view()

    def set_durable(self, alive: U64 | None) -> None:
        """Note which documents lived at the manifest's checkpoint. A merge may drop only what was
        dead then: a replayed partial update still needs the version that it changed."""
        self.durable = alive
        n_docs = self.reader.n_docs
        self.size = SegmentSize(
            self.n_bytes, n_docs, 0 if alive is None else n_docs - count_set(alive)
        )

    def _make_view(self) -> None:
        n_docs = self.reader.n_docs
        self.view = View(
            reader=self.reader,
            alive=self.alive,
            n_alive=n_docs if self.alive is None else count_set(self.alive),
            stats=LiveStats(self.reader, self.alive, self._text),
            shard=self.shard,
            segment=self.name,
        )

    def kill(self, doc_ids: Iterable[int]) -> None:
        """Clear the bits of documents that are alive."""
        docs = np.fromiter(doc_ids, np.uint32)
        self.alive = clear_docs(self.alive, self.reader.n_docs, docs)
        for field_no, stats in self._text.items():
            counts = self.reader.lengths_of(field_no, docs)
            if counts is None:
                continue
            self._text[field_no] = FieldStats(
                stats.n_docs - int(np.count_nonzero(counts)),
                stats.total_length - int(counts.sum(dtype=np.int64)),
            )
        self._make_view()

    def grow(self, reader: Reader) -> None:
        """Take a longer snapshot of the same memtable; its new documents are alive."""
        before = self.reader
        if self.alive is not None:
            self.alive = grow_bitset(self.alive, before.n_docs, reader.n_docs)
        for field_no in reader.field_nos:
            if reader.norms(field_no) is None:
                continue
            gained, had = reader.field_stats(field_no), before.field_stats(field_no)
            stats = self._text.get(field_no, FieldStats(0, 0))
            self._text[field_no] = FieldStats(
                stats.n_docs + gained.n_docs - had.n_docs,
                stats.total_length + gained.total_length - had.total_length,
            )
        self.reader = reader
        self._make_view()

    def are_alive(self, doc_ids: I64) -> npt.NDArray[np.bool_]:
        """Return which of the documents are alive."""
        if self.alive is None:
            return np.ones(len(doc_ids), np.bool_)
        ids = doc_ids.astype(np.uint64)
        bits: U64 = self.alive[ids >> np.uint64(6)] >> (ids & np.uint64(63)) & _ONE
        return bits.astype(np.bool_)


def carry_over(
    alive: U64 | None, since: U64 | None, doc_map: I64, out: U64 | None, n_out: int
) -> U64 | None:
    """Clear in `out` what died between `since` and `alive`; `doc_map`: old id -> new, -1 gone.

    This is how deletes that arrive while a flush or merge runs reach its output.
    """
    if alive is None or alive is since:
        return out
    before = full_bitset(len(doc_map)) if since is None else since
    died = doc_map[set_docs(before & ~alive)]
    died = died[died >= 0]
    return clear_docs(out, n_out, died.astype(np.uint32)) if len(died) else out
