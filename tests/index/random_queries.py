"""Random searches over `search_world.MAPPING`: every kind of query in every nesting."""

from __future__ import annotations

import random
from typing import Any

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
DATE_BOUNDS = ["2020", "2020-01-01", "2020-06-15T12:00:00Z", "2020-06||/M", "now-1y/y", "now/M-3M"]
PATTERNS = ["*o*", "f?o", "*", "?", "r*n*", "*a", "fox", "", "??*", "qu*ck", "*日*", "r\\*"]
EXPRESSIONS = ["[a-f].*", ".*[o-z]{2}", "(qu|br).+", ".?.?.?", "()", "[^a-z].*", ".{2,4}", "日?.+"]

_LEAVES = {
    "match": 2,
    "phrase": 2,
    "phrase_prefix": 1,
    "term": 1,
    "terms": 1,
    "range": 1,
    "exists": 1,
    "ids": 1,
    "prefix": 1,
    "wildcard": 1,
    "regexp": 1,
    "fuzzy": 1,
    "all": 1,
    "string": 1,
    "simple": 1,
    "multi": 1,
}
_NESTS = {"bool": 10, "dis_max": 3, "constant": 2}
KINDS = (*_LEAVES, *_NESTS)

Query = dict[str, Any]


class RandomQueries:
    def __init__(self, source: random.Random) -> None:
        self.random = source

    def query(self, depth: int = 0) -> Query:
        weights = _LEAVES | (_NESTS if depth < 3 else {})
        [kind] = self.random.choices(list(weights), list(weights.values()))
        return self.of(kind, depth)

    def of(self, kind: str, depth: int = 0) -> Query:
        """Return a random query of this kind."""
        return getattr(self, f"_{kind}")(depth)  # type: ignore[no-any-return]

    # --- words and fields ----------------------------------------------------------------
    def words(self, most: int = 3) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(1, most)))

    def text_field(self) -> str:
        return self.random.choice(["title", "body"])

    def keyword_field(self) -> str:
        return self.random.choice(["tag", "title.raw", "o.x"])

    def boost(self) -> Query:
        r = self.random
        return {"boost": r.choice([0.5, 2, 3, 0])} if r.random() < 0.3 else {}

    def some(self, **options: list[Any]) -> Query:
        """Return some of the options, each with one of its values."""
        r = self.random
        return {name: r.choice(values) for name, values in options.items() if r.random() < 0.3}

    def misspelt(self) -> str:
        word = list(self.random.choice(WORDS))
        at = self.random.randrange(len(word))
        word[at:at] = self.random.choice([[], ["o"], [word.pop()]])
        return "".join(word)

    # --- leaves --------------------------------------------------------------------------
    def _match(self, depth: int) -> Query:
        r = self.random
        field = r.choice([self.text_field(), self.text_field(), self.keyword_field()])
        minimum = {"minimum_should_match": r.choice([1, "2", "-1", "60%", "-40%", "1<75% 2<-1"])}
        more = r.choice([{}, {}, {"operator": "and"}, minimum])
        body = {"query": self.words(), **more, **self.boost()}
        body |= self.some(zero_terms_query=["all", "none"], analyzer=["whitespace", "english"])
        if r.random() < 0.1:
            body["query"] = "..."
        return {"match": {field: body}}

    def _phrase(self, depth: int) -> Query:
        r = self.random
        words = r.choices(WORDS, k=r.randint(1, 3))
        body = {"query": " ".join(words), "slop": r.choice([0, 0, 1, 3, 20]), **self.boost()}
        return {"match_phrase": {self.text_field(): body}}

    def _phrase_prefix(self, depth: int) -> Query:
        r = self.random
        words = [*r.sample(WORDS, k=r.randint(0, 2)), r.choice(["q", "ru", "fo", "r", "日", "zz"])]
        body = {"query": " ".join(words), "max_expansions": r.choice([1, 2, 50]), **self.boost()}
        return {"match_phrase_prefix": {self.text_field(): body | self.some(slop=[1, 2])}}

    def _term(self, depth: int) -> Query:
        r = self.random
        word = r.choice(WORDS)
        field, value = r.choice(
            [(self.text_field(), word), (self.keyword_field(), word), ("n", r.randint(-3, 9)),
             ("f", 2.0), ("d", "2020-01-01"), ("b", True), ("b", "false"), ("nope", "x"),
             ("o.y", 2), ("f", "-1.25"), ("n", 2.5), ("d", "2020||/y")]
        )  # fmt: skip
        caseless = {"case_insensitive": True} if value == word and r.random() < 0.2 else {}
        return {"term": {field: {"value": value, **caseless, **self.boost()}}}

    def _terms(self, depth: int) -> Query:
        r = self.random
        words = r.choices(WORDS, k=r.randint(0, 3))
        field, values = r.choice(
            [(self.text_field(), words), (self.keyword_field(), words), ("n", [1, 2, 3]),
             ("f", [2.0, 0.5]), ("n", list(range(-3, 9, 2)) * 3), ("b", [True]),
             ("d", ["2020", "now"]), ("nope", [1])]
        )  # fmt: skip
        return {"terms": {field: values, **self.boost()}}

    def _range(self, depth: int) -> Query:
        r = self.random
        field, values = r.choice(
            [("n", [-1, 2, 5, 2.5, -99, 99]), ("f", [0, 2.0, -1.25]), ("d", DATE_BOUNDS),
             ("o.y", [1, 2]), (self.keyword_field(), WORDS), (self.text_field(), WORDS),
             ("b", [True, False])]
        )  # fmt: skip
        bounds = {}
        if r.random() < 0.7:
            bounds[r.choice(["gt", "gte"])] = r.choice(values)
        if r.random() < 0.7:
            bounds[r.choice(["lt", "lte"])] = r.choice(values)
        if field == "d":
            bounds |= self.some(time_zone=["+05:00", "-01:30", "Europe/Berlin"])
        return {"range": {field: {**bounds, **self.boost()}}}

    def _exists(self, depth: int) -> Query:
        fields = ["title", "body", "tag", "n", "f", "d", "b", "o", "o.x", "nope", "t*", "*"]
        return {"exists": {"field": self.random.choice(fields), **self.boost()}}

    def _ids(self, depth: int) -> Query:
        values = [str(self.random.randint(0, 20)) for _ in range(3)]
        return {"ids": {"values": values, **self.boost()}}

    def _prefix(self, depth: int) -> Query:
        field = self.random.choice([self.text_field(), self.keyword_field()])
        value = self.random.choice(["q", "ru", "", "é", "日", "QU", "fox", "zz"])
        body = {"value": value, **self.some(case_insensitive=[True]), **self.boost()}
        return {"prefix": {field: body}}

    def _wildcard(self, depth: int) -> Query:
        field = self.random.choice([self.text_field(), self.keyword_field()])
        body = {"value": self.random.choice(PATTERNS), **self.some(case_insensitive=[True])}
        return {"wildcard": {field: body | self.boost()}}

    def _regexp(self, depth: int) -> Query:
        r = self.random
        word = r.choice(WORDS)
        pattern = r.choice([*EXPRESSIONS, f"{word}|d.gs?", f".*{word[1:]}", f"({word}|.*un.*)+"])
        body = {"value": pattern, **self.some(case_insensitive=[True]), **self.boost()}
        return {"regexp": {r.choice([self.text_field(), self.keyword_field()]): body}}

    def _all(self, depth: int) -> Query:
        return self.random.choice([{"match_all": self.boost()}, {"match_none": {}}])

    def _fuzzy(self, depth: int) -> Query:
        return self.fuzzy()

    def fuzzy(self) -> Query:
        r = self.random
        field = r.choice([self.text_field(), self.keyword_field()])
        options = {
            "fuzziness": r.choice([1, 2, "AUTO", "AUTO:1,3"]),
            "prefix_length": r.choice([0, 0, 1, 9]),
            "max_expansions": r.choice([1, 2, 3, 50]),
            **self.boost(),
        }
        if r.random() < 0.5:
            text = " ".join(self.misspelt() for _ in range(r.randint(1, 3)))
            operator = r.choice(["or", "and"])
            swaps = {"fuzzy_transpositions": r.random() < 0.7}
            return {"match": {field: {"query": text, "operator": operator, **swaps, **options}}}
        swaps = {"transpositions": r.random() < 0.7}
        return {"fuzzy": {field: {"value": self.misspelt(), **swaps, **options}}}

    def _string(self, depth: int) -> Query:
        more = self.some(
            default_operator=["and", "or"],
            fields=[["title^2", "body"], ["t*"], ["tag"], ["*"]],
            minimum_should_match=[1, 2, "50%"],
        )
        return {"query_string": {"query": self.string(), **more, **self.boost()}}

    def string(self, depth: int = 0) -> str:
        """Return a random text of the query-string syntax."""
        r = self.random
        parts = []
        for i in range(r.randint(1, 3)):
            joint = r.choice(["", "", "", "AND ", "OR "]) if i else ""
            sign = r.choice(["", "", "", "+", "-", "NOT "])
            parts.append(joint + sign + self._string_part(depth))
        return " ".join(parts)

    def _string_part(self, depth: int) -> str:
        r = self.random
        a, b = r.choice(WORDS), r.choice(WORDS)
        if depth < 2 and r.random() < 0.25:
            return f"({self.string(depth + 1)})" + r.choice(["", "^2"])
        return r.choice(
            [a, a, f"tag:{a}", f'"{a} {b}"', f'"{a} {b}"~2', "ru*", "*x", "f?x", f"{a}~1",
             f"title:({a} {b})", "n:>=2", "n:[1 TO 5}", "d:[2020 TO *]", "_exists_:tag", "b:true",
             f"{a}^3", "t*:fox", "*", "2020-01-01", "_id:3", f"{a}\\ {b}"]
        )  # fmt: skip

    def _simple(self, depth: int) -> Query:
        r = self.random
        a, b, c = r.sample(WORDS, k=3)
        texts = [f"{a} + {b}", f"{a} | -{b}", f'"{a} {b}"~2 {c}', f"{a}~1 + ({b} | ru*)", f"-{a}"]
        more = self.some(default_operator=["and", "or"], fields=[["title", "body^2"]])
        return {"simple_query_string": {"query": r.choice(texts), **more, **self.boost()}}

    def _multi(self, depth: int) -> Query:
        r = self.random
        fields = r.choice([["title^2", "body"], ["*"], ["t*"], ["title", "tag"], ["body", "nope"]])
        kind = r.choice(["best_fields", "most_fields", "phrase", "phrase_prefix"])
        if kind == "phrase_prefix":
            fields = ["title^2", "body"]
        body = {"query": self.words(), "fields": fields, "type": kind}
        return {"multi_match": {**body, **self.some(tie_breaker=[0.3, 1]), **self.boost()}}

    # --- nests ---------------------------------------------------------------------------
    def _bool(self, depth: int) -> Query:
        r = self.random
        parts: Query = {
            name: [self.query(depth + 1) for _ in range(r.randint(1, most))]
            for name, most in (("must", 2), ("should", 3), ("filter", 2), ("must_not", 1))
            if r.random() < 0.5
        }
        if r.random() < 0.2:
            parts["minimum_should_match"] = r.choice([0, 1, 2, "-1", "50%", "1<1 2<-1", 9])
        return {"bool": {**parts, **self.boost()}}

    def _dis_max(self, depth: int) -> Query:
        r = self.random
        parts = [self.query(depth + 1) for _ in range(r.randint(1, 3))]
        tie = {"tie_breaker": r.choice([0, 0.4, 1])}
        return {"dis_max": {"queries": parts, **tie, **self.boost()}}

    def _constant(self, depth: int) -> Query:
        return {"constant_score": {"filter": self.query(depth + 1), **self.boost()}}

    # --- whole searches ------------------------------------------------------------------
    def body(self) -> Query:
        r = self.random
        body = {"query": self.query(), "size": r.choice([0, 3, 10, 500]), "from": r.choice([0, 2])}
        if r.random() < 0.3:
            body["sort"] = [self.sort_key() for _ in range(r.randint(1, 2))]
            body["track_scores"] = r.random() < 0.3
        elif r.random() < 0.15:
            body["min_score"] = 0.5
        if r.random() < 0.1:
            body["post_filter"] = self.query(3)
        return body

    def sort_key(self) -> Any:
        r = self.random
        field = r.choice(["n", "f", "d", "tag", "o.x", "b", "_score", "_id", "_doc"])
        order = r.choice(["asc", "desc"])
        if field.startswith("_"):
            return {field: order}
        key = {"order": order, "missing": r.choice(["_last", "_first"])}
        modes = ["min", "max"] if field in ("tag", "o.x") else ["min", "max", "sum", "avg"]
        return {field: key | self.some(mode=modes)}
