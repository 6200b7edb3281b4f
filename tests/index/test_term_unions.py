"""The documents of many terms: the kernels against the sources of the documents."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.kernels.union import first_living, sum_doc_freqs, unite
from index.query.expansion import ExpansionLeaf
from index.query.parse_json import parse_search
from index.query.statistics import Statistics
from index.reader import Reader, View, bitset
from index.searcher import Searcher
from tests.index.random_queries import WORDS
from tests.index.search_world import NOW_MS, World, views_of


def tags_of(reader: Reader, doc_id: int) -> set[str]:
    tag = orjson.loads(reader.source(doc_id)).get("tag", [])
    return {tag} if isinstance(tag, str) else set(tag)


def is_alive(view: View, doc_id: int) -> bool:
    return view.alive is None or bool(int(view.alive[doc_id >> 6]) >> (doc_id & 63) & 1)


def bits(words: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_unions_are_those_of_the_sources(seed: int) -> None:
    world = World(seed)
    chance = random.Random(seed)
    no = world.schema.field("tag").no  # type: ignore[union-attr]
    for view in world.views:
        reader, n_docs = view.reader, view.reader.n_docs
        asked = chance.sample(WORDS, k=chance.randint(0, 6))
        found = {word: reader.find_term(no, word.encode()) for word in asked}
        known = {word: term for word, term in found.items() if term >= 0}
        terms = np.array(list(known.values()), np.int64)
        source = reader.source_row()
        docs = [doc for doc in range(n_docs) if tags_of(reader, doc) & set(asked)]
        for end in (n_docs, chance.randint(0, n_docs)):
            words = bitset(n_docs)
            unite(source, terms, end, words)
            assert bits(words) == [doc for doc in docs if doc < end]

        each = [[d for d in range(n_docs) if word in tags_of(reader, d)] for word in known]
        assert sum_doc_freqs(source, terms) >= sum(map(len, each))
        assert sorted(reader.term_names(terms, no)) == sorted(word.encode() for word in known)

        alive = np.empty(0, np.uint64) if view.alive is None else view.alive
        for limit in (0, 1, 3, n_docs):
            out = np.empty(min(limit, n_docs), np.uint32)
            has_dead = view.alive is not None
            living = [doc for doc in docs if is_alive(view, doc)]
            for most in (limit, limit + 2, n_docs + 1):
                n = first_living(source, terms, n_docs, has_dead, alive, most, bitset(n_docs), out)
                assert out[:n].tolist() == living[: min(limit, n_docs)]
                assert min(n, most) == min(len(living), most)


QUERIES: list[dict[str, Any]] = [
    {"prefix": {"tag": "t1"}},
    {"wildcard": {"tag": "*7"}},
    {"regexp": {"tag": ".*(1|3)[0-9]"}},
    {"wildcard": {"tag": "none*"}},
]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("tracked", [False, True, 0, 5, 1000])
def test_the_first_of_the_log_are_the_best(query: dict[str, Any], tracked: bool | int) -> None:
    batches = [
        [(f"{batch}-{n}", {"tag": f"t{n % 100}"}) for n in range(batch * 400)] for batch in (1, 2)
    ]
    views, ref = views_of(*batches, [(f"1-{n}", {"tag": "other"}) for n in range(0, 400, 3)])
    searcher = Searcher(views, ref.current, NOW_MS)
    # a least score lets it go the general way
    whole = searcher.search(parse_search({"query": query, "size": 1000, "min_score": 0.5}))
    for from_, size in ((0, 10), (3, 4), (0, 0)):
        body = {"query": query, "from": from_, "size": size, "track_total_hits": tracked}
        found = searcher.search(parse_search(body))
        assert found.hits == whole.hits[from_ : from_ + size]
        if tracked is True:
            assert found.total == whole.total
        elif tracked is not False:
            assert found.total == min(tracked, whole.total)
            assert found.relation == ("gte" if whole.total > tracked else "eq")


def test_terms_are_looked_for_once_and_only_where_they_are_needed() -> None:
    asked: list[Reader] = []

    def find(reader: Reader) -> np.ndarray:
        asked.append(reader)
        return reader.prefix_terms(no, b"t", 9)

    views, ref = views_of([("a", {"tag": "t1"}), ("b", {"tag": "t2"})], [("c", {"tag": "t3"})])
    no = ref.current.field("tag").no  # type: ignore[union-attr]
    leaf = ExpansionLeaf(Statistics(views), no, find, 1.0)
    assert leaf.best(2, -1).docs.tolist() == [0, 1]
    assert asked == [views[0].reader]
    assert leaf.cost == 3
    assert leaf.best(9, -1).docs.tolist() == [0, 1, 1 << 32]
    assert asked == [view.reader for view in views]
