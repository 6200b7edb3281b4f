"""Query texts and values as a field's terms are written."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from index.analysis.analyzer import Analyzer, Token
from index.errors import InvalidQueryError, MappingError
from index.query import ast
from index.query.values import keyword_text
from index.schema import Field, Schema


def analyzer_of(schema: Schema, field: Field, name: str | None) -> Analyzer:
    """Return what a query text for a field goes through. `name`: the analyzer that the query
    names. Raises: InvalidQueryError if there is none of that name."""
    if name is None:
        return schema.search_analyzer(field)
    try:
        return schema.analyzer(name)
    except MappingError as error:
        raise InvalidQueryError(str(error)) from error


@lru_cache(maxsize=1024)
def analyze(analyzer: Analyzer, text: str) -> tuple[Token, ...]:
    """Analyse once what is asked of many fields, or of batch after batch by a standing query."""
    return tuple(analyzer.tokens(text))


def normalized(query: Any, field: Field, schema: Schema) -> Any:
    """Return a query of one field, its value or pattern as the field's terms are written: through
    the normalizer of a keyword; of a text, in the letters that its analyzer gives."""
    if field.is_text:
        if not getattr(query, "normalize", False):
            return query
        return _with_part(query, schema.search_analyzer(field).normalized_part)
    normalizer = schema.normalizer(field)
    if normalizer is None:
        return query
    changed = _with_part(query, normalizer.normalized_part)
    if changed is not query:
        return changed

    def whole(value: ast.Scalar) -> str:
        return normalizer.normalized(keyword_text(value)).decode()

    if isinstance(query, ast.Term):
        return replace(query, value=whole(query.value))
    if isinstance(query, ast.Terms):
        return replace(query, values=tuple(whole(value) for value in query.values))
    if isinstance(query, ast.Range):
        given = {name: getattr(query, name) for name in ("gt", "gte", "lt", "lte")}
        bounds: dict[str, Any] = {
            name: whole(value) for name, value in given.items() if value is not None
        }
        return replace(query, **bounds)
    if isinstance(query, ast.Match | ast.MatchPhrase):
        return replace(query, text=whole(query.text))
    return query


def _with_part(query: Any, change: Any) -> Any:
    """Return a query of a pattern with the pattern changed; any other as it is."""
    if isinstance(query, ast.Prefix):
        return replace(query, value=change(query.value))
    if isinstance(query, ast.Wildcard):
        return replace(query, pattern=change(query.pattern))
    if isinstance(query, ast.Fuzzy):
        return replace(query, value=change(keyword_text(query.value)))
    return query
