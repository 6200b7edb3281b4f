"""A small random world for engine and oracle: a mapping, documents, events and queries."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from index.document import DocumentEvent, Op

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "analyzer": "english"},
        "body": {"type": "text"},
        "tag": {"type": "keyword"},
        "n": {"type": "long"},
        "x": {"type": "double"},
        "when": {"type": "date"},
        "flag": {"type": "boolean"},
        "who": {"properties": {"name": {"type": "text", "fields": {"raw": {"type": "keyword"}}}}},
    }
}

WORDS = [
    "apple",
    "apples",
    "bear",
    "bean",
    "the",
    "cat's",
    "running",
    "run",
    "ran",
    "Zürich",
    "猫",
    "x1",
    "alpha",
    "alphabet",
]
TAGS = ["red", "Red", "green", "grün", "", "a b"]
DATES = ["2024-01-01", "2024-02-29T12:00:00Z", 1704067200000, "2023-12-31T23:59:59.999+01:00"]

words = st.sampled_from(WORDS)
texts = st.lists(words, max_size=8).map(" ".join)


def maybe_many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(values, st.lists(values, max_size=3), st.none())


documents = st.fixed_dictionaries(
    {},
    optional={
        "title": texts,
        "body": maybe_many(texts),
        "tag": maybe_many(st.sampled_from(TAGS)),
        "n": maybe_many(st.integers(-3, 3)),
        "x": maybe_many(st.sampled_from([-1.5, 0.0, 0.5, 2.25, 1e9])),
        "when": maybe_many(st.sampled_from(DATES)),
        "flag": st.booleans(),
        "who": st.fixed_dictionaries({"name": texts}),
        "extra": st.sampled_from(["one two", "three", "two"]),
        "count": st.integers(0, 3),
    },
)
keys = st.integers(0, 12).map(lambda number: f"k{number}".encode())


@st.composite
def events(draw: st.DrawFn) -> list[tuple[Op, bytes, dict[str, Any] | None, int | None]]:
    """Up to ten operations; offsets are given when they are applied."""
    drawn = []
    for _ in range(draw(st.integers(1, 10))):
        op = draw(st.sampled_from([Op.UPSERT] * 5 + [Op.CREATE, Op.UPDATE, Op.DELETE]))
        version = draw(st.one_of(st.none(), st.none(), st.none(), st.integers(1, 60)))
        drawn.append((op, draw(keys), None if op is Op.DELETE else draw(documents), version))
    return drawn


def as_events(drawn: list[tuple[Any, ...]], offset: int) -> list[DocumentEvent]:
    return [
        DocumentEvent(
            offset=offset + number,
            op=op,
            key=key,
            source=None if fields is None else orjson.dumps(fields),
            fields=fields,
            version=version,
        )
        for number, (op, key, fields, version) in enumerate(drawn)
    ]


NEAR_WORDS = ["bear", "bean", "beans", "beer", "pear", "ebar", "zürich", "zurich", "zürihc", "be"]
near_words = st.sampled_from(NEAR_WORDS)


@st.composite
def near_events(draw: st.DrawFn) -> list[tuple[Op, bytes, dict[str, Any] | None, int | None]]:
    """Documents whose words are few edits apart, and deletes."""
    some = st.lists(near_words, min_size=1, max_size=3)
    return [
        (Op.UPSERT, key, {"body": " ".join(found), "title": found[0], "tag": found}, None)
        if found
        else (Op.DELETE, key, None, None)
        for key in draw(st.lists(keys, min_size=1, max_size=8))
        for found in [draw(st.one_of(some, some, some, st.just([])))]
    ]


fuzzy_queries = st.one_of(
    st.builds(
        lambda field, word, options: {"fuzzy": {field: {"value": word, **options}}},
        st.sampled_from(["body", "body", "title", "tag"]),
        st.one_of(near_words, near_words, words),
        st.fixed_dictionaries(
            {"fuzziness": st.sampled_from([2, 2, 1, 0, "AUTO", "AUTO:2,4"])},
            optional={
                "prefix_length": st.integers(0, 2),
                "max_expansions": st.integers(1, 3),
                "transpositions": st.booleans(),
                "boost": st.just(2.0),
            },
        ),
    ),
    st.builds(
        lambda field, some, op, options: {
            "match": {field: {"query": " ".join(some), "fuzziness": 2, "operator": op, **options}}
        },
        st.sampled_from(["body", "body", "title", "who.name", "tag"]),
        st.lists(st.one_of(near_words, near_words, words), min_size=1, max_size=3),
        st.sampled_from(["or", "and"]),
        st.fixed_dictionaries({}, optional={"max_expansions": st.integers(1, 3)}),
    ),
    st.builds(
        lambda word, other: {"query_string": {"query": f"{word}~2 -body:{other}~1"}},
        near_words,
        near_words,
    ),
)
leaf_queries = st.one_of(
    fuzzy_queries,
    st.just({"match_all": {}}),
    st.builds(
        lambda field, text, op: {"match": {field: {"query": text, "operator": op}}},
        st.sampled_from(["title", "body", "who.name", "tag", "extra"]),
        texts,
        st.sampled_from(["or", "and"]),
    ),
    st.builds(
        lambda field, text: {"match_phrase": {field: text}},
        st.sampled_from(["title", "body", "extra"]),
        st.lists(words, min_size=1, max_size=3).map(" ".join),
    ),
    st.builds(lambda word: {"term": {"body": word.lower()}}, words),
    st.builds(lambda tag: {"term": {"tag": {"value": tag, "boost": 2.0}}}, st.sampled_from(TAGS)),
    st.builds(lambda number: {"term": {"n": number}}, st.integers(-3, 3)),
    st.builds(lambda flag: {"term": {"flag": flag}}, st.booleans()),
    st.builds(lambda tags: {"terms": {"tag": tags}}, st.lists(st.sampled_from(TAGS), max_size=3)),
    st.builds(
        lambda field, low, high: {"range": {field: {"gte": low, "lt": high}}},
        st.sampled_from(["n", "x", "count"]),
        st.integers(-3, 3),
        st.integers(-3, 4),
    ),
    st.builds(
        lambda low: {"range": {"when": {"gt": low}}},
        st.sampled_from(["2024-01-01", "2023-12-31||+1d/d"]),
    ),
    st.builds(lambda low: {"range": {"tag": {"gte": low}}}, st.sampled_from(["a", "green", "z"])),
    st.builds(
        lambda field: {"exists": {"field": field}},
        st.sampled_from(["title", "tag", "n", "flag", "extra", "nowhere"]),
    ),
    st.builds(
        lambda ids: {"ids": {"values": [i.decode() for i in ids]}}, st.lists(keys, max_size=4)
    ),
    st.builds(lambda text: {"prefix": {"body": text}}, st.sampled_from(["a", "alpha", "zür", "q"])),
    st.builds(
        lambda field, pattern: {"wildcard": {field: pattern}},
        st.sampled_from(["body", "tag"]),
        st.sampled_from(["*", "a*", "*e*", "r?d", "?", "gr*n"]),
    ),
)


def _nest(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(children, max_size=3)
    return st.one_of(
        st.builds(
            lambda must, should, filter_, must_not, least: {
                "bool": {
                    "must": must,
                    "should": should,
                    "filter": filter_,
                    "must_not": must_not,
                    **({"minimum_should_match": least} if least is not None and should else {}),
                }
            },
            some,
            some,
            st.lists(children, max_size=2),
            st.lists(children, max_size=1),
            st.one_of(st.none(), st.integers(0, 2)),
        ),
        st.builds(lambda query: {"constant_score": {"filter": query, "boost": 1.5}}, children),
    )


queries = st.recursive(leaf_queries, _nest, max_leaves=6)
