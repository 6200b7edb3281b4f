"""From hits to what an answer shows of them: ids, scores, sources or parts of them."""

from __future__ import annotations

from typing import Any

import orjson

from index.query.highlight import Highlighter
from index.query.request import SearchRequest, SourceFilter
from index.query.source_filter import filter_fields
from index.query.stop import NEVER, Stop
from index.searcher import Hit, Searcher
from server.fields import field_values, sort_values

NODE = "tailrace"
"""The one node that answers, where OpenSearch names one of many."""


class HitWriter:
    """Writes the hits of one search in one index, in OpenSearch's shape.

    Once `stop` is set, what has to be worked out is left out: highlights and explanations.
    Fetches sources: any thread but the loop's is better where there are many.
    """

    def __init__(
        self, index: str, searcher: Searcher, request: SearchRequest, stop: Stop = NEVER
    ) -> None:
        self._index = index
        self._searcher = searcher
        self._request = request
        self._stop = stop
        self._highlighter: Highlighter | None = None
        if request.highlight is not None:
            self._highlighter = Highlighter(request, searcher.schema)

    def body(self, hit: Hit) -> dict[str, Any]:
        request, schema = self._request, self._searcher.schema
        view = self._searcher.views[hit.view_no]
        reader = view.reader
        body: dict[str, Any] = {"_index": self._index}
        if request.with_id:
            body["_id"] = reader.key(hit.doc_id).decode()
        body["_score"] = hit.score
        if request.version:
            body["_version"] = reader.version(hit.doc_id)
        if request.seq_no_primary_term:
            body |= {"_seq_no": reader.offset(hit.doc_id), "_primary_term": 1}
        marks = self._highlighter is not None and not self._stop[0]
        if request.source.enabled or request.fields or marks:
            source = reader.source(hit.doc_id)
            if request.source.enabled:
                body["_source"] = filter_source(source, request.source)
            if request.fields:
                values = field_values(orjson.loads(source), request.fields, schema)
                if values:
                    body["fields"] = values
            if marks and self._highlighter is not None:
                marked = self._highlighter.fragments(source)
                if marked:
                    body["highlight"] = marked
        if request.explain and not self._stop[0]:
            explanation = self._searcher.explain(request.query, hit.view_no, hit.doc_id)
            body |= {
                "_shard": f"[{self._index}][{view.shard}]",
                "_node": NODE,
                "_explanation": explanation.body(),
            }
        if hit.sort is not None:
            body["sort"] = sort_values(hit.sort, request.sort or (), schema)
        return body


def filter_source(source: bytes, keep: SourceFilter) -> Any:
    """Return the source as it came, or the part that `keep` keeps.

    The whole source is never parsed: its bytes go out as they are.
    """
    if keep.is_whole:
        return orjson.Fragment(source)
    return filter_fields(orjson.loads(source), keep)
