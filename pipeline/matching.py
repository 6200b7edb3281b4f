"""What one batch means to one standing query: frames for what enters, changes and leaves.

The difference of two searches, before and after the batch, over the changed documents alone.
Thread rule: any thread; nothing here waits or keeps anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import orjson

from index.batch import Change
from index.query.ast import Query
from index.query.request import SearchRequest
from index.reader import View
from index.schema import Schema
from index.searcher import Searcher
from pipeline.subscription import Frame
from pipeline.tokens import Vector, encode_token

FRAME_BYTES = 150
"""What a frame takes beside its source."""


@dataclass(frozen=True, slots=True)
class LiveBatch:
    """The changes of one applied batch, and all shards' views right after it."""

    shard: int
    next_offset: int
    changes: list[Change]
    views: tuple[View, ...]
    view_no: int
    """Place in `views` of the one that holds the new documents."""
    published: float
    """Loop time."""


class SizedFrame(NamedTuple):
    frame: Frame
    n_bytes: int


class Matcher:
    """Matches one batch with any number of queries; searchers are made once for all of them."""

    def __init__(self, batch: LiveBatch, schema: Schema, now_ms: int) -> None:
        self._batch = batch
        self._schema = schema
        self._now_ms = now_ms
        self._searcher = Searcher(batch.views, schema, now_ms)
        self._old_searchers: dict[int, Searcher] = {}

    def match(self, query: Query, position: Vector) -> list[SizedFrame]:
        """Return the frames for a subscriber that has seen the log up to `position`, in log
        order. Of each key only the last change within the batch counts."""
        seen = position.get(self._batch.shard, 0)
        changes = [change for change in self._batch.changes if change.offset >= seen]
        if not changes:
            return []
        hits = self._find_hits(query, [change.new_doc for change in changes])
        left = self._find_left(query, [c for c in changes if c.new_doc not in hits])
        vector = dict(position)
        frames = []
        for change in changes:
            vector[self._batch.shard] = change.offset + 1
            score = hits.get(change.new_doc)
            if score is not None:
                frames.append(self._hit(change, score, encode_token(vector)))
            elif change.key in left:
                frames.append(_leave(change, encode_token(vector)))
        return frames

    def _find_hits(self, query: Query, new_docs: list[int]) -> dict[int, float]:
        docs = np.array(sorted(doc for doc in new_docs if doc >= 0), np.uint32)
        if not len(docs):
            return {}
        mask, scores = self._searcher.match_docs(query, self._batch.view_no, docs)
        return dict(zip(docs[mask].tolist(), scores[mask].tolist(), strict=True))

    def _find_left(self, query: Query, changes: list[Change]) -> set[bytes]:
        """Return the keys whose documents from before the batch match."""
        by_view: dict[int, tuple[View, dict[int, bytes]]] = {}
        for change in changes:
            if change.old is not None:
                view, doc_id = change.old
                by_view.setdefault(id(view), (view, {}))[1][doc_id] = change.key
        left: set[bytes] = set()
        for view, keys in by_view.values():
            docs = np.array(sorted(keys), np.uint32)
            mask, _ = self._old_searcher(view).match_docs(query, 0, docs)
            left.update(keys[doc_id] for doc_id in docs[mask].tolist())
        return left

    def _old_searcher(self, view: View) -> Searcher:
        searcher = self._old_searchers.get(id(view))
        if searcher is None:
            searcher = Searcher((view,), self._schema, self._now_ms)
            self._old_searchers[id(view)] = searcher
        return searcher

    def _hit(self, change: Change, score: float, token: str) -> SizedFrame:
        source = self._batch.views[self._batch.view_no].reader.source(change.new_doc)
        frame: Frame = {
            "type": "hit",
            "_id": change.key.decode(),
            "_score": score,
            "_source": orjson.loads(source),
            "token": token,
        }
        return SizedFrame(frame, FRAME_BYTES + len(change.key) + len(source))


def _leave(change: Change, token: str) -> SizedFrame:
    frame: Frame = {"type": "leave", "_id": change.key.decode(), "token": token}
    return SizedFrame(frame, FRAME_BYTES + len(change.key))


def take_snapshot(
    views: tuple[View, ...], schema: Schema, now_ms: int, query: Query, size: int, vector: Vector
) -> SizedFrame:
    """Return the snapshot frame of a query over `views`, which are the log up to `vector`."""
    result = Searcher(views, schema, now_ms).search(SearchRequest(query=query, size=size))
    hits = []
    n_bytes = FRAME_BYTES
    for hit in result.hits:
        reader = views[hit.view_no].reader
        source = reader.source(hit.doc_id)
        n_bytes += FRAME_BYTES + len(source)
        hits.append(
            {
                "_id": reader.key(hit.doc_id).decode(),
                "_score": hit.score,
                "_source": orjson.loads(source),
            }
        )
    frame: Frame = {
        "type": "snapshot",
        "hits": hits,
        "total": result.total,
        "token": encode_token(vector),
    }
    return SizedFrame(frame, n_bytes)
