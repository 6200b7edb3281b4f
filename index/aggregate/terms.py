"""`terms`: a bucket for each value of a field."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from index.aggregate.cells import Cells
from index.aggregate.collect import Collector
from index.aggregate.formats import shown_as
from index.aggregate.keys import key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.order import bounds_of, first_of_each, narrowed, ordered
from index.aggregate.results import Buckets, Head, Result
from index.aggregate.term_keys import Accept, key_terms
from index.aggregate.values import Gathered, Source
from index.errors import InvalidQueryError, InvalidRequestError
from index.query.aggregations import TermFilter, Terms
from index.query.order_paths import OrderPath
from index.query.values import keyword_term
from index.reader import F64, I64, U32


class _Keyed(NamedTuple):
    type_name: str
    found: list[Gathered]
    keys: list[U32]
    n: int
    head: Head
    """What the bucket of a key shows."""


def collect_terms(scope: Scope, aggregation: Terms, level: Level, collector: Collector) -> Result:
    source = Source(scope, aggregation.field)
    by_bytes = source.is_keyword or source.field is None
    keyed = _key_keywords(scope, source, aggregation, level) if by_bytes else None
    if keyed is None:
        keyed = _key_numbers(scope, source, aggregation, level)
    cells = Cells(level.n_owners, keyed.n, keyed.found, keyed.keys)
    candidates = _candidates(cells, aggregation)
    owners, keys = cells.owner_key(candidates)
    counts = cells.counts[candidates]
    totals = np.bincount(owners, weights=counts, minlength=level.n_owners).astype(np.int64)
    if level.n_owners == 1:
        sieve = narrowed(counts, aggregation.size, aggregation.order)
        candidates, owners, keys, counts = (
            candidates[sieve], owners[sieve], keys[sieve], counts[sieve]
        )  # fmt: skip

    def number_of(path: OrderPath) -> F64:
        below = cells.level(candidates, np.arange(len(candidates)), len(candidates))
        return collector.number(path, below)

    place = ordered(owners, keys, counts, aggregation.order, number_of)
    chosen = place[first_of_each(owners[place], aggregation.size)]
    owners, keys, counts = owners[chosen], keys[chosen], counts[chosen]
    scope.take_buckets(len(chosen))
    shown = np.bincount(owners, weights=counts, minlength=level.n_owners).astype(np.int64)
    others = (totals - shown).tolist()
    head = keyed.head
    return Buckets(
        keyed.type_name,
        bounds_of(owners, level.n_owners),
        counts,
        lambda number: head(int(keys[number])),
        None,
        collector.below(
            lambda: cells.level(candidates[chosen], np.arange(len(chosen)), len(chosen))
        ),
        beside=lambda owner: {
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": others[owner],
        },
        tail={"doc_count_error_upper_bound": 0} if aggregation.shows_errors else {},
    )


def _candidates(cells: Cells, aggregation: Terms) -> I64:
    if aggregation.min_doc_count > 0:
        return cells.used(aggregation.min_doc_count)
    if not cells.is_whole:
        raise InvalidRequestError(
            f"[min_doc_count] 0 would need {cells.n_owners * cells.n_keys} buckets to choose from"
        )
    return np.arange(len(cells.counts))


# --- keywords ------------------------------------------------------------------------------
def _key_keywords(scope: Scope, source: Source, aggregation: Terms, level: Level) -> _Keyed:
    accept = _accept(aggregation.include, aggregation.exclude)
    also = scope.all_alive() if aggregation.min_doc_count == 0 else None
    found, keyed = key_terms(source, level, aggregation.missing, accept, also)
    term = keyed.term
    return _Keyed(
        "sterms" if source.field is not None else "umterms",
        found,
        keyed.keys,
        keyed.n,
        lambda key: {"key": term(key).decode("utf-8", "replace")},
    )


def _accept(include: TermFilter | None, exclude: TermFilter | None) -> Accept | None:
    if include is None and exclude is None:
        return None
    is_in = None if include is None else _matcher(include)
    is_out = None if exclude is None else _matcher(exclude)
    return lambda term: (is_in is None or is_in(term)) and not (is_out is not None and is_out(term))


def _matcher(terms: TermFilter) -> Accept:
    if terms.pattern is None:
        wanted = frozenset(keyword_term(value) for value in terms.values)
        return wanted.__contains__
    try:
        pattern = re.compile(terms.pattern)
    except re.error as error:
        raise InvalidQueryError(f"pattern [{terms.pattern[:80]}]: {error}") from None
    return lambda term: pattern.fullmatch(term.decode("utf-8", "replace")) is not None


# --- numbers -------------------------------------------------------------------------------
def _key_numbers(scope: Scope, source: Source, aggregation: Terms, level: Level) -> _Keyed:
    for name, terms in (("include", aggregation.include), ("exclude", aggregation.exclude)):
        if terms is not None and terms.pattern is not None:
            raise InvalidRequestError(
                f"[{name}] of [{source.name}] is a pattern, which goes with strings only: use an "
                "array of values"
            )
    missing = source.number(aggregation.missing, "terms.missing")
    found = source.gather(level, missing)
    arrays = [part.values for part in found]
    if aggregation.min_doc_count == 0:
        arrays += [part.values for part in source.gather(scope.all_alive(), missing)]
    keys, values = key_numbers(arrays)
    keys = keys[: len(found)]
    is_kept = _kept_numbers(source, aggregation, values)
    if not is_kept.all():
        final = np.where(is_kept, np.cumsum(is_kept) - 1, 0xFFFFFFFF).astype(np.uint32)
        keys = [final[part] for part in keys]
        values = values[is_kept]
    return _Keyed(
        "dterms" if source.is_float else "lterms",
        found,
        keys,
        len(values),
        _number_head(source, aggregation.format, values),
    )


def _kept_numbers(source: Source, aggregation: Terms, values: np.ndarray) -> np.ndarray:
    is_kept = np.ones(len(values), bool)
    for name, terms in (("include", aggregation.include), ("exclude", aggregation.exclude)):
        if terms is not None:
            wanted = [source.number(value, f"terms.{name}") for value in terms.values]
            is_there = np.isin(values, np.array(wanted, values.dtype))
            is_kept &= is_there if name == "include" else ~is_there
    return is_kept


def _number_head(source: Source, format: str | None, values: np.ndarray) -> Head:
    shown = shown_as(source.field, format, None)

    def head(key: int) -> dict[str, Any]:
        value = values[key].item()
        return {"key": value} if shown is None else {"key": value, "key_as_string": shown(value)}

    return head
