"""The values of a keyword field as keys, pair by pair, or only how many documents have each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from index.aggregate.keys import renumbered, used_ordinals
from index.aggregate.level import NO_U32, Level
from index.aggregate.term_groups import Accept, Group, groups_of, number_groups
from index.aggregate.values import NO_U64, Gathered, Source, gather
from index.kernels.aggregate import NONE, count_ordinals
from index.query.ast import Scalar
from index.reader import I64, U32


class Keyed(NamedTuple):
    """Keys 0 .. n - 1 in the order of the terms' bytes."""

    keys: list[U32]
    """Of each view, beside its pairs; NONE: not accepted."""
    n: int
    term: Callable[[int], bytes]


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
    found: list[Gathered] = [Gathered(NO_U32, NO_U32, NO_U32, False)] * len(level.pairs)
    groups = groups_of(source, level, missing is not None)
    for group in groups:
        arrays = []
        for view_no, numbers in group.numbers.items():
            part = gather(
                source.terms(view_no), level.pairs[view_no], group.sentinel(view_no), np.uint32
            )
            if numbers is not None:
                part = part._replace(values=renumbered(part.values, numbers))
            found[view_no] = part
            arrays.append(part.values)
        group.used = used_ordinals(arrays, group.n)
    _use_also(source, groups, also)
    numbered = number_groups(groups, missing, accept)
    keys = [NO_U32] * len(found)
    for group, own in zip(groups, numbered.keys, strict=True):
        is_same = len(own) == group.n and bool((own == np.arange(len(own))).all())
        for view_no in group.numbers:
            values = found[view_no].values
            keys[view_no] = values if is_same else renumbered(values, _by_number(group, own))
    return found, Keyed(keys, numbered.n, numbered.term)


def _by_number(group: Group, keys: U32) -> U32:
    """Return the key of each number of a group."""
    of_number = np.full(group.n, NONE, np.uint32)
    of_number[group.used] = keys
    return of_number


def _use_also(source: Source, groups: list[Group], also: Level | None) -> None:
    """Let what is in the level `also` have keys too."""
    if also is None:
        return
    for group in groups:
        seen = np.zeros(group.n, bool)
        seen[group.used] = True
        for view_no, numbers in group.numbers.items():
            part = gather(source.terms(view_no), also.pairs[view_no], None, np.uint32)
            seen[part.values if numbers is None else numbers[part.values]] = True
        if group.missing >= 0:
            seen[group.missing] = True
        group.used = np.flatnonzero(seen)


class Counted(NamedTuple):
    """How many documents have each term; keys as in `Keyed`."""

    counts: I64
    term: Callable[[int], bytes]


def count_terms(
    source: Source,
    level: Level,
    missing: Scalar | None,
    accept: Accept | None = None,
    also: Level | None = None,
) -> Counted:
    """Return what `key_terms` finds where only counts are wanted, in one pass.

    Requires: a level of one bucket.
    """
    groups = groups_of(source, level, missing is not None)
    counts = []
    for group in groups:
        own = np.zeros(group.n, np.int64)
        for view_no, numbers in group.numbers.items():
            _count_view(source, level, group, view_no, numbers, own)
        group.used = np.flatnonzero(own)
        counts.append(own)
    _use_also(source, groups, also)
    numbered = number_groups(groups, missing, accept)
    totals = np.zeros(numbered.n + 1, np.int64)  # the last is what is not accepted
    for group, keys, own in zip(groups, numbered.keys, counts, strict=True):
        np.add.at(totals, np.minimum(keys, numbered.n), own[group.used])
    return Counted(totals[:-1], numbered.term)


def _count_view(
    source: Source, level: Level, group: Group, view_no: int, numbers: U32 | None, counts: I64
) -> None:
    docs, column = level.pairs[view_no].docs, source.terms(view_no)
    if column is None:
        if group.missing >= 0:
            counts[group.missing] += len(docs)
        return
    is_multi = column.starts is not None
    count_ordinals(
        docs,
        column.values,
        NO_U64 if column.present is None or is_multi else column.present,
        NO_U32 if column.starts is None else column.starts,
        NO_U32 if numbers is None else numbers,
        group.missing,
        counts,
        np.zeros(len(counts) if is_multi else 0, np.uint32),
    )
