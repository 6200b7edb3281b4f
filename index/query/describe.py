"""Queries and plans as one line of text, in the notation that Lucene prints.

`title:fox`, `title:"brown fox"~2`, `n:[1 TO 5}`, `+required #filter -excluded optional`,
`(best | of)~0.3`, `ConstantScore(..)`, `^2.0` for a boost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from index.errors import TailraceError
from index.query import ast
from index.query.analysis import analyzer_of
from index.query.filters import KeptLeaf
from index.query.leaves import AllLeaf, KeysLeaf, TermLeaf
from index.query.phrase import PhraseLeaf
from index.query.plan import NOTHING, Best, Constant, Every, Plan, Some
from index.query.rewrite import Notes
from index.query.values import keyword_text
from index.schema import Schema

Describe = Callable[..., str]

_WHOLE = re.compile(
    r"ConstantScore\(.*\)|\([^()]*\)|\S+:(\"[^\"]*\"(~\d+)?|[\[{(][^\[{()}\]]*[)}\]])"
)
NO_DOCUMENT = "MatchNoDocsQuery"
EVERY_DOCUMENT = "*:*"


def describe_query(query: ast.Query, schema: Schema) -> str:
    """Return a query as it was asked, texts analysed."""
    describe: Describe = _QUERIES.get(type(query), _describe_leaf)
    return boosted(describe(query, schema), query.boost)


def describe_plan(plan: Plan, schema: Schema, notes: Notes) -> str:
    """Return what is left of a query for one searcher."""
    if plan is NOTHING:
        return NO_DOCUMENT
    if isinstance(plan, Every):
        parts = [("+" if scores else "#", part) for part, scores in plan.required]
        parts += [("", part) for part in plan.optional]
        parts += [("-", part) for part in plan.excluded]
        return " ".join(sign + _grouped_plan(part, schema, notes) for sign, part in parts)
    if isinstance(plan, Some):
        found = " ".join(_grouped_plan(part, schema, notes) for part in plan.parts)
        return found if plan.at_least == 1 else f"({found})~{plan.at_least}"
    if isinstance(plan, Best):
        return _best((_grouped_plan(part, schema, notes) for part in plan.parts), plan.tie_breaker)
    if isinstance(plan, Constant):
        inner = describe_plan(plan.part, schema, notes)
        return boosted(f"ConstantScore({inner})", plan.score)
    return describe_leaf(plan, schema, notes)


def describe_leaf(leaf: Any, schema: Schema, notes: Notes) -> str:
    if isinstance(leaf, TermLeaf):
        return boosted(f"{schema.by_no(leaf.field_no).name}:{_text(leaf.term)}", leaf.boost)
    if isinstance(leaf, PhraseLeaf):
        places = [
            _text(place.terms[0])
            if len(place.terms) == 1
            else f"({' '.join(map(_text, place.terms))})"
            for place in leaf.terms
        ]
        phrase = f'{schema.by_no(leaf.field_no).name}:"{" ".join(places)}"'
        return boosted(phrase + (f"~{leaf.slop}" if leaf.slop else ""), leaf.boost)
    if isinstance(leaf, AllLeaf):
        return boosted(EVERY_DOCUMENT, leaf.weight)
    noted = notes.get(id(leaf))
    if noted is not None and isinstance(leaf, KeptLeaf):
        return f"kept({describe_query(noted[1], schema)})"
    if noted is not None and not isinstance(noted[1], _NESTS):
        return boosted(_describe_leaf(noted[1], schema), leaf.weight)
    if isinstance(leaf, KeysLeaf):
        return "_id"
    return type(leaf).__name__.removesuffix("Leaf").lower()


def boosted(text: str, boost: float) -> str:
    if boost == 1.0:
        return text
    return f"({text})^{boost:g}" if " " in text and not _is_whole(text) else f"{text}^{boost:g}"


def _is_whole(text: str) -> bool:
    """Return whether a boost behind the text means all of it."""
    return _WHOLE.fullmatch(text) is not None


def _text(term: bytes) -> str:
    return term.decode("utf-8", "replace")


def _grouped_plan(plan: Plan, schema: Schema, notes: Notes) -> str:
    text = describe_plan(plan, schema, notes)
    is_nest = isinstance(plan, Every | Some) and not text.startswith("(")
    return f"({text})" if is_nest and plan is not NOTHING else text


def _best(parts: Iterable[str], tie_breaker: float) -> str:
    text = f"({' | '.join(parts)})"
    return text if tie_breaker == 0 else f"{text}~{tie_breaker:g}"


# --- queries -------------------------------------------------------------------------------
def _grouped(query: ast.Query, schema: Schema) -> str:
    text = describe_query(query, schema)
    return f"({text})" if " " in text and isinstance(query, ast.Bool | ast.Match) else text


def _describe_bool(query: ast.Bool, schema: Schema) -> str:
    parts = [
        sign + _grouped(part, schema)
        for sign, own in (
            ("+", query.must), ("#", query.filter), ("", query.should), ("-", query.must_not)
        )
        for part in own
    ]  # fmt: skip
    text = " ".join(parts) or EVERY_DOCUMENT
    minimum = query.minimum_should_match
    return text if minimum is None else f"({text})~{minimum}"


def _describe_dis_max(query: ast.DisMax, schema: Schema) -> str:
    return _best((_grouped(part, schema) for part in query.queries), query.tie_breaker)


def _describe_constant(query: ast.ConstantScore, schema: Schema) -> str:
    return f"ConstantScore({describe_query(query.filter, schema)})"


def _describe_over(query: ast.OverFields, schema: Schema) -> str:
    parts = []
    for pattern in query.fields:
        leaf = _Renamed(query.query, pattern.pattern)
        parts.append(boosted(_describe_leaf(leaf, schema), pattern.boost))
    if query.combine == "sum":
        return " ".join(parts)
    return parts[0] if len(parts) == 1 else _best(parts, query.tie_breaker)


class _Renamed:
    """A leaf query seen under the name of another field."""

    def __init__(self, query: ast.Query, field: str) -> None:
        self.query = query
        self.field = field


def _describe_leaf(query: Any, schema: Schema) -> str:
    if isinstance(query, _Renamed):
        field, query = query.field, query.query
    else:
        field = getattr(query, "field", "")
    describe = _LEAVES.get(type(query))
    if describe is None:
        return type(query).__name__
    return describe(field, query, schema)


def _tokens(field: str, query: Any, schema: Schema) -> list[str]:
    found = schema.field(field)
    text = keyword_text(query.text)
    if found is None or not found.is_text:
        return [text]
    try:
        tokens = analyzer_of(schema, found, query.analyzer).tokens(text)
    except TailraceError:
        return [text]
    return [_text(token.term) for token in tokens]


def _match(field: str, query: ast.Match, schema: Schema) -> str:
    near = "" if query.fuzziness is None else f"~{query.fuzziness}"
    sign = "+" if query.operator == "and" else ""
    terms = [f"{field}:{term}{near}" for term in _tokens(field, query, schema)]
    text = " ".join(terms if len(terms) == 1 else [sign + term for term in terms])
    return text if query.minimum_should_match is None else f"({text})~{query.minimum_should_match}"


def _phrase(field: str, query: ast.MatchPhrase | ast.MatchPhrasePrefix, schema: Schema) -> str:
    star = "*" if isinstance(query, ast.MatchPhrasePrefix) else ""
    slop = f"~{query.slop}" if query.slop else ""
    return f'{field}:"{" ".join(_tokens(field, query, schema))}{star}"{slop}'


def _range(field: str, query: ast.Range, schema: Schema) -> str:
    low = query.gte if query.gt is None else query.gt
    high = query.lte if query.lt is None else query.lt
    left, right = "[{"[query.gt is not None], "]}"[query.lt is not None]
    bounds = ["*" if bound is None else keyword_text(bound) for bound in (low, high)]
    return f"{field}:{left}{bounds[0]} TO {bounds[1]}{right}"


_NESTS = (ast.Bool, ast.DisMax, ast.ConstantScore, ast.OverFields)
_QUERIES: dict[type[ast.Query], Describe] = {
    ast.Bool: _describe_bool,
    ast.DisMax: _describe_dis_max,
    ast.ConstantScore: _describe_constant,
    ast.OverFields: _describe_over,
}
_LEAVES: dict[type[ast.Query], Describe] = {
    ast.MatchAll: lambda field, query, schema: EVERY_DOCUMENT,
    ast.MatchNone: lambda field, query, schema: NO_DOCUMENT,
    ast.Match: _match,
    ast.MatchPhrase: _phrase,
    ast.MatchPhrasePrefix: _phrase,
    ast.Range: _range,
    ast.Term: lambda field, query, schema: f"{field}:{keyword_text(query.value)}",
    ast.Terms: lambda field, query, schema: (
        f"{field}:({' '.join(map(keyword_text, query.values))})"
    ),
    ast.Exists: lambda field, query, schema: f"FieldExistsQuery [field={field}]",
    ast.Ids: lambda field, query, schema: f"_id:({' '.join(query.keys)})",
    ast.Prefix: lambda field, query, schema: f"{field}:{query.value}*",
    ast.Wildcard: lambda field, query, schema: f"{field}:{query.pattern}",
    ast.Regexp: lambda field, query, schema: f"{field}:/{query.pattern}/",
    ast.Fuzzy: lambda field, query, schema: (
        f"{field}:{keyword_text(query.value)}~{query.fuzziness}"
    ),
}
