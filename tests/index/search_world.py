"""Views over a few memtables, and an oracle that lived through the same events."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import orjson

from index.document import DocumentEvent, Op
from index.extract import Extractor
from index.memtable import Memtable
from index.options import IndexOptions
from index.part import Part
from index.reader import View
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.oracle import Oracle, OracleHit, OracleResult

NOW_MS = 1_600_000_000_000
OPTIONS = IndexOptions()
MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "body": {"type": "text", "analyzer": "english"},
        "tag": {"type": "keyword"},
        "n": {"type": "long"},
        "f": {"type": "double"},
        "d": {"type": "date"},
        "b": {"type": "boolean"},
        "o": {"properties": {"x": {"type": "keyword"}, "y": {"type": "integer"}}},
    }
}
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "running",
    "runner",
    "a",
    "Éa",
    "ünder",
    "x1",
    "2020",
    "日本",
    "foo",
]
DATES = ["2020-01-01", "2020-06-15T12:00:00Z", "2021-03-04", "2019-12-31T23:59:59.999Z"]


def views_of(*batches: list[tuple[str, dict[str, Any]]]) -> tuple[tuple[View, ...], SchemaRef]:
    """Return one view a batch of (key, document); of equal keys the last lives."""
    ref = SchemaRef(Schema.from_mapping(MAPPING))
    extractor = Extractor(ref, OPTIONS)
    parts: list[Part] = []
    located: dict[str, tuple[Part, int]] = {}
    for batch in batches:
        memtable = Memtable(ref, OPTIONS)
        numbers = list(range(len(batch)))
        memtable.append(
            [extractor.parse(document) for _, document in batch],
            [key.encode() for key, _ in batch],
            numbers,
            numbers,
            [orjson.dumps(document) for _, document in batch],
        )
        part = Part(memtable.reader(), name=f"s{len(parts)}", shard=0)
        parts.append(part)
        for number, (key, _) in enumerate(batch):
            if key in located:
                old_part, old_doc = located[key]
                old_part.kill([old_doc])
            located[key] = (part, number)
    return tuple(part.view for part in parts), ref


class World:
    """A random index. `views`, `schema` and `oracle` hold the same documents."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        batches = []
        for _ in range(self.random.randint(1, 3)):
            n = self.random.choice([1, 5, 40, 150])
            batches.append([(str(self.random.randint(0, n)), self.document()) for _ in range(n)])
        self.views, ref = views_of(*batches)
        self.schema = ref.current
        self.oracle = Oracle(ref)
        everything = [pair for batch in batches for pair in batch]
        for offset, (key, document) in enumerate(everything):
            self.oracle.apply(DocumentEvent(offset, Op.UPSERT, key.encode(), b"", document))

    def searcher(self) -> Searcher:
        return Searcher(self.views, self.schema, NOW_MS)

    def answer(self, request: Any) -> OracleResult:
        searcher = self.searcher()
        result = searcher.search(request)
        hits = [OracleHit(searcher.key(hit), hit.score, hit.sort) for hit in result.hits]
        return OracleResult(hits, result.total)

    def some_docs(self) -> tuple[int, np.ndarray]:
        view_no = self.random.randrange(len(self.views))
        n_docs = self.views[view_no].reader.n_docs
        chosen = sorted(self.random.sample(range(n_docs), k=min(n_docs, 7)))
        return view_no, np.array(chosen, np.uint32)

    # --- random documents ------------------------------------------------------------------
    def words(self, most: int = 3) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, most)))

    def document(self) -> dict[str, Any]:
        r = self.random
        whole: dict[str, Any] = {
            "title": r.choice([self.words(8), "", [self.words(), self.words()]]),
            "body": self.words(60),
            "tag": r.choice([r.choice(WORDS), r.choices(WORDS, k=3)]),
            "n": r.choice([r.randint(-3, 9), [r.randint(-3, 9), r.randint(-3, 9)]]),
            "f": r.choice([0.5, -1.25, 2.0, 3.75]),
            "d": r.choice(DATES),
            "b": r.random() < 0.5,
            "o": {"x": r.choice(WORDS), "y": r.randint(0, 4)},
        }
        return {name: value for name, value in whole.items() if r.random() < 0.75}

    # --- random queries ----------------------------------------------------------------------
    def query(self, depth: int = 0) -> dict[str, Any]:
        kinds = ["match", "match", "phrase", "term", "terms", "range", "other", "string", "multi"]
        kinds += ["bool"] * 6 + ["dis_max", "constant"] if depth < 3 else []
        return getattr(self, f"_{self.random.choice(kinds)}")(depth)

    def _boost(self) -> dict[str, Any]:
        return {"boost": self.random.choice([0.5, 2, 3])} if self.random.random() < 0.3 else {}

    def _text(self) -> str:
        return self.random.choice(["title", "body"])

    def _keyword(self) -> str:
        return self.random.choice(["tag", "title.raw", "o.x"])

    def _match(self, depth: int) -> dict[str, Any]:
        more = self.random.choice(
            [
                {},
                {},
                {"operator": "and"},
                *({"minimum_should_match": m} for m in ("2", "-1", "60%")),
            ]
        )
        field = self.random.choice([self._text(), self._text(), self._keyword()])
        return {"match": {field: {"query": self.words(), **more, **self._boost()}}}

    def _phrase(self, depth: int) -> dict[str, Any]:
        words = self.random.sample(WORDS, k=self.random.randint(1, 3))
        slop = self.random.choice([0, 0, 1, 3])
        return {"match_phrase": {self._text(): {"query": " ".join(words), "slop": slop}}}

    def _term(self, depth: int) -> dict[str, Any]:
        word = self.random.choice(WORDS)
        field, value = self.random.choice(
            [(self._text(), word), (self._keyword(), word), ("n", self.random.randint(-3, 9)),
             ("f", 2.0), ("d", "2020-01-01"), ("b", True), ("b", "false"), ("nope", "x")]
        )  # fmt: skip
        return {"term": {field: {"value": value, **self._boost()}}}

    def _terms(self, depth: int) -> dict[str, Any]:
        words = self.random.choices(WORDS, k=2)
        field, values = self.random.choice(
            [(self._text(), words), (self._keyword(), words), ("n", [1, 2, 3]), ("f", [2.0, 0.5])]
        )
        return {"terms": {field: values, **self._boost()}}

    def _range(self, depth: int) -> dict[str, Any]:
        r = self.random
        dates = ["2020", "2020-01-01", "2020-06-15T12:00:00Z", "2020-06||/M", "now-1y/y"]
        field, values = r.choice(
            [("n", [-1, 2, 5, 2.5]), ("f", [0, 2.0, -1.25]), ("d", dates), ("o.y", [1, 2]),
             (self._keyword(), WORDS), (self._text(), WORDS)]
        )  # fmt: skip
        bounds = {}
        if r.random() < 0.7:
            bounds[r.choice(["gt", "gte"])] = r.choice(values)
        if r.random() < 0.7:
            bounds[r.choice(["lt", "lte"])] = r.choice(values)
        return {"range": {field: {**bounds, **self._boost()}}}

    def _other(self, depth: int) -> dict[str, Any]:
        r = self.random
        field = r.choice([self._text(), self._keyword()])
        pattern = r.choice(["*o*", "f?o", "*", "?", "r*n*", "*a", "fox"])
        return r.choice(
            [
                {"exists": {"field": r.choice([field, "n", "f", "d", "b", "o", "nope"])}},
                {"ids": {"values": [str(r.randint(0, 20)) for _ in range(3)]}},
                {"prefix": {field: {"value": r.choice(["q", "ru", "", "é", "日"])}}},
                {"wildcard": {field: {"value": pattern, "case_insensitive": r.random() < 0.3}}},
                self.fuzzy(),
                self._regexp(field),
                {"match_all": self._boost()},
                {"match_none": {}},
            ]
        )

    def _regexp(self, field: str) -> dict[str, Any]:
        r = self.random
        word = r.choice(WORDS)
        pattern = r.choice(
            ["[a-f].*", ".*[o-z]{2}", "(qu|br).+", f"{word}|d.gs?", f".*{word[1:]}", ".?.?.?", "()",
             f"({word}|.*un.*)+", "[^a-z].*", ".{2,4}"]
        )  # fmt: skip
        return {"regexp": {field: {"value": pattern, "case_insensitive": r.random() < 0.3}}}

    def fuzzy(self) -> dict[str, Any]:
        r = self.random
        field = r.choice([self._text(), self._keyword()])
        options = {
            "fuzziness": r.choice([1, 2, "AUTO", "AUTO:1,3"]),
            "prefix_length": r.choice([0, 0, 1, 9]),
            "max_expansions": r.choice([1, 2, 3, 50]),
            **self._boost(),
        }
        if r.random() < 0.5:
            text = " ".join(self._misspelt() for _ in range(r.randint(1, 3)))
            operator = r.choice(["or", "and"])
            swaps = {"fuzzy_transpositions": r.random() < 0.7}
            return {"match": {field: {"query": text, "operator": operator, **swaps, **options}}}
        swaps = {"transpositions": r.random() < 0.7}
        return {"fuzzy": {field: {"value": self._misspelt(), **swaps, **options}}}

    def _misspelt(self) -> str:
        word = list(self.random.choice(WORDS))
        at = self.random.randrange(len(word))
        word[at:at] = self.random.choice([[], ["o"], [word.pop()]])
        return "".join(word)

    def _string(self, depth: int) -> dict[str, Any]:
        a, b = self.random.sample(WORDS, k=2)
        text = self.random.choice(
            [f"{a} {b}", f"+{a} {b}", f"{a} AND NOT {b}", f'"{a} fox"~2' if a != "fox" else a,
             f"tag:{a} OR ru*", f"n:>=2 {a}", "2020", "2020-01-01", "title:(fox -dogs)^2",
             f"{a}~1 {b}"]
        )  # fmt: skip
        return {"query_string": {"query": text, **self._boost()}}

    def _multi(self, depth: int) -> dict[str, Any]:
        fields = self.random.choice([["title^2", "body"], ["*"], ["t*"], ["title", "tag"]])
        kind = self.random.choice(["best_fields", "most_fields"])
        tie = self.random.choice([{}, {"tie_breaker": 0.3}])
        body = {"query": self.words(), "fields": fields, "type": kind, **tie, **self._boost()}
        return {"multi_match": body}

    def _bool(self, depth: int) -> dict[str, Any]:
        r = self.random
        parts: dict[str, Any] = {
            name: [self.query(depth + 1) for _ in range(r.randint(1, most))]
            for name, most in (("must", 2), ("should", 3), ("filter", 2), ("must_not", 1))
            if r.random() < 0.5
        }
        if r.random() < 0.2:
            parts["minimum_should_match"] = r.choice([0, 1, 2, "-1"])
        return {"bool": {**parts, **self._boost()}}

    def _dis_max(self, depth: int) -> dict[str, Any]:
        parts = [self.query(depth + 1) for _ in range(self.random.randint(1, 3))]
        return {"dis_max": {"queries": parts, "tie_breaker": self.random.choice([0, 0.4])}}

    def _constant(self, depth: int) -> dict[str, Any]:
        return {"constant_score": {"filter": self.query(depth + 1), **self._boost()}}

    # --- random searches ---------------------------------------------------------------------
    def body(self) -> dict[str, Any]:
        r = self.random
        body = {"query": self.query(), "size": r.choice([0, 3, 10, 500]), "from": r.choice([0, 2])}
        if r.random() < 0.3:
            body["sort"] = [self._sort_key() for _ in range(r.randint(1, 2))]
            body["track_scores"] = r.random() < 0.3
        elif r.random() < 0.15:
            body["min_score"] = 0.5
        if r.random() < 0.1:
            body["post_filter"] = self.query(3)
        return body

    def _sort_key(self) -> Any:
        field = self.random.choice(["n", "f", "d", "tag", "o.x", "b", "_score", "_id"])
        order = self.random.choice(["asc", "desc"])
        if field.startswith("_"):
            return {field: order}
        return {field: {"order": order, "missing": self.random.choice(["_last", "_first"])}}
