"""Plain highlighting: analyse the field's text again and mark the tokens that the query asks."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from index.analysis.analyzer import Token, get_analyzer
from index.automaton.automaton import Automaton, wildcard
from index.fuzzy import FuzzyPattern
from index.query import ast
from index.query.fuzzy import max_edits
from index.query.request import HighlightField, SearchRequest
from index.query.rewrite_terms import regexp_automaton
from index.query.source_filter import fields_named, values_at
from index.query.values import keyword_term, keyword_text
from index.schema import Field, Schema

Accept = Callable[[str], bool]


def highlight_source(request: SearchRequest, schema: Schema, source: bytes) -> dict[str, list[str]]:
    """Return the fragments of each field with a match; a field without one is left out."""
    if request.highlight is None:
        return {}
    fields = msgspec.json.decode(source)
    found: dict[str, list[str]] = {}
    for wanted in request.highlight.fields:
        query = request.query if wanted.query is None else wanted.query
        asked = Asked(schema)
        asked.visit(query)
        for field in fields_named(schema, wanted.pattern):
            if not (field.is_text or field.is_keyword):
                continue
            accepts = asked.of(field, only_own=wanted.require_field_match)
            values = [str(v) for v in values_at(fields, field.parent or field.name)]
            fragments = _fragments(field, values, accepts, wanted)
            if fragments:
                found[field.name] = fragments
    return found


class Asked:
    """The terms that a query asks for, field by field; what it forbids is not among them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._terms: dict[str, set[str]] = {}
        self._patterns: dict[str, list[Accept]] = {}

    def of(self, field: Field, *, only_own: bool) -> Accept:
        """Return what accepts a term of the field; all fields' terms unless `only_own`."""
        names = [field.name] if only_own else [*self._terms, *self._patterns]
        terms = {term for name in names for term in self._terms.get(name, ())}
        patterns = [accept for name in names for accept in self._patterns.get(name, ())]
        return lambda term: term in terms or any(accept(term) for accept in patterns)

    def visit(self, query: ast.Query) -> None:
        if isinstance(query, ast.Bool):
            for part in (*query.must, *query.should, *query.filter):
                self.visit(part)
        elif isinstance(query, ast.DisMax):
            for part in query.queries:
                self.visit(part)
        elif isinstance(query, ast.ConstantScore):
            self.visit(query.filter)
        elif isinstance(query, ast.OverFields):
            for each in self._fields(query.fields):
                self.visit(replace(query.query, field=each.name))
        else:
            field_name = getattr(query, "field", None)
            field = None if field_name is None else self._schema.field(field_name)
            if field is not None and (field.is_text or field.is_keyword):
                self._visit_leaf(query, field)

    def _fields(self, patterns: tuple[ast.FieldPattern, ...]) -> list[Field]:
        found: list[Field] = []
        for pattern in patterns:
            found += fields_named(self._schema, pattern.pattern)
        return found

    def _visit_leaf(self, query: ast.Query, field: Field) -> None:
        if isinstance(query, ast.Match | ast.MatchPhrase | ast.MatchPhrasePrefix):
            tokens = self._tokens(field, keyword_text(query.text), query.analyzer)
            if isinstance(query, ast.MatchPhrasePrefix) and tokens:
                self._add_pattern(field, _starts_with(tokens.pop()))
            if isinstance(query, ast.Match) and query.fuzziness is not None:
                for token in tokens:
                    self._add_pattern(field, _near(query, query.fuzziness, token))
            self._add(field, *tokens)
        elif isinstance(query, ast.Term):
            self._add(field, keyword_text(query.value))
        elif isinstance(query, ast.Terms):
            self._add(field, *map(keyword_text, query.values))
        elif isinstance(query, ast.Prefix):
            self._add_pattern(field, _starts_with(self._normal(field, query, query.value)))
        elif isinstance(query, ast.Wildcard):
            pattern = self._normal(field, query, query.pattern)
            automaton = wildcard(pattern, caseless=query.case_insensitive)
            self._add_pattern(field, _accepted_by(automaton))
        elif isinstance(query, ast.Regexp):
            self._add_pattern(field, _accepted_by(regexp_automaton(query)))
        elif isinstance(query, ast.Fuzzy):
            text = self._normal(field, query, keyword_text(query.value))
            self._add_pattern(field, _near(query, query.fuzziness, text))

    def _normal(self, field: Field, query: ast.Prefix | ast.Wildcard | ast.Fuzzy, text: str) -> str:
        return text.lower() if query.normalize and field.is_text else text

    def _tokens(self, field: Field, text: str, analyzer: str | None) -> list[str]:
        if field.is_keyword:
            return [text]
        tokens = get_analyzer(analyzer or field.query_analyzer).tokens(text)
        return [token.term.decode("utf-8", "replace") for token in tokens]

    def _add(self, field: Field, *terms: str) -> None:
        self._terms.setdefault(field.name, set()).update(terms)

    def _add_pattern(self, field: Field, accept: Accept) -> None:
        self._patterns.setdefault(field.name, []).append(accept)


def _starts_with(prefix: str) -> Accept:
    return lambda term: term.startswith(prefix)


def _accepted_by(automaton: Automaton) -> Accept:
    return lambda term: automaton.accepts(keyword_term(term))


def _near(query: ast.Match | ast.Fuzzy, fuzziness: str, word: str) -> Accept:
    """Return what accepts the terms that a fuzzy query expands to, however many they are."""
    pattern = FuzzyPattern.of(
        keyword_term(word),
        max_edits(fuzziness, word),
        query.prefix_length,
        transposes=query.transpositions,
    )
    return lambda term: pattern.accepts(keyword_term(term))


class _Mark(NamedTuple):
    start: int
    end: int
    term: str


def _fragments(
    field: Field, values: list[str], accept: Accept, wanted: HighlightField
) -> list[str]:
    scored: list[tuple[int, int, str]] = []
    for text in values:
        tokens = _tokens(field, text)
        marks = [
            _Mark(token.start, token.end, term)
            for token in tokens
            if accept(term := token.term.decode("utf-8", "replace"))
        ]
        if not marks:
            continue
        for start, end in _pieces(text, tokens, wanted):
            own = [mark for mark in marks if start <= mark.start < end]
            if own:
                score = len({mark.term for mark in own})
                scored.append((-score, len(scored), _marked(text, start, end, own, wanted)))
    if not scored:
        return _without_match(values, wanted)
    if wanted.number_of_fragments == 0:
        return [fragment for _, _, fragment in scored]
    best = sorted(scored)[: wanted.number_of_fragments]
    if wanted.order == "none":
        best.sort(key=lambda entry: entry[1])
    return [fragment for _, _, fragment in best]


def _tokens(field: Field, text: str) -> list[Token]:
    if field.is_keyword:
        return [Token(text.encode("utf-8", "surrogatepass"), 0, 0, len(text))]
    return get_analyzer(field.analyzer).tokens(text)


def _pieces(text: str, tokens: list[Token], wanted: HighlightField) -> list[tuple[int, int]]:
    """Cut a text into pieces of about `fragment_size` characters that begin at tokens."""
    if wanted.number_of_fragments == 0 or wanted.fragment_size == 0:
        return [(0, len(text))]
    cuts = [0]
    for token in tokens:
        if token.end - cuts[-1] > wanted.fragment_size and token.start > cuts[-1]:
            cuts.append(token.start)
    return list(zip(cuts, [*cuts[1:], len(text)], strict=True))


def _marked(text: str, start: int, end: int, marks: list[_Mark], wanted: HighlightField) -> str:
    escape: Any = html.escape if wanted.encoder == "html" else str
    pre, post = wanted.pre_tags[0], wanted.post_tags[0]
    out, at = [], start
    for mark in marks:
        if mark.start < at:
            continue
        out += [escape(text[at : mark.start]), pre, escape(text[mark.start : mark.end]), post]
        at = mark.end
    out.append(escape(text[at : max(end, at)]))
    fragment = "".join(out)
    return fragment if wanted.number_of_fragments == 0 else fragment.strip()


def _without_match(values: list[str], wanted: HighlightField) -> list[str]:
    if not wanted.no_match_size or not values:
        return []
    escape: Any = html.escape if wanted.encoder == "html" else str
    return [escape(values[0][: wanted.no_match_size])]
