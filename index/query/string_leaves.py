"""The leaf queries that both query-string syntaxes are made of."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from index.query import ast
from index.query.boosts import multiplied

Chars = Sequence[tuple[str, bool]]
"""Characters of a term, each with whether a backslash stood before it."""

_Leaf = (
    ast.Match
    | ast.MatchPhrase
    | ast.MatchPhrasePrefix
    | ast.Term
    | ast.Range
    | ast.Prefix
    | ast.Wildcard
    | ast.Regexp
    | ast.Fuzzy
)


def over(fields: tuple[ast.FieldPattern, ...], leaf: _Leaf) -> ast.Query:
    """Ask `leaf` of the fields; of one plain field directly."""
    if len(fields) == 1 and "*" not in fields[0].pattern:
        return replace(leaf, field=fields[0].pattern, boost=multiplied(leaf.boost, fields[0].boost))
    if any("*" in field.pattern for field in fields):
        leaf = replace(leaf, lenient=True)
    return ast.OverFields(fields, leaf)


def exists(fields: tuple[ast.FieldPattern, ...]) -> ast.Query:
    """Return what `field:*` asks for; over all fields it is every document."""
    if fields == ast.ALL_FIELDS:
        return ast.MatchAll()
    found = tuple(ast.Exists(field.pattern) for field in fields)
    return found[0] if len(found) == 1 else ast.Bool(should=found)


def word(fields: tuple[ast.FieldPattern, ...], chars: Chars, operator: ast.Operator) -> ast.Query:
    """Return the query of one term as it was typed: a word, a prefix or a pattern."""
    stars = [i for i, (char, escaped) in enumerate(chars) if char in "*?" and not escaped]
    text = "".join(char for char, _ in chars)
    if not stars:
        return over(fields, ast.Match("", text, operator=operator))
    if text == "*":
        return exists(fields)
    if stars == [len(chars) - 1] and text[-1] == "*":
        return over(fields, ast.Prefix("", text[:-1], normalize=True))
    pattern = "".join(
        "\\" + char if char == "\\" or (char in "*?" and escaped) else char
        for char, escaped in chars
    )
    return over(fields, ast.Wildcard("", pattern, normalize=True))


def fuzzy(fields: tuple[ast.FieldPattern, ...], text: str, edits: str) -> ast.Query:
    """Return what `term~`, `term~1`, `term~2` and `term~0` ask for."""
    if edits == "0":
        return over(fields, ast.Match("", text))
    return over(fields, ast.Fuzzy("", text, fuzziness=edits or "AUTO", normalize=True))


def refined(
    query: ast.Query, *, prefix_length: int, max_expansions: int, transpositions: bool
) -> ast.Query:
    """Return a query that a parser made, with these options in all that is fuzzy."""

    def refine_word(word: ast.Fuzzy) -> ast.Fuzzy:
        return replace(
            word,
            prefix_length=prefix_length,
            max_expansions=max_expansions,
            transpositions=transpositions,
        )

    def refine(each: ast.Query) -> ast.Query:
        if isinstance(each, ast.Fuzzy):
            return refine_word(each)
        if isinstance(each, ast.OverFields) and isinstance(each.query, ast.Fuzzy):
            return replace(each, query=refine_word(each.query))
        if isinstance(each, ast.Bool):
            return replace(
                each,
                must=tuple(map(refine, each.must)),
                should=tuple(map(refine, each.should)),
                filter=tuple(map(refine, each.filter)),
                must_not=tuple(map(refine, each.must_not)),
            )
        return each

    return refine(query)


def boosted(query: ast.Query, boost: float) -> ast.Query:
    return query if boost == 1.0 else replace(query, boost=multiplied(query.boost, boost))
