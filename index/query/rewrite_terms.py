"""Queries about terms and values of one field, as leaves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from index.automaton import automaton as automata
from index.automaton.automaton import Automaton
from index.errors import InvalidQueryError
from index.fuzzy import FuzzyPattern
from index.query import ast
from index.query.expansion import ExpansionLeaf
from index.query.fuzzy import expand, max_edits
from index.query.leaves import (
    UNLIMITED,
    AllLeaf,
    KeywordRangeLeaf,
    RangeLeaf,
    TermLeaf,
    column_row,
    relation_of,
)
from index.query.phrase import term_finder
from index.query.plan import NOTHING, Constant, Plan, Some
from index.query.statistics import Statistics
from index.query.stop import NEVER, Stop, check_stop
from index.query.values import exact_bounds, keyword_term, keyword_text, range_bounds
from index.reader import I64, Reader
from index.schema import Field

_SINGLE_VALUES = 8
"""More numbers than this in a `terms` are looked for together."""


class TermRewriter:
    def __init__(self, statistics: Statistics, now_ms: int, stop: Stop = NEVER) -> None:
        self._stop = stop
        self._statistics = statistics
        self._now_ms = now_ms

    # --- one value -----------------------------------------------------------------------
    def text_term(self, field: Field, term: bytes, boost: float) -> Plan:
        leaf = TermLeaf(self._statistics, field.no, term, boost, is_text=field.is_text)
        return leaf if leaf.cost > 0 else NOTHING

    def term(self, field: Field, value: ast.Scalar, boost: float) -> Plan:
        """Return the documents with exactly this value."""
        if field.is_text or field.is_keyword:
            return self.text_term(field, keyword_term(value), boost)
        bounds = exact_bounds(field, value, self._now_ms)
        return NOTHING if bounds is None else self._number_range(field, *bounds, boost)

    def caseless_term(self, field: Field, value: str, boost: float) -> Plan:
        return self._matching(field, automata.word(value, caseless=True), boost)

    # --- several values ------------------------------------------------------------------
    def terms(self, field: Field, query: ast.Terms, boost: float) -> Plan:
        if field.is_text or field.is_keyword:
            terms = tuple({keyword_term(value) for value in query.values})
            if not terms:
                return NOTHING
            return self._union(field, term_finder(field.no, terms), boost)
        parts = [
            self._number_range(field, *bounds, boost)
            for bounds in {exact_bounds(field, value, self._now_ms) for value in query.values}
            if bounds is not None
        ]
        if not parts:
            return NOTHING
        return parts[0] if len(parts) == 1 else Constant(Some(tuple(parts)), boost)

    # --- ranges --------------------------------------------------------------------------
    def range(self, field: Field, query: ast.Range, boost: float) -> Plan:
        if field.is_text or field.is_keyword:
            low, high = _term_bounds(query)
            if low is not None and high is not None and low >= high:
                return NOTHING
            if field.is_keyword:
                return KeywordRangeLeaf(self._statistics, field.no, low, high, boost)
            return self._union(
                field, lambda reader: reader.terms_between(field.no, low, high), boost
            )
        bounds = range_bounds(query, field, self._now_ms)
        return NOTHING if bounds is None else self._number_range(field, *bounds, boost)

    def _number_range(
        self, field: Field, low: int | float, high: int | float, boost: float
    ) -> Plan:
        relations = {
            relation_of(column_row(view, field.no), low, high)
            for view in self._statistics.views
            if view.reader.n_docs
        }
        if relations <= {"misses"}:
            return NOTHING
        if relations == {"covers"}:
            return AllLeaf(self._statistics, boost)
        return RangeLeaf(self._statistics, field.no, low, high, boost)

    # --- patterns ------------------------------------------------------------------------
    def prefix(self, field: Field, query: ast.Prefix, boost: float) -> Plan:
        _need_terms(field, "prefix")
        value = query.value
        if query.case_insensitive:
            return self._matching(field, automata.prefix(value, caseless=True), boost)
        prefix = keyword_term(value)
        return self._union(
            field, lambda reader: reader.prefix_terms(field.no, prefix, UNLIMITED), boost
        )

    def wildcard(self, field: Field, query: ast.Wildcard, boost: float) -> Plan:
        _need_terms(field, "wildcard")
        automaton = automata.wildcard(query.pattern, caseless=query.case_insensitive)
        return self._matching(field, automaton, boost)

    def regexp(self, field: Field, query: ast.Regexp, boost: float) -> Plan:
        _need_terms(field, "regexp")
        return self._matching(field, query.automaton(), boost)

    def fuzzy(self, field: Field, query: ast.Fuzzy, boost: float) -> Plan:
        """Return the documents with one of the closest terms. All of these count as frequent as
        the most frequent of them: else a rare misspelling would score above the word."""
        _need_terms(field, "fuzzy")
        text = keyword_text(query.value)
        edits = max_edits(query.fuzziness, text)
        if edits == 0:
            return self.text_term(field, keyword_term(text), boost)
        pattern = FuzzyPattern.of(
            keyword_term(text), edits, query.prefix_length, transposes=query.transpositions
        )
        found = expand(self._statistics, field.no, pattern, query.max_expansions)
        doc_freq = max((each.doc_freq for each in found), default=0)
        leaves = tuple(
            TermLeaf(
                self._statistics,
                field.no,
                each.term,
                boost * each.closeness,
                is_text=field.is_text,
                scored_doc_freq=doc_freq,
            )
            for each in found
        )
        if not leaves:
            return NOTHING
        return leaves[0] if len(leaves) == 1 else Some(leaves)

    def expand_prefix(self, field: Field, prefix: bytes, limit: int) -> tuple[bytes, ...]:
        """Return at most `limit` terms that start so and that a live document has, the first ones
        in byte order."""
        found: set[bytes] = set()
        for view in self._statistics.views:
            reader = view.reader
            if field.no in reader.field_nos:
                ids = reader.prefix_terms(field.no, prefix, UNLIMITED)
                found.update(reader.term_names(ids, field.no))
        statistics = self._statistics
        live = (term for term in sorted(found) if statistics.term(field.no, term).doc_freq > 0)
        return tuple(islice(live, limit))

    # --- unions --------------------------------------------------------------------------
    def _union(self, field: Field, find: Callable[[Reader], I64], boost: float) -> Plan:
        return ExpansionLeaf(self._statistics, field.no, self._polled(find), boost)

    def _polled(self, find: Callable[[Reader], I64]) -> Callable[[Reader], I64]:
        """Return what looks whether to stop before each walk through a dictionary."""
        stop = self._stop

        def find_unless_stopped(reader: Reader) -> I64:
            check_stop(stop)
            return find(reader)

        return find_unless_stopped

    def _matching(self, field: Field, automaton: Automaton, boost: float) -> Plan:
        return self._union(
            field, lambda reader: reader.matching_terms(field.no, automaton, UNLIMITED), boost
        )


def _term_bounds(query: ast.Range) -> tuple[bytes | None, bytes | None]:
    """Return [low, high) of a range over terms; the next term in byte order is a 0 byte longer."""
    low = high = None
    if query.gte is not None:
        low = keyword_term(query.gte)
    if query.gt is not None:
        low = max(low or b"", keyword_term(query.gt) + b"\0")
    if query.lt is not None:
        high = keyword_term(query.lt)
    if query.lte is not None:
        end = keyword_term(query.lte) + b"\0"
        high = end if high is None else min(high, end)
    return low, high


def _need_terms(field: Field, kind: str) -> None:
    if not (field.is_text or field.is_keyword):
        raise InvalidQueryError(
            f"{kind} queries work on keyword and text fields, not on [{field.name}] "
            f"which is of type [{field.type}]"
        )
