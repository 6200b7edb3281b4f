"""Valid requests with one thing changed at random: each has an answer, and none is a 500."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import orjson
import pytest

from tests.server.conftest import Client

SEARCHES: list[Any] = [
    {"query": {"match": {"title": {"query": "a b", "operator": "and", "boost": 2}}}, "size": 3},
    {"query": {"bool": {"must": [{"term": {"tag": "x"}}], "filter": {"range": {"n": {"gte": 1}}}}}},
    {"query": {"query_string": {"query": "title:(a OR b*) AND n:[1 TO 5]", "fields": ["title^2"]}}},
    {"query": {"match_phrase": {"title": {"query": "a b", "slop": 1}}}, "sort": [{"n": "desc"}]},
    {"query": {"terms": {"tag": ["x", "y"]}}, "_source": {"includes": ["n"]}, "fields": ["n"]},
    {"query": {"range": {"when": {"gte": "now-1d/d", "lt": "2030-01-01||+1M"}}}, "min_score": 0.1},
    {"query": {"ids": {"values": ["1", "2"]}}, "from": 1, "track_total_hits": 5, "version": True},
    {"query": {"wildcard": {"tag": {"value": "x*?"}}}, "highlight": {"fields": {"title": {}}}},
    {"query": {"exists": {"field": "n"}}, "sort": ["_doc"], "search_after": [3]},
    {"query": {"multi_match": {"query": "a", "fields": ["title", "tag"], "type": "best_fields"}}},
    {"sort": [{"n": {"order": "asc", "missing": "_first"}}, "_score"], "search_after": [1, 0.5]},
    {
        "query": {"bool": {"should": [{"match": {"title": "a"}}, {"fuzzy": {"title": "ab"}}]}},
        "explain": True,
        "profile": True,
        "timeout": "5s",
        "terminate_after": 3,
    },
    {
        "query": {"match_phrase": {"title": "a b"}},
        "highlight": {
            "type": "fvh",
            "boundary_scanner": "chars",
            "boundary_max_scan": 5,
            "tags_schema": "styled",
            "fields": {"t*": {"fragment_size": 9, "no_match_size": 3, "matched_fields": ["title"]}},
        },
    },
    {
        "docvalue_fields": [{"field": "when", "format": "yyyy"}, "n"],
        "stored_fields": ["tag"],
        "fields": [{"field": "*", "include_unmapped": True}],
        "indices_boost": [{"docs": 2}],
    },
    {
        "query": {
            "range": {
                "when": {
                    "gte": "2020",
                    "lte": "now/d",
                    "time_zone": "Europe/Berlin",
                    "format": "yyyy||dd MMM yyyy",
                }
            }
        },
        "sort": [{"when": {"format": "yyyy-MM-dd", "missing": "2020-01-01", "mode": "max"}}],
    },
]
DOCUMENTS: list[Any] = [
    {"title": "a b c", "tag": ["x", "y"], "n": 3, "when": "2026-01-02", "o": {"p": {"q": 1.5}}},
    {"title": ["one", "two"], "n": "7", "flag": True, "list": [{"a": 1}, {"a": 2}]},
]
JUNK: list[Any] = [None, True, -1, 0, 10**18, 10**30, 1.5, -0.0, "", "x", "\x00", "é" * 300, "now"]
JUNK += [[], {}, [None], [[1]], {"": 1}, {"a": {"b": {}}}, "*" * 50, "(" * 50, '"', "\\", "[1 TO"]
JUNK += ["~", "^", ":", "a:", "AND", "NOT", "-", "n:>=", "1e999", "2026-13-45", ["x", 1, None]]


def mutate(value: Any, chance: random.Random) -> Any:
    """Return a copy with one place changed: replaced, dropped, or named otherwise."""
    value = copy.deepcopy(value)
    at = value
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return value
        key = chance.choice(keys)
        inner = at[key]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.75:
            at = inner
            continue
        action = chance.random()
        if action < 0.7:
            at[key] = chance.choice(JUNK)
        elif action < 0.85 or isinstance(at, list):
            del at[key]
        else:
            at[chance.choice(["", "x", "query", "boost", "n.n", "é"])] = at.pop(key)
        return value


def only(item: dict[str, Any]) -> dict[str, Any]:
    [result] = item.values()
    return result


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("seed", range(4))
async def test_no_mutated_request_is_a_500(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    await client.put("docs", {str(n): {**DOCUMENTS[0], "n": n} for n in range(5)})
    for _ in range(120):
        search = mutate(chance.choice(SEARCHES), chance)
        document = mutate(chance.choice(DOCUMENTS), chance)
        path = chance.choice(
            [
                "/docs/_search",
                "/docs/_search?scroll=1m",
                "/_count",
                "/docs/_explain/1",
                "/docs/_validate/query?explain=true",
                "/docs/_validate/query?rewrite=true",
            ]
        )
        for method, where, body in [
            ("POST", path, encode(search)),
            ("PUT", "/docs/_doc/m", encode(document)),
            ("POST", "/docs/_update/m", encode({"doc": document})),
            ("POST", "/docs/_bulk", b'{"index":{}}\n' + encode(document) + b"\n"),
            ("POST", "/docs/_msearch", b"{}\n" + encode(search) + b"\n"),
        ]:
            status, answer = await client.call(method, where, body)
            assert status < 500, (where, body, answer)
            parts = [*answer.get("responses", []), *map(only, answer.get("items", [])), answer]
            assert all(part.get("status", 0) < 500 for part in parts), (where, body, answer)
            assert all(part["error"]["reason"] for part in parts if "error" in part)
    await client.ok("POST", "/docs/_flush")
    assert orjson.dumps(await client.ok("GET", "/docs/_search?size=100"))


@pytest.mark.parametrize("seed", range(2))
async def test_no_query_string_is_a_500(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    await client.put("docs", {"1": DOCUMENTS[0]})
    pieces = ["a", "title:", '"', "(", ")", "AND", "OR", "NOT", "+", "-", "~2", "^3", "*", "?"]
    pieces += [
        "[1 TO 5]",
        "{* TO 5]",
        ">=5",
        "\\",
        "n:",
        "é",
        " ",
        "  ",
        "when:now",
        "~",
        "&&",
        "/x/",
    ]
    for _ in range(250):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 9)))
        status, answer = await client.call("GET", "/docs/_search", params={"q": text})
        assert status < 500, (text, answer)
