"""Stored documents by key."""

from __future__ import annotations

from typing import NamedTuple

from index.searcher import Searcher


class Document(NamedTuple):
    key: bytes
    version: int
    offset: int
    """Its place in the log of its shard."""
    shard: int
    source: bytes
    """JSON text, as it came."""


def get_documents(searcher: Searcher, keys: list[str]) -> list[Document | None]:
    """Return the newest live document of each key. Any thread."""
    return [_get_document(searcher, key.encode(errors="surrogatepass")) for key in keys]


def _get_document(searcher: Searcher, key: bytes) -> Document | None:
    found = searcher.get(key)
    if found is None:
        return None
    view, doc_id = found
    reader = view.reader
    return Document(
        key=key,
        version=reader.version(doc_id),
        offset=reader.offset(doc_id),
        shard=view.shard,
        source=reader.source(doc_id),
    )
