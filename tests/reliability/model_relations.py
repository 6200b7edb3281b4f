"""What must hold between answers to related questions, whatever the documents are.

Each is a function of a searcher, what the step asks, and what the oracle expects (if anything).
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from index.query.parse_json import parse_query, parse_search
from index.searcher import Searcher

Body = dict[str, Any]
EVERYTHING: Body = {"match_all": {}}


def scores(searcher: Searcher, query: Body, **more: Any) -> dict[bytes, float]:
    """Return the score of every hit."""
    hits = searcher.search(parse_search({"query": query, "size": 10_000, **more})).hits
    return {searcher.key(hit): hit.score or 0.0 for hit in hits}


def keys(searcher: Searcher, query: Body) -> set[bytes]:
    return set(scores(searcher, query))


def same(found: Any, expected: Any, what: str) -> None:
    assert found == expected, f"{what}: {found}, expected {expected}"


def same_scores(found: dict[bytes, float], expected: dict[bytes, float], what: str) -> None:
    same(found.keys(), expected.keys(), what)
    for key, score in expected.items():
        is_close = abs(found[key] - score) <= 1e-5 * max(1.0, abs(score))
        assert is_close, f"{what}: {key!r} scores {found[key]}, expected {score}"


def combined(**parts: list[Body]) -> Body:
    return {"bool": parts}


def and_or_not(searcher: Searcher, pair: tuple[Body, Body], _: Any) -> None:
    a, b = pair
    in_a, in_b = keys(searcher, a), keys(searcher, b)
    both = keys(searcher, combined(must=[a, b]))
    same(both, in_a & in_b, f"{a} and {b}")
    assert both <= in_a
    n_either = searcher.count(parse_query(combined(should=[a, b])))
    same(n_either, len(in_a) + len(in_b) - len(both), f"number of {a} or {b}")
    everything = keys(searcher, EVERYTHING)
    same(keys(searcher, combined(must_not=[a])), everything - in_a, f"not {a}")
    same(keys(searcher, combined(must=[a], must_not=[b])), in_a - in_b, f"{a} and not {b}")


def phrase_within_and(searcher: Searcher, what: tuple[str, str], _: Any) -> None:
    text, field = what
    slops = (0, 2, 50)
    found = [
        keys(searcher, {"match_phrase": {field: {"query": text, "slop": slop}}}) for slop in slops
    ]
    found.append(keys(searcher, {"match": {field: {"query": text, "operator": "and"}}}))
    found.append(keys(searcher, {"match": {field: text}}))
    for less, more in itertools.pairwise(found):
        assert less <= more, f"[{text}] in {field}: {less - more} by the narrower question only"


def prefix_is_its_terms(searcher: Searcher, prefix: str, _: Any) -> None:
    request = parse_search({"query": EVERYTHING, "size": 10_000})
    tags = set()
    for hit in searcher.search(request).hits:
        view = searcher.views[hit.view_no]
        field = searcher.schema.field("tag")
        assert field is not None
        column = view.reader.column(field.no)
        if column is not None:
            tags |= {view.reader.ord_term(field.no, int(n)) for n in np.unique(column.values)}
    terms = sorted(t.decode() for t in tags if t.decode().startswith(prefix))
    asked = keys(searcher, {"prefix": {"tag": prefix}})
    same(asked, keys(searcher, {"terms": {"tag": terms}}), f"prefix [{prefix}]")
    same(asked, keys(searcher, {"wildcard": {"tag": f"{prefix}*"}}), f"wildcard [{prefix}*]")


def filter_before_or_after(searcher: Searcher, pair: tuple[Body, Body], _: Any) -> None:
    a, b = pair
    in_b = keys(searcher, b)
    kept = {key: score for key, score in scores(searcher, a).items() if key in in_b}
    same_scores(scores(searcher, combined(must=[a], filter=[b])), kept, f"{a} within {b}")
    same_scores(scores(searcher, a, post_filter=b), kept, f"{a}, afterwards {b}")


def pages_of_the_whole(searcher: Searcher, query: Body, _: Any) -> None:
    def ranked(first: int, size: int) -> list[bytes]:
        body = {"query": query, "from": first, "size": size}
        return [searcher.key(hit) for hit in searcher.search(parse_search(body)).hits]

    whole = ranked(0, 100)
    for k in (1, 3, 8):
        same(ranked(0, k), whole[:k], f"the best {k} of {query}")
    pages = [key for first in range(0, 24, 8) for key in ranked(first, 8)]
    same(pages, whole[:24], f"pages of {query}")
    same(searcher.count(parse_query(query)), len(whole), f"count of {query}")


def standing_query(searcher: Searcher, query: Body, expected: dict[bytes, float]) -> None:
    """A document is matched by itself exactly where a search finds it, with the same score."""
    parsed = parse_query(query)
    found: dict[bytes, float] = {}
    for view_no, view in enumerate(searcher.views):
        doc_ids = np.arange(view.reader.n_docs, dtype=np.uint32)
        is_match, own = searcher.match_docs(parsed, view_no, doc_ids)
        for doc_id in np.flatnonzero(is_match).tolist():
            key = view.reader.key(doc_id)
            assert key not in found, f"{key!r} matches twice"
            found[key] = float(own[doc_id])
    same_scores(found, expected, f"documents matched one by one with {query}")


def boost_scales(searcher: Searcher, query: Body, _: Any) -> None:
    plain = scores(searcher, query)
    boosted = scores(searcher, {"bool": {"must": [query], "boost": 3}})
    same_scores(boosted, {key: 3 * score for key, score in plain.items()}, f"three times {query}")
    constant = scores(searcher, {"constant_score": {"filter": query, "boost": 2.5}})
    same_scores(constant, dict.fromkeys(plain, 2.5), f"a constant for {query}")
