"""The short way of the commonest searches: terms of one field, answered by one kernel call.

What a user types into a search box becomes one of these; the general way by plan and program
gives the same answers and costs ten times as much Python.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

import numpy as np

from index.analysis.analyzer import Analyzer
from index.kernels import best_terms as kernels
from index.query import ast
from index.query.analysis import analyze, analyzer_of
from index.query.statistics import Statistics, address
from index.query.stop import NEVER, Stop
from index.query.token_graph import in_a_row
from index.query.values import keyword_term
from index.schema import Field, Schema

_OF_FIELD = slice(kernels.FIELD_DOCS, kernels.TABLE + 1)
_ANSWER = slice(kernels.TOTAL, kernels.N_HITS + 1)
_NEVER_AT = address(NEVER)


_ONE = int(np.float64(1.0).view(np.int64))


class Question:
    """Some terms, ready to be asked about: their text, and the row of `kernels/best_terms.py`."""

    __slots__ = ("row", "text")

    def __init__(self, how: int, terms: tuple[bytes, ...], places: tuple[int, ...]) -> None:
        self.text = np.frombuffer(bytearray(b"".join(terms)), np.uint8)
        head = [0] * kernels.ENDS
        head[kernels.HOW] = how
        head[kernels.N_TERMS] = len(terms)
        head[kernels.LIMIT] = -1
        head[kernels.STOP] = _NEVER_AT
        head[kernels.BOOST] = _ONE
        ends = accumulate(map(len, terms))
        self.row = np.array([*head, *ends, *places], np.int64)


def question_of(query: ast.Query, schema: Schema) -> tuple[Field, Question] | None:
    """Return the question that a query comes to, or None: it goes the general way."""
    kind = type(query)
    if kind is ast.Match:
        assert isinstance(query, ast.Match)
        if query.fuzziness is not None or query.minimum_should_match is not None:
            return None
        how = kernels.ALL if query.operator == "and" else kernels.ANY
    elif kind is ast.MatchPhrase:
        assert isinstance(query, ast.MatchPhrase)
        if query.slop:
            return None
        how = kernels.PHRASE
    elif kind is ast.Term:
        assert isinstance(query, ast.Term)
        field = schema.field(query.field)
        if field is None or field.normalizer is not None:
            return None
        if query.case_insensitive or not (field.is_text or field.is_keyword):
            return None
        return (field, _exact(keyword_term(query.value))) if field.index else None
    else:
        return None
    field = schema.field(query.field)
    if field is None or not field.is_text or not field.index or type(query.text) is not str:
        return None
    question = _analyzed(analyzer_of(schema, field, query.analyzer), query.text, how)
    return None if question is None else (field, question)


@lru_cache(maxsize=4096)
def _exact(term: bytes) -> Question:
    return Question(kernels.ANY, (term,), (0,))


@lru_cache(maxsize=4096)
def _analyzed(analyzer: Analyzer, text: str, how: int) -> Question | None:
    tokens = analyze(analyzer, text)
    if not tokens or not in_a_row(tokens):
        return None
    first = tokens[0].position
    places = tuple(token.position - first for token in tokens)
    return Question(
        kernels.ANY if len(tokens) == 1 else how, tuple(token.term for token in tokens), places
    )


def ask(
    field: Field,
    question: Question,
    statistics: Statistics,
    boost: float,
    k: int,
    limit: int,
    stop: Stop = NEVER,
) -> tuple[int, list[float], list[int]]:
    """Return the total, and the scores and (view << 32 | doc id) of the best `k`, best first.

    `limit`: count so many matches at most (a total above it: at least that many), -1: none.
    """
    text = statistics.text(field.no)
    row = question.row.copy()
    row[_OF_FIELD] = text.parameters
    if limit >= 0:
        row[kernels.LIMIT] = limit
    if boost != 1.0:
        row.view(np.float64)[kernels.BOOST] = boost
    if stop is not NEVER:
        row[kernels.STOP] = address(stop)
    scores, docs = np.empty(k, np.float32), np.empty(k, np.int64)
    kernels.best_of_terms(text.rows, question.text, row, scores, docs)
    total, n = row[_ANSWER].tolist()
    if n < k:
        scores, docs = scores[:n], docs[:n]
    return total, scores.tolist(), docs.tolist()
