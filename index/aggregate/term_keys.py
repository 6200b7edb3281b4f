"""The values of a keyword field as keys: from ordinals of each view to one numbering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from index.aggregate.global_terms import WORTH, GlobalTerms, global_terms, n_terms
from index.aggregate.keys import (
    Strings,
    key_strings,
    placed_among,
    renumbered,
    strings_of,
    used_ordinals,
)
from index.aggregate.level import Level
from index.aggregate.values import Gathered, Source, gather
from index.kernels.aggregate import NONE
from index.query.ast import Scalar
from index.query.leaves import ord_count
from index.query.values import keyword_term
from index.reader import I64, U32
from index.segment import Segment

Accept = Callable[[bytes], bool]


class Keyed(NamedTuple):
    """Keys 0 .. n - 1 in the order of the terms' bytes."""

    keys: list[U32]
    """Of each view, beside its pairs; NONE: not accepted."""
    n: int
    term: Callable[[int], bytes]


@dataclass(slots=True)
class _Group:
    """Views whose ordinals are of one numbering: one view, or the segments of an index."""

    terms: Callable[[I64], Strings]
    """The terms of numbers that rise."""
    numbers: dict[int, U32 | None]
    """Of each view, what its ordinals are here; None: the same."""
    missing: int = -1
    """The number that stands for no value; -1: none does."""
    arrays: dict[int, U32] = field(default_factory=dict)
    """Of each view, the numbers of its values."""
    also: list[U32] = field(default_factory=list)
    n: int = 0
    """One more than the highest number."""
    used: I64 = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, view_no: int, ordinals: U32, also: U32) -> None:
        numbers = self.numbers[view_no]
        if numbers is not None:
            ordinals, also = renumbered(ordinals, numbers), renumbered(also, numbers)
        self.arrays[view_no] = ordinals
        self.also.append(also)

    def mark_used(self) -> None:
        arrays = [*self.arrays.values(), *self.also]
        self.n = max((int(array.max()) + 1 for array in arrays if len(array)), default=0)
        self.used = used_ordinals(arrays, self.n)

    @property
    def has_missing(self) -> bool:
        return self.missing >= 0 and len(self.used) > 0 and bool(self.used[-1] == self.missing)


def key_terms(
    source: Source,
    level: Level,
    missing: Scalar | None,
    accept: Accept | None = None,
    also: Level | None = None,
) -> tuple[list[Gathered], Keyed]:
    """Return the pairs of a level with a value, and their keys.

    If there is a level `also`, its terms and `missing` have keys too, whether or not a document
    of `level` has them.
    """
    found: list[Gathered] = []
    groups = _groups(source, level, missing is not None)
    group_of = {view_no: group for group in groups for view_no in group.numbers}
    for view_no, pairs in enumerate(level.pairs):
        group, column = group_of[view_no], source.column(view_no)
        numbers = group.numbers[view_no]
        sentinel = group.missing if numbers is None else len(numbers) - 1
        part = gather(column, pairs, None if missing is None else sentinel, np.uint32)
        more = np.empty(0, np.uint32)
        if also is not None:
            more = gather(column, also.pairs[view_no], None, np.uint32).values
            if missing is not None:
                more = np.append(more, np.uint32(sentinel))
        found.append(part)
        group.add(view_no, part.values, more)
    for group in groups:
        group.mark_used()
    in_use = [group for group in groups if len(group.used)]
    if len(in_use) == 1 and missing is None and accept is None:
        [group] = in_use
        nothing = np.empty(0, np.uint32)
        keys = [
            placed_among(group.used, group.arrays.get(view_no, nothing), group.n)
            for view_no in range(len(found))
        ]
        used, terms = group.used, group.terms
        return found, Keyed(keys, len(used), lambda key: terms(used[key : key + 1]).at(0))
    own = b"" if missing is None else keyword_term(missing)
    return found, _key_groups(groups, len(found), own, accept)


def _groups(source: Source, level: Level, has_missing: bool) -> list[_Group]:
    """Return the views in groups; each view is in one."""
    groups: list[_Group] = []
    for searcher in source.scope.searchers:
        views = [
            view_no
            for view_no, place in enumerate(source.scope.places)
            if place.searcher is searcher
        ]
        shared = _shared(source, level, views)
        if shared is not None:
            views = [view_no for view_no in views if view_no not in shared[0]]
            groups.append(_group_of_segments(*shared, has_missing))
        for view_no in views:
            column = source.column(view_no)
            group = _Group(_terms_of(source, view_no), {view_no: None})
            if has_missing:
                group.missing = 0 if column is None else ord_count(column)
            groups.append(group)
    return groups


def _shared(source: Source, level: Level, views: list[int]) -> tuple[list[int], GlobalTerms] | None:
    """Return the segments of an index whose terms are worth numbering together."""
    segments: dict[int, Segment] = {}
    for view_no in views:
        own, reader = source.fields[view_no], source.scope.places[view_no].view.reader
        if own is not None and isinstance(reader, Segment) and n_terms(reader, own.no):
            segments[view_no] = reader
    if len(segments) < 2:
        return None
    [field_no] = {own.no for view_no in segments if (own := source.fields[view_no]) is not None}
    n_values = sum(len(level.pairs[view_no].docs) for view_no in segments)
    if sum(n_terms(segment, field_no) for segment in segments.values()) > WORTH * n_values:
        return None
    return list(segments), global_terms(list(segments.values()), field_no)


def _group_of_segments(views: list[int], shared: GlobalTerms, has_missing: bool) -> _Group:
    n = shared.terms.n
    numbers: dict[int, U32 | None] = dict(zip(views, shared.maps, strict=True))
    if has_missing:
        numbers = {
            view_no: np.append(own, np.uint32(n))
            for view_no, own in zip(views, shared.maps, strict=True)
        }
    return _Group(shared.terms.chosen, numbers, n if has_missing else -1)


def _terms_of(source: Source, view_no: int) -> Callable[[I64], Strings]:
    def terms(ordinals: I64) -> Strings:
        own = source.fields[view_no]
        if own is None or not len(ordinals):
            return strings_of([])
        return Strings(*source.scope.places[view_no].view.reader.ord_terms(own.no, ordinals))

    return terms


def _key_groups(groups: list[_Group], n_views: int, missing: bytes, accept: Accept | None) -> Keyed:
    parts = []
    for group in groups:
        is_there = group.has_missing
        parts.append(group.terms(group.used[:-1] if is_there else group.used))
        parts.append(strings_of([missing] if is_there else []))
    numbered = key_strings(parts)
    final, term = np.arange(numbered.n, dtype=np.uint32), numbered.term
    n = numbered.n
    if accept is not None:
        kept = np.array([accept(term(key)) for key in range(n)], bool)
        final = np.where(kept, np.cumsum(kept) - 1, NONE).astype(np.uint32)
        chosen = np.flatnonzero(kept)
        n = len(chosen)
        term = lambda key: numbered.term(int(chosen[key]))  # noqa: E731
    keys = [np.empty(0, np.uint32)] * n_views
    for number, group in enumerate(groups):
        numbers = np.full(group.n, NONE, np.uint32)
        maps = np.concatenate([numbered.maps[2 * number], numbered.maps[2 * number + 1]])
        numbers[group.used] = final[maps]
        for view_no, own in group.arrays.items():
            keys[view_no] = renumbered(own, numbers)
    return Keyed(keys, n, term)
