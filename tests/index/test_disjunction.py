"""MaxScore finds the same documents as looking at every one of them."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest

from index.directory import FsDirectory
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher

N_DOCS = 12_000
"""Several windows a segment, so that terms are left out in the later ones."""


@pytest.fixture(scope="module")
def searcher(tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """Three segments and a memtable of skewed text, some documents replaced."""
    path: Path = tmp_path_factory.mktemp("disjunction")
    schema = SchemaRef(Schema.from_mapping({"properties": {"body": {"type": "text"}}}))
    engine = Engine.open(FsDirectory(path), schema, IndexOptions())
    rng = random.Random(7)
    for first in range(0, N_DOCS, 500):
        events = []
        for offset in range(first, first + 500):
            words = [f"w{int(rng.paretovariate(0.7)) % 300}" for _ in range(rng.randint(1, 30))]
            fields = {"body": " ".join(words)}
            key = b"%d" % rng.randrange(N_DOCS * 4)
            source = orjson.dumps(fields)
            events.append(DocumentEvent(offset, Op.UPSERT, key, source, fields))
        engine.apply(events, first + 500)
        if first in (2_000, 5_000, 10_000):
            job = engine.plan_flush()
            assert job is not None
            job.run()
            engine.install(job)
    return Searcher(engine.views(), schema.current, 0)


@pytest.mark.parametrize("seed", range(40))
def test_the_best_are_the_same_with_and_without_exact_totals(searcher: Searcher, seed: int) -> None:
    rng = random.Random(seed)
    words = [f"w{int(rng.paretovariate(0.5)) % 300}" for _ in range(rng.randint(1, 6))]
    size = rng.choice([1, 3, 10, 200])
    body = {"query": {"match": {"body": " ".join(words)}}, "size": size}
    exact = searcher.search(parse_search(body | {"track_total_hits": True}))
    general = searcher.search(parse_search(body | {"min_score": -1.0}))
    pruned = searcher.search(parse_search(body | {"track_total_hits": False}))
    limited = searcher.search(parse_search(body | {"track_total_hits": 50}))
    scores = [hit.score for hit in exact.hits]
    for other in (general, pruned, limited):
        assert [hit.score for hit in other.hits] == pytest.approx(scores, rel=1e-5)
    assert exact.total == general.total
    assert limited.total == min(exact.total, 50)
    assert [(hit.view_no, hit.doc_id) for hit in pruned.hits] == [
        (hit.view_no, hit.doc_id) for hit in exact.hits
    ]
