"""What a query asks of the words of each field: single terms, patterns and phrases.

What highlighting marks. What a query forbids is not among it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from index.analysis.analyzer import Token
from index.automaton import automaton as automata
from index.fuzzy import FuzzyPattern
from index.query import ast
from index.query.analysis import analyze, analyzer_of, normalized
from index.query.fuzzy import max_edits
from index.query.rewrite import match_names
from index.query.token_graph import is_flat, paths, segments, whole_paths
from index.query.values import keyword_term, keyword_text
from index.schema import Field, Schema

Accept = Callable[[bytes], bool]
"""Whether a term is meant."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Places that follow each other, at most `slop` moves apart."""

    places: tuple[tuple[int, Accept], ...]
    """(position within the phrase, what may stand there)"""
    groups: tuple[int, ...]
    """For each place, the first place of which the same words are asked: equal places never take
    the same position."""
    slop: int


@dataclass(slots=True)
class Wanted:
    """What is asked of one field."""

    terms: set[bytes] = field(default_factory=set)
    patterns: list[Accept] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)

    def add(self, other: Wanted) -> None:
        self.terms |= other.terms
        self.patterns += other.patterns
        self.phrases += other.phrases

    def accepts(self, term: bytes) -> bool:
        """Return whether the term is meant wherever it stands."""
        return term in self.terms or any(accept(term) for accept in self.patterns)

    def is_of_use(self, term: bytes) -> bool:
        """Return whether the term is meant, or may stand in a phrase."""
        return self.accepts(term) or any(
            accept(term) for phrase in self.phrases for _, accept in phrase.places
        )

    @property
    def is_nothing(self) -> bool:
        return not (self.terms or self.patterns or self.phrases)


class Asked:
    """What one query asks, field by field."""

    def __init__(self, schema: Schema, query: ast.Query) -> None:
        self._schema = schema
        self._wanted: dict[str, Wanted] = {}
        self._visit(query)

    def of(self, names: Iterable[str]) -> Wanted:
        """Return what is asked of these fields together."""
        together = Wanted()
        for name in names:
            if name in self._wanted:
                together.add(self._wanted[name])
        return together

    def of_all(self) -> Wanted:
        return self.of(self._wanted)

    def _visit(self, query: ast.Query) -> None:
        if isinstance(query, ast.Bool):
            for part in (*query.must, *query.should, *query.filter):
                self._visit(part)
        elif isinstance(query, ast.DisMax):
            for part in query.queries:
                self._visit(part)
        elif isinstance(query, ast.ConstantScore):
            self._visit(query.filter)
        elif isinstance(query, ast.OverFields):
            for each in self._fields(query.fields):
                self._visit(replace(query.query, field=each.name))
        else:
            name = getattr(query, "field", None)
            found = None if name is None else self._schema.field(name)
            if found is not None and (found.is_text or found.is_keyword):
                self._visit_leaf(query, found, self._wanted.setdefault(found.name, Wanted()))

    def _fields(self, patterns: tuple[ast.FieldPattern, ...]) -> Iterable[Field]:
        for pattern in patterns:
            if "*" in pattern.pattern:
                yield from match_names(self._schema, pattern.pattern)
            elif (found := self._schema.field(pattern.pattern)) is not None:
                yield found

    def _visit_leaf(self, query: ast.Query, field: Field, wanted: Wanted) -> None:
        query = normalized(query, field, self._schema)
        if isinstance(query, ast.Match):
            tokens = self._tokens(field, query.text, query.analyzer)
            for token in tokens:
                if query.fuzziness is not None:
                    word = token.term.decode("utf-8", "surrogatepass")
                    wanted.patterns.append(_near(query, query.fuzziness, word))
                elif is_flat(tokens):
                    wanted.terms.add(token.term)
            if query.fuzziness is None and not is_flat(tokens):
                for way in (way for segment in segments(tokens) for way in paths(segment)):
                    _add_places(way.places, 0, wanted)
        elif isinstance(query, ast.MatchPhrase | ast.MatchPhrasePrefix):
            tokens = self._tokens(field, query.text, query.analyzer)
            if is_flat(tokens) or isinstance(query, ast.MatchPhrasePrefix):
                _add_phrase(query, tokens, wanted)
            else:
                for way in whole_paths(tokens):
                    _add_places(way.places, query.slop, wanted)
        elif isinstance(query, ast.Term) and not query.case_insensitive:
            wanted.terms.add(keyword_term(query.value))
        elif isinstance(query, ast.Terms):
            wanted.terms.update(map(keyword_term, query.values))
        else:
            pattern = pattern_of(query)
            if pattern is not None:
                wanted.patterns.append(pattern)

    def _tokens(self, field: Field, text: ast.Scalar, analyzer: str | None) -> Sequence[Token]:
        if field.is_keyword:
            return [Token(keyword_term(text), 0, 0, 0)]
        return analyze(analyzer_of(self._schema, field, analyzer), keyword_text(text))


def pattern_of(query: ast.Query) -> Accept | None:
    """Return what accepts the terms that a query by pattern stands for; None: it is no such."""
    if isinstance(query, ast.Term):
        return automata.word(keyword_text(query.value), caseless=query.case_insensitive).accepts
    if isinstance(query, ast.Prefix):
        text = query.value
        if query.case_insensitive:
            return automata.prefix(text, caseless=True).accepts
        return _starts_with(keyword_term(text))
    if isinstance(query, ast.Wildcard):
        return automata.wildcard(query.pattern, caseless=query.case_insensitive).accepts
    if isinstance(query, ast.Regexp):
        return query.automaton().accepts
    if isinstance(query, ast.Fuzzy):
        return _near(query, query.fuzziness, keyword_text(query.value))
    return None


def _add_phrase(
    query: ast.MatchPhrase | ast.MatchPhrasePrefix, tokens: Sequence[Token], wanted: Wanted
) -> None:
    is_prefix = isinstance(query, ast.MatchPhrasePrefix)
    if len(tokens) == 1 and not is_prefix:
        wanted.terms.add(tokens[0].term)
    elif len(tokens) == 1:
        wanted.patterns.append(_starts_with(tokens[0].term))
    elif tokens:
        first = tokens[0].position
        at: dict[int, list[bytes]] = {}
        for token in tokens:
            at.setdefault(token.position - first, []).append(token.term)
        last = _starts_with(tokens[-1].term) if is_prefix else None
        wanted.phrases.append(_phrase([*at.items()], last, query.slop))


def _add_places(places: Sequence[tuple[int, bytes]], slop: int, wanted: Wanted) -> None:
    if len(places) == 1:
        wanted.terms.add(places[0][1])
    elif places:
        wanted.phrases.append(_phrase([(offset, [term]) for offset, term in places], None, slop))


def _phrase(asked: Sequence[tuple[int, list[bytes]]], last: Accept | None, slop: int) -> Phrase:
    """Return the phrase of (position, terms) one by one; `last`: what its last place accepts."""
    places: list[tuple[int, Accept]] = [
        (offset, frozenset(terms).__contains__) for offset, terms in asked
    ]
    every = [terms for _, terms in asked]
    groups = [every.index(terms) for terms in every]
    if last is not None:
        places[-1] = (asked[-1][0], last)
        groups[-1] = len(asked) - 1  # a prefix is no word's equal
    return Phrase(tuple(places), tuple(groups), slop)


def _starts_with(prefix: bytes) -> Accept:
    return lambda term: term.startswith(prefix)


def _near(query: ast.Match | ast.Fuzzy, fuzziness: str, word: str) -> Accept:
    """Return what accepts the terms that a fuzzy query expands to, however many they are."""
    pattern = FuzzyPattern.of(
        keyword_term(word),
        max_edits(fuzziness, word),
        query.prefix_length,
        transposes=query.transpositions,
    )
    return pattern.accepts
