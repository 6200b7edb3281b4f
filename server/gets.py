"""Reading documents by their ids: which are wanted, and what is shown of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from index.errors import InvalidRequestError, TailraceError
from index.query.parse_json import parse_source_filter
from index.query.request import SourceFilter
from pipeline.node import Document, Index, Node
from server.bulk import read_key
from server.faults import UnsupportedError, error_cause
from server.hits import filter_source
from server.parameters import Parameters


def one_index(node: Node, name: str) -> Index:
    """Return the one index that a document's address names.

    Raises: IndexNotFoundError, InvalidRequestError where the name stands for several.
    """
    indexes = node.resolve(name)
    if len(indexes) != 1:
        raise InvalidRequestError(f"[{name}] stands for {len(indexes)} indexes, not for one")
    return indexes[0]


async def get_bodies(index: Index, wanted: list[tuple[str, SourceFilter]]) -> list[dict[str, Any]]:
    """Return documents as `GET _doc` shows them, all as of one moment."""
    documents = await index.get_many([key for key, _ in wanted])
    return [
        document_body(index.name, key, document, keep)
        for (key, keep), document in zip(wanted, documents, strict=True)
    ]


def document_body(
    index: str, key: str, document: Document | None, keep: SourceFilter
) -> dict[str, Any]:
    """Return one document as `GET _doc` shows it; `found` says whether it is there."""
    if document is None:
        return {"_index": index, "_id": key, "found": False}
    body: dict[str, Any] = {
        "_index": index,
        "_id": key,
        "_version": document.version,
        "_seq_no": document.offset,
        "_primary_term": 1,
        "found": True,
    }
    if keep.enabled:
        body["_source"] = filter_source(document.source, keep)
    return body


async def answer_mget(node: Node, wanted: list[Wanted]) -> list[dict[str, Any]]:
    """Return the documents of an `_mget` in its order, each index asked once."""
    docs: list[dict[str, Any] | None] = [None] * len(wanted)
    by_index: dict[str, list[int]] = {}
    for place, entry in enumerate(wanted):
        by_index.setdefault(entry.index, []).append(place)
    for name, places in by_index.items():
        try:
            index = one_index(node, name)
            bodies = await get_bodies(index, [(wanted[p].key, wanted[p].keep) for p in places])
        except TailraceError as error:
            failure = {"root_cause": [error_cause(error)], **error_cause(error)}
            bodies = [{"_index": name, "_id": wanted[p].key, "error": failure} for p in places]
        for place, body in zip(places, bodies, strict=True):
            docs[place] = body
    return [body for body in docs if body is not None]


def source_filter(parameters: Parameters) -> SourceFilter:
    """Return what `_source`, `_source_includes` and `_source_excludes` keep."""
    value = parameters.text("_source")
    enabled, includes = True, parameters.names("_source_includes") or []
    if value in {"true", "false", ""}:
        enabled = value != "false"
    elif value is not None:
        includes = [*includes, *(parameters.names("_source") or [])]
    excludes = parameters.names("_source_excludes") or []
    return SourceFilter(enabled, tuple(includes), tuple(excludes))


@dataclass(frozen=True, slots=True)
class Wanted:
    """One document of an `_mget`."""

    index: str
    key: str
    keep: SourceFilter


def parse_mget(body: dict[str, Any], index: str | None, keep: SourceFilter) -> list[Wanted]:
    """Return the documents that an `_mget` body asks for.

    Raises: InvalidRequestError, UnsupportedError.
    """
    unknown = set(body) - {"docs", "ids"}
    if unknown:
        raise InvalidRequestError(f"unknown key [{min(unknown)}] for _mget")
    entries = body.get("docs", body.get("ids"))
    if not isinstance(entries, list) or not entries:
        raise InvalidRequestError("no documents to get: [docs] or [ids] is missing")
    return [_parse_wanted(entry, index, keep) for entry in entries]


def _parse_wanted(entry: Any, index: str | None, keep: SourceFilter) -> Wanted:
    if not isinstance(entry, dict):
        entry = {"_id": entry}
    name = entry.get("_index", index)
    key = read_key(entry.get("_id"))
    if not isinstance(name, str) or key is None:
        raise InvalidRequestError("an entry of [docs] needs [_id], and [_index] or one in the path")
    unknown = set(entry) - {"_index", "_id", "_source", "routing", "_routing"}
    if unknown:
        raise UnsupportedError(f"[_mget] does not support [{min(unknown)}]")
    chosen = keep if "_source" not in entry else parse_source_filter(entry["_source"], "_source")
    return Wanted(name, key, chosen)
