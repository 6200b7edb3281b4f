"""A query builder: every clause of the server as a value, joined with & | ~."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any


class Q:
    """An immutable query. Make one with the constructors below; `to_json()` is what is sent.

    `a & b` matches both, `a | b` either, `~a` the documents that `a` does not match;
    `a.filter(b)` keeps the score of `a` alone; `a.boost(2)` weighs it.
    """

    __slots__ = ("_body",)

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def to_json(self) -> dict[str, Any]:
        return self._body

    def __repr__(self) -> str:
        return f"Q({self._body!r})"

    def __eq__(self, other: object) -> builtins.bool:
        return isinstance(other, Q) and self._body == other._body

    def __hash__(self) -> int:
        return hash(repr(self._body))

    def __and__(self, other: Q) -> Q:
        return Q.bool(must=[*self._parts("must"), *other._parts("must")])

    def __or__(self, other: Q) -> Q:
        return Q.bool(should=[*self._parts("should"), *other._parts("should")])

    def __invert__(self) -> Q:
        return Q.bool(must_not=[self])

    def filter(self, *queries: Q) -> Q:
        return Q.bool(must=[self], filter=queries)

    def boost(self, factor: float) -> Q:
        """Return the query with its score multiplied."""
        return Q.bool(must=[self], boost=factor)

    def _parts(self, kind: str) -> list[Q]:
        """Return the clauses of a bool query that has only this kind, else the query itself."""
        body = self._body.get("bool")
        if isinstance(body, dict) and list(body) == [kind]:
            return [Q(part) for part in body[kind]]
        return [self]

    @staticmethod
    def match_all() -> Q:
        return Q({"match_all": {}})

    @staticmethod
    def match_none() -> Q:
        return Q({"match_none": {}})

    @staticmethod
    def match(field: str, text: str, **options: Any) -> Q:
        """Match analysed text. Options: operator, minimum_should_match, boost."""
        return Q({"match": {field: {"query": text, **options}}})

    @staticmethod
    def phrase(field: str, text: str, **options: Any) -> Q:
        """Match words in this order. Options: slop, boost."""
        return Q({"match_phrase": {field: {"query": text, **options}}})

    @staticmethod
    def multi_match(text: str, fields: Iterable[str], **options: Any) -> Q:
        return Q({"multi_match": {"query": text, "fields": list(fields), **options}})

    @staticmethod
    def term(field: str, value: Any) -> Q:
        """Match the exact value."""
        return Q({"term": {field: {"value": value}}})

    @staticmethod
    def terms(field: str, values: Iterable[Any]) -> Q:
        return Q({"terms": {field: list(values)}})

    @staticmethod
    def range(field: str, *, gt: Any = None, gte: Any = None, lt: Any = None, lte: Any = None) -> Q:
        bounds = {"gt": gt, "gte": gte, "lt": lt, "lte": lte}
        return Q({"range": {field: {name: at for name, at in bounds.items() if at is not None}}})

    @staticmethod
    def exists(field: str) -> Q:
        return Q({"exists": {"field": field}})

    @staticmethod
    def ids(values: Iterable[str]) -> Q:
        return Q({"ids": {"values": list(values)}})

    @staticmethod
    def prefix(field: str, value: str) -> Q:
        return Q({"prefix": {field: {"value": value}}})

    @staticmethod
    def wildcard(field: str, pattern: str) -> Q:
        """Match a pattern: `*` is anything, `?` one character."""
        return Q({"wildcard": {field: {"value": pattern}}})

    @staticmethod
    def query_string(text: str, **options: Any) -> Q:
        """Match the query-string syntax, as `tailrace search` takes it."""
        return Q({"query_string": {"query": text, **options}})

    @staticmethod
    def constant_score(query: Q, boost: float = 1.0) -> Q:
        return Q({"constant_score": {"filter": query.to_json(), "boost": boost}})

    @staticmethod
    def dis_max(queries: Iterable[Q], tie_breaker: float = 0.0) -> Q:
        """Score each document by the best of the queries that match it."""
        parts = [query.to_json() for query in queries]
        return Q({"dis_max": {"queries": parts, "tie_breaker": tie_breaker}})

    @staticmethod
    def bool(
        *,
        must: Iterable[Q] = (),
        should: Iterable[Q] = (),
        must_not: Iterable[Q] = (),
        filter: Iterable[Q] = (),
        **options: Any,
    ) -> Q:
        """Join clauses. Options: minimum_should_match, boost."""
        kinds = {"must": must, "should": should, "must_not": must_not, "filter": filter}
        body: dict[str, Any] = {}
        for kind, queries in kinds.items():
            if parts := [query.to_json() for query in queries]:
                body[kind] = parts
        return Q({"bool": {**body, **options}})


def to_query(query: Q | str | dict[str, Any] | None) -> dict[str, Any]:
    """Return the JSON of a query; a text is query-string syntax, None matches everything."""
    if query is None:
        return Q.match_all().to_json()
    if isinstance(query, str):
        return Q.query_string(query).to_json()
    return query.to_json() if isinstance(query, Q) else query
