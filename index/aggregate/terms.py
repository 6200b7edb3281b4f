"""`terms`: a bucket for each value of a field."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from index.aggregate.cells import Cells, Counts
from index.aggregate.collect import Collector
from index.aggregate.formats import shown_as
from index.aggregate.keys import Strings, key_numbers
from index.aggregate.level import Level, Scope
from index.aggregate.order import bounds_of, first_of_each, narrowed, ordered
from index.aggregate.results import Buckets, Head, Result
from index.aggregate.term_groups import Accept, BoolArray
from index.aggregate.term_keys import count_terms, key_terms
from index.aggregate.values import Source
from index.automaton.automaton import regexp
from index.errors import InvalidRequestError
from index.kernels.ordinals import accept_strings
from index.query.aggregations import TermFilter, Terms
from index.query.order_paths import OrderPath
from index.query.values import keyword_term
from index.reader import F64, I64


class _Tally(NamedTuple):
    """How many documents each value has."""

    type_name: str
    cells: Cells | Counts
    head: Head
    """What the bucket of a key shows."""


def collect_terms(scope: Scope, aggregation: Terms, level: Level, collector: Collector) -> Result:
    source = Source(scope, aggregation.field)
    if source.is_keyword or source.field is None:
        tally = _tally_keywords(scope, source, aggregation, level, collector)
    else:
        tally = _tally_numbers(scope, source, aggregation, level)
    cells = tally.cells
    candidates = _candidates(cells, aggregation)
    owners, keys = cells.owner_key(candidates)
    counts = cells.counts[candidates]
    totals = np.bincount(owners, weights=counts, minlength=level.n_owners).astype(np.int64)
    if level.n_owners == 1:
        sieve = narrowed(counts, aggregation.size, aggregation.order)
        candidates, owners, keys, counts = (
            candidates[sieve], owners[sieve], keys[sieve], counts[sieve]
        )  # fmt: skip

    def level_of(chosen: I64) -> Level:
        assert isinstance(cells, Cells), "only counted"
        return cells.level(chosen, np.arange(len(chosen)), len(chosen))

    def number_of(path: OrderPath) -> F64:
        return collector.number(path, level_of(candidates))

    place = ordered(owners, keys, counts, aggregation.order, number_of)
    chosen = place[first_of_each(owners[place], aggregation.size)]
    owners, keys, counts = owners[chosen], keys[chosen], counts[chosen]
    scope.take_buckets(len(chosen))
    shown = np.bincount(owners, weights=counts, minlength=level.n_owners).astype(np.int64)
    others = (totals - shown).tolist()
    head = tally.head
    return Buckets(
        tally.type_name,
        bounds_of(owners, level.n_owners),
        counts,
        lambda number: head(int(keys[number])),
        None,
        collector.below(lambda: level_of(candidates[chosen])),
        beside=lambda owner: {
            "doc_count_error_upper_bound": 0,
            "sum_other_doc_count": others[owner],
        },
        tail={"doc_count_error_upper_bound": 0} if aggregation.shows_errors else {},
    )


def _candidates(cells: Cells | Counts, aggregation: Terms) -> I64:
    if aggregation.min_doc_count > 0:
        return cells.used(aggregation.min_doc_count)
    if not cells.is_whole:
        raise InvalidRequestError(
            f"[min_doc_count] 0 would need {cells.n_owners * cells.n_keys} buckets to choose from"
        )
    return np.arange(len(cells.counts))


# --- keywords ------------------------------------------------------------------------------
def _tally_keywords(
    scope: Scope, source: Source, aggregation: Terms, level: Level, collector: Collector
) -> _Tally:
    accept = _accept(aggregation.include, aggregation.exclude)
    also = scope.all_alive() if aggregation.min_doc_count == 0 else None
    cells: Cells | Counts
    if level.n_owners == 1 and not collector.subs:
        counts, term = count_terms(source, level, aggregation.missing, accept, also)
        cells = Counts(counts)
    else:
        found, keyed = key_terms(source, level, aggregation.missing, accept, also)
        cells, term = Cells(level.n_owners, keyed.n, found, keyed.keys), keyed.term
    return _Tally(
        "umterms" if source.field is None else "sterms",
        cells,
        lambda key: {"key": term(key).decode("utf-8", "replace")},
    )


def _accept(include: TermFilter | None, exclude: TermFilter | None) -> Accept | None:
    """Raises: InvalidQueryError for a pattern that is none."""
    if include is None and exclude is None:
        return None
    is_in = None if include is None else _matcher(include)
    is_out = None if exclude is None else _matcher(exclude)

    def accept(terms: Strings) -> BoolArray:
        kept = np.ones(terms.n, bool) if is_in is None else is_in(terms)
        return kept if is_out is None else kept & ~is_out(terms)

    return accept


def _matcher(wanted: TermFilter) -> Accept:
    if wanted.pattern is None:
        values = frozenset(keyword_term(value) for value in wanted.values)
        return lambda terms: np.array([terms.at(i) in values for i in range(terms.n)], bool)
    automaton = regexp(wanted.pattern)

    def match(terms: Strings) -> BoolArray:
        out = np.empty(terms.n, np.uint8)
        n_classes = len(automaton.class_lows)
        accept_strings(
            terms.starts, terms.blob, automaton.program, automaton.class_of, n_classes, out
        )
        return out.view(np.bool_)

    return match


# --- numbers -------------------------------------------------------------------------------
def _tally_numbers(scope: Scope, source: Source, aggregation: Terms, level: Level) -> _Tally:
    for name, terms in (("include", aggregation.include), ("exclude", aggregation.exclude)):
        if terms is not None and terms.pattern is not None:
            raise InvalidRequestError(
                f"[{name}] of [{source.name}] is a pattern, which goes with strings only: use an "
                "array of values"
            )
    missing = source.held(aggregation.missing, "terms.missing")
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
    return _Tally(
        "dterms" if source.is_float else "lterms",
        Cells(level.n_owners, len(values), found, keys),
        _number_head(source, aggregation.format, values),
    )


def _kept_numbers(source: Source, aggregation: Terms, values: np.ndarray) -> np.ndarray:
    is_kept = np.ones(len(values), bool)
    for name, terms in (("include", aggregation.include), ("exclude", aggregation.exclude)):
        if terms is not None:
            wanted = [source.number(value, f"terms.{name}") for value in terms.values]
            kind = float if source.is_float else int
            held = [value for value in wanted if isinstance(value, kind)]
            is_there = np.isin(values, np.array(held, values.dtype))
            is_kept &= is_there if name == "include" else ~is_there
    return is_kept


def _number_head(source: Source, format: str | None, values: np.ndarray) -> Head:
    shown = shown_as(source.field, format, None)

    def head(key: int) -> dict[str, Any]:
        value = values[key].item()
        return {"key": value} if shown is None else {"key": value, "key_as_string": shown(value)}

    return head
