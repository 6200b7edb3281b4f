"""A query against a schema and a searcher's statistics: the AST as a plan, cheapest first.

Here texts are analysed, patterns of fields become fields, values become what columns hold,
and whatever cannot match is dropped. A field that the schema does not have matches nothing.
Raises: InvalidQueryError for what does not fit the schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from index.analysis.analyzer import Token
from index.errors import InvalidQueryError
from index.query import ast
from index.query.analysis import analyze, analyzer_of, normalized
from index.query.boosts import multiplied
from index.query.filter_cache import FilterCache
from index.query.filters import Filters
from index.query.fold import best, conjunction, constant, every, some
from index.query.leaves import AllLeaf, BitsLeaf, DocsLeaf, KeysLeaf, TermLeaf
from index.query.minimum import minimum_should_match
from index.query.phrase import PhraseLeaf, PhraseTerm
from index.query.plan import NOTHING, Plan
from index.query.rewrite_terms import TermRewriter
from index.query.statistics import Statistics
from index.query.stop import NEVER, Stop, check_stop
from index.query.token_graph import Path, in_a_row, is_flat, paths, segments, whole_paths
from index.query.values import keyword_text
from index.schema import Field, Schema

Notes = dict[int, tuple[Plan, ast.Query]]
"""id of a plan -> that plan, and the innermost query that it stands for."""

_PATTERN_TYPES = frozenset({"text", "keyword"})


class Rewriter:
    """Rewrites one query. `within`: only these documents are asked for."""

    def __init__(
        self,
        schema: Schema,
        statistics: Statistics,
        now_ms: int,
        within: DocsLeaf | None = None,
        notes: Notes | None = None,
        stop: Stop = NEVER,
        filters: FilterCache | None = None,
    ) -> None:
        """`notes`: takes down what each part of the plan stands for. `stop`: see `plan`."""
        self._notes = notes
        self._stop = stop
        self._filters = None if filters is None or within is not None else Filters(self, filters)
        self.schema = schema
        self.statistics = statistics
        self._within = within
        self._now_ms = now_ms
        self._terms = TermRewriter(statistics, now_ms, stop)

    def over(self, statistics: Statistics) -> Rewriter:
        """Return what rewrites the same way for other views, and keeps nothing."""
        return Rewriter(self.schema, statistics, self._now_ms, stop=self._stop)

    def plan(self, query: ast.Query, boost: float = 1.0) -> Plan:
        """Return the plan of `query`; `boost` is that of the queries around it.

        Raises: StoppedError once `stop` is set.
        """
        check_stop(self._stop)
        rewrite = _REWRITES.get(type(query))
        if rewrite is None:
            raise InvalidQueryError(f"query [{type(query).__name__}] is not supported")
        plan = rewrite(self, query, multiplied(boost, query.boost))
        if self._notes is not None:
            self._notes.setdefault(id(plan), (plan, query))
        return plan

    # --- all, keys, fields ---------------------------------------------------------------
    def _all(self, query: ast.MatchAll, boost: float) -> Plan:
        return AllLeaf(self.statistics, boost)

    def _none(self, query: ast.MatchNone, boost: float) -> Plan:
        return NOTHING

    def _ids(self, query: ast.Ids, boost: float) -> Plan:
        keys = tuple({key.encode("utf-8", "surrogatepass") for key in query.keys})
        return KeysLeaf(self.statistics, keys, boost) if keys else NOTHING

    def _exists(self, query: ast.Exists, boost: float) -> Plan:
        if query.field in ("_id", "_source", "_index"):
            return AllLeaf(self.statistics, boost)
        parts = [
            BitsLeaf(
                self.statistics,
                lambda reader, no=field.no: reader.present(no),  # type: ignore[misc]
                boost,
                self.statistics.field(field.no).n_docs,
            )
            for field in self._fields_at(query.field)
        ]
        return parts[0] if len(parts) == 1 else constant(some(parts, 1), boost)

    def _fields_at(self, name: str) -> list[Field]:
        """Return the field, those of the object, or those of the pattern with this name."""
        field = self.schema.field(name)
        if field is not None:
            return [field]
        if "*" in name:
            return match_names(self.schema, name)
        return [field for field in self.schema.fields if field.name.startswith(f"{name}.")]

    # --- one field -----------------------------------------------------------------------
    def _on_field(
        self, query: Any, boost: float, rewrite: Callable[[Field, Any, float], Plan]
    ) -> Plan:
        """Rewrite a query of one field; `lenient` ones match nothing where the value is bad."""
        field = self.schema.field(query.field)
        if field is None:
            return NOTHING
        if not field.index:
            if getattr(query, "lenient", False):
                return NOTHING
            raise InvalidQueryError(f"cannot search on field [{field.name}]: it is not indexed")
        try:
            return rewrite(field, normalized(query, field, self.schema), boost)
        except InvalidQueryError:
            if getattr(query, "lenient", False):
                return NOTHING
            raise

    def _match(self, query: ast.Match, boost: float) -> Plan:
        return self._on_field(query, boost, self._match_field)

    def _match_field(self, field: Field, query: ast.Match, boost: float) -> Plan:
        if not field.is_text:
            if query.fuzziness is not None and field.is_keyword:
                return self._terms.fuzzy(field, _as_fuzzy(query), boost)
            return self._terms.term(field, query.text, boost)
        tokens = self._tokens(field, query.text, query.analyzer)
        if not tokens:
            return self._zero_terms(query.zero_terms, boost)
        if in_a_row(tokens):
            parts = tuple(self._match_token(field, query, token.term, boost) for token in tokens)
        else:
            parts = tuple(
                self._match_segment(field, query, segment, boost) for segment in segments(tokens)
            )
        if query.operator == "and":
            return every(parts)
        spec = query.minimum_should_match
        at_least = 1 if spec is None else max(1, minimum_should_match(spec, len(parts)))
        return some(parts, at_least)

    def _match_token(self, field: Field, query: ast.Match, term: bytes, boost: float) -> Plan:
        if query.fuzziness is None:
            return self._terms.text_term(field, term, boost)
        return self._terms.fuzzy(
            field, _as_fuzzy(query, term.decode("utf-8", "surrogatepass")), boost
        )

    def _match_segment(
        self, field: Field, query: ast.Match, segment: list[Token], boost: float
    ) -> Plan:
        """Return the documents with one of the readings of a part of the text."""
        if not is_flat(segment):
            return some(tuple(self._read(field, way, 0, boost) for way in paths(segment)), 1)
        terms = tuple(dict.fromkeys(token.term for token in segment))
        if query.fuzziness is not None:
            return best(tuple(self._match_token(field, query, t, boost) for t in terms), 0.0)
        return self._any_of(field, terms, boost)

    def _any_of(self, field: Field, terms: tuple[bytes, ...], boost: float) -> Plan:
        """Return the documents with one of several terms for one thing, all of which count as
        frequent as the most frequent of them."""
        doc_freqs = [self.statistics.term(field.no, term).doc_freq for term in terms]
        leaves = tuple(
            TermLeaf(
                self.statistics, field.no, term, boost, is_text=True,
                scored_doc_freq=max(doc_freqs),
            )
            for term, doc_freq in zip(terms, doc_freqs, strict=True)
            if doc_freq
        )  # fmt: skip
        return best(leaves, 0.0)

    def _read(self, field: Field, path: Path, slop: int, boost: float) -> Plan:
        """Return the documents with the words of one reading side by side."""
        if len(path.places) == 1:
            return self._terms.text_term(field, path.places[0][1], boost)
        places = tuple(PhraseTerm(offset, (term,)) for offset, term in path.places)
        return self._phrase(field, places, slop, boost)

    def _match_phrase(self, query: ast.MatchPhrase, boost: float) -> Plan:
        return self._on_field(query, boost, self._phrase_field)

    def _phrase_field(self, field: Field, query: ast.MatchPhrase, boost: float) -> Plan:
        if not field.is_text:
            return self._terms.term(field, query.text, boost)
        tokens = self._tokens(field, query.text, query.analyzer)
        if not tokens:
            return self._zero_terms(query.zero_terms, boost)
        if len(tokens) == 1:
            return self._terms.text_term(field, tokens[0].term, boost)
        if not is_flat(tokens):
            ways = whole_paths(tokens)
            return some(tuple(self._read(field, way, query.slop, boost) for way in ways), 1)
        places = _places(tokens)
        if len(places) == 1:
            return self._any_of(field, places[0].terms, boost)
        return self._phrase(field, places, query.slop, boost)

    def _match_phrase_prefix(self, query: ast.MatchPhrasePrefix, boost: float) -> Plan:
        return self._on_field(query, boost, self._phrase_prefix_field)

    def _phrase_prefix_field(
        self, field: Field, query: ast.MatchPhrasePrefix, boost: float
    ) -> Plan:
        if not field.is_text:
            raise InvalidQueryError(
                f"match_phrase_prefix needs a text field but [{field.name}] is a {field.type}"
            )
        tokens = self._tokens(field, query.text, query.analyzer)
        if not tokens:
            return NOTHING
        *before, last = _places(tokens)
        if not before:
            prefixes = tuple(term.decode("utf-8", "surrogatepass") for term in last.terms)
            return some(
                tuple(
                    self._terms.prefix(field, ast.Prefix(field.name, prefix), boost)
                    for prefix in prefixes
                ),
                1,
            )
        found = dict.fromkeys(
            term
            for prefix in last.terms
            for term in self._terms.expand_prefix(field, prefix, query.max_expansions)
        )
        places = (*before, PhraseTerm(last.offset, tuple(found)))
        return self._phrase(field, places, query.slop, boost)

    def _phrase(
        self, field: Field, places: tuple[PhraseTerm, ...], slop: int, boost: float
    ) -> Plan:
        leaf = PhraseLeaf(
            self.statistics, field.no, places, slop=slop, boost=boost, within=self._within
        )
        return leaf if leaf.cost > 0 else NOTHING

    def _zero_terms(self, zero_terms: str, boost: float) -> Plan:
        return AllLeaf(self.statistics, boost) if zero_terms == "all" else NOTHING

    def _tokens(self, field: Field, text: ast.Scalar, analyzer: str | None) -> tuple[Token, ...]:
        return analyze(analyzer_of(self.schema, field, analyzer), keyword_text(text))

    def _term(self, query: ast.Term, boost: float) -> Plan:
        if query.field == "_id":
            return self._ids(ast.Ids((keyword_text(query.value),)), boost)
        return self._on_field(query, boost, self._term_field)

    def _term_field(self, field: Field, query: ast.Term, boost: float) -> Plan:
        if query.case_insensitive and (field.is_text or field.is_keyword):
            return self._terms.caseless_term(field, keyword_text(query.value), boost)
        return self._terms.term(field, query.value, boost)

    def _terms_of(self, query: ast.Terms, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.terms)

    def _range(self, query: ast.Range, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.range)

    def _prefix(self, query: ast.Prefix, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.prefix)

    def _wildcard(self, query: ast.Wildcard, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.wildcard)

    def _regexp(self, query: ast.Regexp, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.regexp)

    def _fuzzy(self, query: ast.Fuzzy, boost: float) -> Plan:
        return self._on_field(query, boost, self._terms.fuzzy)

    # --- several -------------------------------------------------------------------------
    def _over_fields(self, query: ast.OverFields, boost: float) -> Plan:
        only_terms = isinstance(query.query, ast.Prefix | ast.Wildcard | ast.Regexp | ast.Fuzzy)
        parts = []
        for pattern in query.fields:
            leaf = query.query
            if "*" in pattern.pattern:
                leaf = replace(leaf, lenient=True)
                fields = match_names(self.schema, pattern.pattern)
                fields = [field for field in fields if field.index]
            else:
                found = self.schema.field(pattern.pattern)
                fields = [] if found is None else [found]
            for field in fields:
                if only_terms and len(fields) > 1 and field.type not in _PATTERN_TYPES:
                    continue
                part = self.plan(replace(leaf, field=field.name), multiplied(boost, pattern.boost))
                parts.append(part)
        if query.combine == "sum":
            return some(tuple(parts), 1)
        return best(tuple(parts), query.tie_breaker)

    def _dis_max(self, query: ast.DisMax, boost: float) -> Plan:
        return best(tuple(self.plan(part, boost) for part in query.queries), query.tie_breaker)

    def _constant_score(self, query: ast.ConstantScore, boost: float) -> Plan:
        return constant(self._filter(query.filter), boost)

    def _bool(self, query: ast.Bool, boost: float) -> Plan:
        if not (query.must or query.should or query.filter or query.must_not):
            return AllLeaf(self.statistics, boost)
        required = [(self.plan(part, boost), True) for part in query.must]
        required += [(self._filter(part), False) for part in _different(query.filter)]
        should = tuple(self.plan(part, boost) for part in query.should)
        excluded = [self._filter(part) for part in _different(query.must_not)]
        at_least = n_needed(query)
        if at_least > 0:
            required.append((some(should, at_least), True))
            should = ()
        return conjunction(self.statistics, required, excluded, should)

    def _filter(self, query: ast.Query) -> Plan:
        """Return the plan of a query whose scores do not matter."""
        plan = self.plan(query)
        if self._filters is None:
            return plan
        kept = self._filters.kept(query, plan)
        if self._notes is not None and kept is not plan:
            self._notes[id(kept)] = (kept, query)
        return kept


def _different(queries: tuple[ast.Query, ...]) -> Iterable[ast.Query]:
    """Return the queries without those that are there before; 1, 1.0 and true are not the same."""
    if len(queries) < 2:
        return queries
    return {repr(query): query for query in queries}.values()


def n_needed(query: ast.Bool) -> int:
    """Return how many of the `should` clauses a document needs: one where nothing else asks for
    documents, even if `minimum_should_match` says none (as in Lucene)."""
    least = 1 if query.should and not (query.must or query.filter) else 0
    if query.minimum_should_match is None:
        return least
    return max(least, minimum_should_match(query.minimum_should_match, len(query.should)))


def _places(tokens: Sequence[Token]) -> tuple[PhraseTerm, ...]:
    """Return the places of a phrase, each with the terms of which one must stand there."""
    at: dict[int, list[bytes]] = {}
    for token in tokens:
        at.setdefault(token.position - tokens[0].position, []).append(token.term)
    return tuple(PhraseTerm(offset, tuple(dict.fromkeys(at[offset]))) for offset in sorted(at))


def match_names(schema: Schema, pattern: str) -> list[Field]:
    """Return the fields of any type whose name matches; `*` is any run of characters."""
    if pattern == "*":
        return list(schema.fields)
    parts = pattern.split("*")
    return [field for field in schema.fields if _matches(field.name, parts)]


def _matches(name: str, parts: list[str]) -> bool:
    """Return whether `name` consists of the parts with any runs of characters between them."""
    first, *middle, last = parts if len(parts) > 1 else (parts[0], "")
    if len(parts) == 1:
        return name == first
    if not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return at <= end


def _as_fuzzy(query: ast.Match, term: str | None = None) -> ast.Fuzzy:
    return ast.Fuzzy(
        query.field,
        keyword_text(query.text) if term is None else term,
        fuzziness=query.fuzziness or "AUTO",
        prefix_length=query.prefix_length,
        max_expansions=query.max_expansions,
        transpositions=query.transpositions,
    )


_REWRITES: dict[type[ast.Query], Callable[..., Plan]] = {
    ast.MatchAll: Rewriter._all,
    ast.MatchNone: Rewriter._none,
    ast.Ids: Rewriter._ids,
    ast.Exists: Rewriter._exists,
    ast.Match: Rewriter._match,
    ast.MatchPhrase: Rewriter._match_phrase,
    ast.MatchPhrasePrefix: Rewriter._match_phrase_prefix,
    ast.Term: Rewriter._term,
    ast.Terms: Rewriter._terms_of,
    ast.Range: Rewriter._range,
    ast.Prefix: Rewriter._prefix,
    ast.Wildcard: Rewriter._wildcard,
    ast.Regexp: Rewriter._regexp,
    ast.Fuzzy: Rewriter._fuzzy,
    ast.OverFields: Rewriter._over_fields,
    ast.DisMax: Rewriter._dis_max,
    ast.ConstantScore: Rewriter._constant_score,
    ast.Bool: Rewriter._bool,
}
