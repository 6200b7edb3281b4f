"""Views whose ordinals of a keyword field are of one numbering, and one numbering for them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.aggregate.global_terms import WORTH, GlobalTerms, global_terms, n_terms
from index.aggregate.keys import Strings, key_strings, strings_of
from index.aggregate.level import Level
from index.aggregate.values import Source
from index.kernels.aggregate import NONE
from index.memtable_reader import MemtableReader
from index.query.ast import Scalar
from index.query.values import keyword_term
from index.reader import I64, U32
from index.segment import Segment

BoolArray = npt.NDArray[np.bool_]
Accept = Callable[[Strings], BoolArray]
"""Which of some terms become buckets."""


@dataclass(slots=True)
class Group:
    """One view, or the segments of an index."""

    terms: Callable[[I64], Strings]
    """The terms of numbers that rise."""
    numbers: dict[int, U32 | None]
    """Of each view, what its ordinals are here; None: the same."""
    n: int
    """One more than the highest number; `missing` is that."""
    missing: int
    """The number that stands for no value; -1: none does."""
    is_ordered: bool = True
    """Whether numbers rise as the terms' bytes do."""
    used: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    """The numbers that have a key, rising."""

    def sentinel(self, view_no: int) -> int | None:
        """Return the ordinal that stands for no value in a view."""
        if self.missing < 0:
            return None
        numbers = self.numbers[view_no]
        return self.missing if numbers is None else len(numbers) - 1

    @property
    def has_missing(self) -> bool:
        return self.missing >= 0 and len(self.used) > 0 and bool(self.used[-1] == self.missing)


def groups_of(source: Source, level: Level, has_missing: bool) -> list[Group]:
    """Return the views in groups; each view is in one."""
    groups: list[Group] = []
    for searcher_no in range(len(source.scope.searchers)):
        views = [
            view_no
            for view_no, place in enumerate(source.scope.places)
            if place.searcher_no == searcher_no
        ]
        shared = _shared(source, level, views)
        if shared is not None:
            views = [view_no for view_no in views if view_no not in shared[0]]
            groups.append(_group_of_segments(*shared, has_missing))
        groups += [_group_of_view(source, view_no, has_missing) for view_no in views]
    return groups


def _group_of_view(source: Source, view_no: int, has_missing: bool) -> Group:
    own, reader = source.fields[view_no], source.scope.places[view_no].view.reader
    more = int(has_missing)
    if own is None or source.terms(view_no) is None:
        return Group(lambda _: strings_of([]), {view_no: None}, more, more - 1)
    if isinstance(reader, MemtableReader):
        terms, n = reader.terms, reader.terms.n
        return Group(
            lambda numbers: Strings(*terms.copy_terms(numbers)),
            {view_no: None},
            n + more,
            n if has_missing else -1,
            is_ordered=False,
        )
    assert isinstance(reader, Segment)
    segment, n = reader, n_terms(reader, own.no)
    return Group(
        lambda numbers: Strings(*segment.ord_terms(own.no, numbers)),
        {view_no: None},
        n + more,
        n if has_missing else -1,
    )


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


def _group_of_segments(views: list[int], shared: GlobalTerms, has_missing: bool) -> Group:
    n = shared.terms.n
    numbers: dict[int, U32 | None] = {
        view_no: np.append(own, np.uint32(n)) if has_missing else own
        for view_no, own in zip(views, shared.maps, strict=True)
    }
    return Group(shared.terms.chosen, numbers, n + int(has_missing), n if has_missing else -1)


class Numbered(NamedTuple):
    """Keys 0 .. n - 1 in the order of the terms' bytes."""

    keys: list[U32]
    """Of each group, the key of each number in use; NONE: not accepted."""
    n: int
    term: Callable[[int], bytes]


def number_groups(
    groups: Sequence[Group], missing: Scalar | None, accept: Accept | None
) -> Numbered:
    """Give equal terms in use one key. Requires: the groups know what is in use."""
    in_use = [group for group in groups if len(group.used)]
    is_one = len(in_use) == 1 and in_use[0].is_ordered
    if is_one and missing is None and accept is None:
        used, terms = in_use[0].used, in_use[0].terms
        keys = [np.arange(len(group.used), dtype=np.uint32) for group in groups]
        return Numbered(keys, len(used), lambda key: terms(used[key : key + 1]).at(0))
    own = b"" if missing is None else keyword_term(missing)
    parts = []
    for group in groups:
        is_there = group.has_missing
        parts.append(group.terms(group.used[:-1] if is_there else group.used))
        parts.append(strings_of([own] if is_there else []))
    numbered = key_strings(parts)
    keys = [
        np.concatenate([numbered.maps[2 * i], numbered.maps[2 * i + 1]]) for i in range(len(groups))
    ]
    if accept is None:
        return Numbered(keys, numbered.n, numbered.term)
    kept = accept(numbered.strings.chosen(numbered.order))
    final = np.where(kept, np.cumsum(kept) - 1, NONE).astype(np.uint32)
    chosen = np.flatnonzero(kept)
    return Numbered(
        [final[own_keys] for own_keys in keys],
        len(chosen),
        lambda key: numbered.term(int(chosen[key])),
    )
