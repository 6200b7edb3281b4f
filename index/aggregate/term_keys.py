"""The values of a keyword field as keys: from ordinals of each view to one numbering."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

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

Accept = Callable[[bytes], bool]


class Keyed(NamedTuple):
    """Keys 0 .. n - 1 in the order of the terms' bytes."""

    keys: list[U32]
    """Of each view, beside its pairs; NONE: not accepted."""
    n: int
    term: Callable[[int], bytes]


class _Local(NamedTuple):
    """The ordinals in use in one view."""

    used: I64
    n: int
    """One more than the highest, `missing` included."""
    missing: int
    """The ordinal that stands for no value; -1: none does."""


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
    views: list[_Local] = []
    for number, pairs in enumerate(level.pairs):
        column = source.column(number)
        sentinel = -1
        if missing is not None:
            sentinel = 0 if column is None else ord_count(column)
        part = gather(column, pairs, None if missing is None else sentinel, np.uint32)
        arrays: list[U32] = [part.values]
        if also is not None:
            more = gather(column, also.pairs[number], None, np.uint32)
            arrays += [more.values, np.full(int(sentinel >= 0), max(sentinel, 0), np.uint32)]
        n = max((int(array.max()) + 1 for array in arrays if len(array)), default=0)
        found.append(part)
        views.append(_Local(used_ordinals(arrays, n), n, sentinel))
    in_use = [number for number, view in enumerate(views) if len(view.used)]
    if len(in_use) == 1 and missing is None and accept is None:
        keys = [
            placed_among(view.used, part.values, view.n)
            for part, view in zip(found, views, strict=True)
        ]
        [number] = in_use
        used = views[number].used
        return found, Keyed(
            keys, len(used), lambda key: _terms(source, number, used[key : key + 1]).at(0)
        )
    return found, _key_views(source, found, views, missing, accept)


def _key_views(
    source: Source,
    found: list[Gathered],
    views: list[_Local],
    missing: Scalar | None,
    accept: Accept | None,
) -> Keyed:
    own = b"" if missing is None else keyword_term(missing)
    parts = []
    for number, view in enumerate(views):
        used = view.used
        if view.missing >= 0 and len(used) and used[-1] == view.missing:
            parts += [_terms(source, number, used[:-1]), strings_of([own])]
        else:
            parts += [_terms(source, number, used), strings_of([])]
    numbered = key_strings(parts)
    final, term = np.arange(numbered.n, dtype=np.uint32), numbered.term
    n = numbered.n
    if accept is not None:
        kept = np.array([accept(term(key)) for key in range(n)], bool)
        final = np.where(kept, np.cumsum(kept) - 1, NONE).astype(np.uint32)
        chosen = np.flatnonzero(kept)
        n, whole = len(chosen), term
        term = lambda key: whole(int(chosen[key]))  # noqa: E731
    keys = []
    for number, (part, view) in enumerate(zip(found, views, strict=True)):
        numbers = np.full(view.n, NONE, np.uint32)
        maps = np.concatenate([numbered.maps[2 * number], numbered.maps[2 * number + 1]])
        numbers[view.used] = final[maps]
        keys.append(renumbered(part.values, numbers))
    return Keyed(keys, n, term)


def _terms(source: Source, number: int, ordinals: I64) -> Strings:
    """Return the terms of some ordinals, which rise, of one view."""
    field = source.fields[number]
    if field is None or not len(ordinals):
        return strings_of([])
    reader = source.scope.places[number].view.reader
    return Strings(*reader.ord_terms(field.no, ordinals))
