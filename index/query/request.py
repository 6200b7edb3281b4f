"""A search, parsed: what `_search` and `_count` bodies become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from index.query.aggregations import Aggregation
from index.query.ast import MatchAll, Query, Scalar

Boundary: TypeAlias = Literal["sentence", "word", "chars", "pieces"]
SortMode: TypeAlias = Literal["min", "max", "sum", "avg", "median"]

MAX_ANALYZED = 1_000_000
MAX_RESULT_WINDOW = 10_000
"""`from + size` may not go past this; `search_after` goes on from there."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """One key to sort by: a field, `_score`, `_doc` (log order) or `_id`."""

    field: str
    order: Literal["asc", "desc"] = "asc"
    missing: Scalar = "_last"
    """Where documents without a value go: `_last`, `_first`, or the value to take instead."""
    mode: SortMode | None = None
    """Of several values take this; None: the smallest ascending, the largest descending."""
    unmapped_type: str | None = None
    format: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """Which parts of the source to answer; patterns with `*` over dotted names."""

    enabled: bool = True
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the source goes out as it came."""
        return self.enabled and not self.includes and not self.excludes


@dataclass(frozen=True, slots=True)
class HighlightField:
    """How to highlight the fields that a pattern names."""

    pattern: str
    pre_tags: tuple[str, ...] = ("<em>",)
    post_tags: tuple[str, ...] = ("</em>",)
    fragment_size: int = 100
    number_of_fragments: int = 5
    no_match_size: int = 0
    require_field_match: bool = True
    order: Literal["none", "score"] = "none"
    encoder: Literal["default", "html"] = "default"
    query: Query | None = None
    """Mark what this asks for instead of the search's query."""
    boundary: Boundary = "sentence"
    """Fragments are whole sentences; windows that begin and end between words, or at one of
    `boundary_chars`; or pieces of one size, marks or none."""
    boundary_chars: str = ".,!? \t\n"
    boundary_max_scan: int = 20
    matched_fields: tuple[str, ...] = ()
    """Mark what is asked of these fields; empty: of the field itself."""
    max_analyzed: int = MAX_ANALYZED
    """Characters of a text that are looked at."""


@dataclass(frozen=True, slots=True)
class Highlight:
    fields: tuple[HighlightField, ...]


@dataclass(frozen=True, slots=True)
class FieldRequest:
    """One entry of `fields` or `docvalue_fields`."""

    pattern: str
    format: str | None = None
    with_unmapped: bool = False
    """Show also what the source has and the mapping does not."""


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One search. `size` 0: only the total."""

    query: Query = MatchAll()
    from_: int = 0
    size: int = 10
    sort: tuple[SortKey, ...] = ()
    """Empty: by score."""
    search_after: tuple[Scalar | None, ...] | None = None
    """The sort values of the last hit of the page before; None within: it had no value."""
    post_filter: Query | None = None
    source: SourceFilter = SourceFilter()
    with_id: bool = True
    fields: tuple[FieldRequest, ...] = ()
    indices_boost: tuple[tuple[str, float], ...] = ()
    """(pattern of index names, what their scores are multiplied by), the first that matches."""
    highlight: Highlight | None = None
    aggregations: tuple[Aggregation, ...] = ()
    """Over all that the query matches; `post_filter` does not restrict them."""
    typed_keys: bool = False
    """Whether results of aggregations are named `type#name`."""
    track_total_hits: bool | int = True
    """True: count all. A number: count up to it. False: the total is not wanted."""
    track_scores: bool = False
    min_score: float | None = None
    timeout_s: float | None = None
    terminate_after: int = 0
    """Stop looking at a shard once it gave so many documents; 0: never."""
    explain: bool = False
    profile: bool = False
    version: bool = False
    seq_no_primary_term: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the hits are the best by score of all that match."""
        return (
            not self.sort
            and self.search_after is None
            and self.min_score is None
            and self.post_filter is None
            and not self.terminate_after
        )
