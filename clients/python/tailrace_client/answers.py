"""What the server answers, as immutable values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of an answer. `raw` holds what has no attribute here."""

    index: str
    id: str
    score: float | None
    source: dict[str, Any]
    highlight: Mapping[str, list[str]] = field(default_factory=dict)
    sort: tuple[Any, ...] = ()
    raw: Json = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One answer to a search; iterates over its hits."""

    hits: list[Hit]
    total: int
    is_exact: bool
    """False where `total` is only a lower bound."""
    max_score: float | None
    took_ms: int
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True, slots=True)
class Document:
    """One stored document."""

    index: str
    id: str
    version: int
    source: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Written:
    """A write that is durable. A search with `after=token` sees it."""

    index: str
    id: str
    result: str
    """created, updated, deleted, noop or not_found."""
    version: int
    token: str | None


@dataclass(frozen=True, slots=True)
class BulkItem:
    """What became of one operation of a bulk."""

    op: str
    index: str
    id: str
    status: int
    result: str | None
    reason: str | None
    """Why it was refused; None where it was not."""
    type: str | None = None


@dataclass(frozen=True, slots=True)
class BulkResult:
    """What became of a bulk, in the order of its operations."""

    items: list[BulkItem]
    took_ms: int
    token: str | None

    @property
    def failed(self) -> list[BulkItem]:
        return [item for item in self.items if item.reason is not None]


def to_hit(raw: Json) -> Hit:
    return Hit(
        index=str(raw.get("_index", "")),
        id=str(raw["_id"]),
        score=raw.get("_score"),
        source=raw.get("_source") or {},
        highlight=raw.get("highlight", {}),
        sort=tuple(raw.get("sort", ())),
        raw=raw,
    )


def to_result(raw: Json) -> SearchResult:
    hits = raw["hits"]
    total = hits.get("total") or {"value": len(hits["hits"]), "relation": "gte"}
    return SearchResult(
        hits=[to_hit(hit) for hit in hits["hits"]],
        total=int(total["value"]),
        is_exact=total["relation"] == "eq",
        max_score=hits.get("max_score"),
        took_ms=int(raw.get("took", 0)),
        raw=raw,
    )


def to_document(raw: Json) -> Document:
    return Document(
        str(raw["_index"]), str(raw["_id"]), int(raw.get("_version", 0)), raw.get("_source") or {}
    )


def to_written(raw: Json) -> Written:
    return Written(
        index=str(raw["_index"]),
        id=str(raw["_id"]),
        result=str(raw["result"]),
        version=int(raw.get("_version", 0)),
        token=raw.get("_token"),
    )


def to_bulk_result(raw: Json) -> BulkResult:
    return BulkResult(
        items=[_to_item(*entry) for item in raw["items"] for entry in item.items()],
        took_ms=int(raw.get("took", 0)),
        token=raw.get("_token"),
    )


def _to_item(op: str, raw: Json) -> BulkItem:
    error = raw.get("error") or {}
    refused = int(raw["status"]) >= 400 and not (op == "delete" and not error)
    return BulkItem(
        op=op,
        index=str(raw.get("_index", "")),
        id=str(raw.get("_id", "")),
        status=int(raw["status"]),
        result=raw.get("result"),
        reason=str(error.get("reason", "refused")) if refused else None,
        type=error.get("type"),
    )
