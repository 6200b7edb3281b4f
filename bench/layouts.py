"""The same documents in both engines, in the two shapes that queries meet."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.corpus import Corpus, mapping_of
from bench.engines import BATCH_DOCS, UNBOUNDED, TailraceEngine, TantivyEngine
from bench.progress import say
from index.options import IndexOptions

N_COMMITS = 60
"""Of live indexing: memtables of ours, commits of tantivy's. One more is begun."""

CHUNK_DOCS = 50_000
HEAP_BYTES = 3_000_000_000
"""What tantivy may take to write one segment."""


class Layout(NamedTuple):
    name: str
    what: str
    ours: TailraceEngine
    theirs: TantivyEngine


def build_live(corpus: Corpus, folder: Path) -> Layout:
    """Index with flushes, commits and merges all along; a memtable is left over."""
    say(f"indexing {corpus.n_docs:,} documents live")
    n_docs = max(1, int(corpus.n_docs / (N_COMMITS + 0.5)))
    mapping = mapping_of(corpus.names)
    ours = TailraceEngine(folder / "live", mapping, IndexOptions(memtable_docs=n_docs))
    theirs = TantivyEngine(folder / "live-peer", mapping, ids="stored")
    batch_docs = min(BATCH_DOCS, max(1, n_docs // 4))
    for first in range(0, corpus.n_docs, n_docs):
        items = list(corpus.items(first, first + n_docs))
        ours.take(items, batch_docs)
        theirs.take(items)
        theirs.commit()
    ours.wait()
    theirs.wait()
    theirs.prepare()
    what = (
        f"Tailrace: {ours.n_segments} segments and a memtable of {ours.n_unflushed:,} documents, "
        f"what live indexing and its merges left. tantivy-py: {theirs.n_segments} segments after "
        f"as many commits ({N_COMMITS + 1}) and its merges."
    )
    return Layout("live", what, ours, theirs)


def build_single(corpus: Corpus, folder: Path) -> Layout:
    """Index into one segment each."""
    say(f"indexing {corpus.n_docs:,} documents into one segment")
    mapping = mapping_of(corpus.names)
    ours = TailraceEngine(folder / "single", mapping, UNBOUNDED)
    theirs = TantivyEngine(folder / "single-peer", mapping, ids="stored", heap_bytes=HEAP_BYTES)
    for first in range(0, corpus.n_docs, CHUNK_DOCS):
        items = list(corpus.items(first, first + CHUNK_DOCS))
        ours.take(items)
        theirs.take(items)
    ours.merge_all()
    theirs.settle()
    theirs.prepare()
    what = f"Tailrace: {ours.n_segments} segment. tantivy-py: {theirs.n_segments} segment."
    return Layout("single segment", what, ours, theirs)
