"""Engine and oracle go through the same life and must give the same answers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from index.check import verify
from index.directory import FsDirectory
from index.engine import Engine
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from tests.index import world
from tests.oracle import Oracle

NOW_MS = 1_717_200_000_000
OPTIONS = IndexOptions(merge_factor=2, stored_block_bytes=256)


class EngineMachine(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tailrace-engine-"))
        self.schema = SchemaRef(Schema.from_mapping(world.MAPPING))
        self.engine = Engine.open(FsDirectory(self.path), self.schema, OPTIONS)
        self.oracle = Oracle(self.schema)
        self.log: list[tuple[Any, ...]] = []

    def teardown(self) -> None:
        if not hasattr(self, "path"):
            return
        report = verify(FsDirectory(self.path))
        shutil.rmtree(self.path)
        assert not report.findings, report.findings

    @rule(drawn=world.events())
    def apply(self, drawn: list[tuple[Any, ...]]) -> None:
        events = world.as_events(drawn, len(self.log))
        self.log.extend(drawn)
        applied = self.engine.apply(events, len(self.log))
        expected = [self.oracle.apply(event) for event in events]
        assert applied.outcomes == expected

    @rule()
    def flush(self) -> None:
        self._run(self.engine.plan_flush())

    @rule()
    def merge(self) -> None:
        self._run(self.engine.plan_merge())

    @rule()
    def merge_all(self) -> None:
        self._run(self.engine.plan_full_merge())

    @rule(drawn=world.events(), full=st.booleans())
    def apply_while_a_job_runs(self, drawn: list[tuple[Any, ...]], full: bool) -> None:
        job = self.engine.plan_full_merge() if full else self.engine.plan_flush()
        if job is None:
            return
        job.run()
        self.apply(drawn)
        self.engine.install(job)

    @rule()
    def reopen(self) -> None:
        """Open from the manifest and read the log on from its checkpoint."""
        self.engine = Engine.open(FsDirectory(self.path), self.schema, OPTIONS)
        start = max(self.engine.next_offset, 0)
        self.engine.apply(world.as_events(self.log[start:], start), len(self.log))

    def _run(self, job: Any) -> None:
        if job is not None:
            job.run()
            self.engine.install(job)

    @rule(query=world.queries)
    def search(self, query: dict[str, Any]) -> None:
        request = parse_search({"query": query, "size": 100, "track_total_hits": True})
        self._compare(request)

    @rule(drawn=world.near_events())
    def apply_near_words(self, drawn: list[tuple[Any, ...]]) -> None:
        self.apply(drawn)

    @rule(queries=st.lists(world.fuzzy_queries, min_size=1, max_size=4))
    def search_for_near_words(self, queries: list[dict[str, Any]]) -> None:
        for query in queries:
            self.search(query)

    @rule(text=world.texts, size=st.integers(1, 4), limit=st.sampled_from([False, 0, 2]))
    def search_passing_over_what_cannot_enter(self, text: str, size: int, limit: Any) -> None:
        body = {"query": {"match": {"body": text}}, "size": size, "track_total_hits": limit}
        _, result, expected = self._both(parse_search(body))
        found = [hit.score for hit in result.hits]
        assert found == pytest.approx([score for _, score, _ in expected.hits], rel=1e-5)
        assert limit is False or result.total == min(expected.total, limit)

    @rule(
        query=world.leaf_queries,
        field=st.sampled_from(["n", "x", "when", "tag", "count"]),
        order=st.sampled_from(["asc", "desc"]),
    )
    def sort(self, query: dict[str, Any], field: str, order: str) -> None:
        body = {
            "query": query,
            "size": 100,
            "sort": [{field: {"order": order, "unmapped_type": "long"}}, "_doc"],
        }
        searcher, result, expected = self._both(parse_search(body | {"track_total_hits": True}))
        assert [searcher.key(hit) for hit in result.hits] == [key for key, _, _ in expected.hits]

    def _both(self, request: Any) -> tuple[Searcher, Any, Any]:
        searcher = Searcher(self.engine.views(), self.schema.current, NOW_MS)
        return searcher, searcher.search(request), self.oracle.search(request, NOW_MS)

    def _compare(self, request: Any) -> None:
        searcher, result, expected = self._both(request)
        assert result.total == expected.total
        scores = [hit.score for hit in result.hits]
        assert scores == pytest.approx([score for _, score, _ in expected.hits], rel=1e-5, abs=1e-7)
        got = [(searcher.key(hit), hit.score) for hit in result.hits]
        assert _tied(got) == _tied([(key, score) for key, score, _ in expected.hits])

    @invariant()
    def every_live_document_is_there_once(self) -> None:
        if not hasattr(self, "engine"):
            return
        assert sum(view.n_alive for view in self.engine.views()) == len(self.oracle)


def _tied(hits: list[tuple[bytes, float]]) -> list[set[bytes]]:
    """Group neighbours of nearly equal score: float32 sums may order these either way."""
    groups: list[set[bytes]] = []
    last = None
    for key, score in hits:
        if last is None or abs(last - score) > 2e-5 * max(abs(last), 1e-3):
            groups.append(set())
        groups[-1].add(key)
        last = score
    return groups


EngineMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestEngineAgainstOracle = EngineMachine.TestCase
