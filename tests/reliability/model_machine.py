"""Runs one configuration of a history on real engines, and compares with what is expected."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from msgspec.structs import replace

from index.aggregate.run import aggregate
from index.query.filter_cache import FilterCache
from index.query.parse_json import parse_query, parse_search
from index.query.request import SearchRequest
from index.reader import Views
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from server.hits import HitWriter
from tests.aggregate_oracle import difference
from tests.index.search_world import MAPPING, NOW_MS, comparable
from tests.index.test_aggregate_oracle import no_hits
from tests.oracle import OracleHit, OracleResult, differences
from tests.reliability import model_relations
from tests.reliability.model_oracle import Expected, mapping_of
from tests.reliability.model_shard import ModelShard
from tests.reliability.model_steps import RELATIONS, WRITES, Configuration, Step, Woven


@dataclass(slots=True)
class KeptView:
    """A searcher that stays while the index goes on, and what it answered at first."""

    searcher: Searcher
    requests: list[SearchRequest]
    answers: list[Any]


@dataclass(slots=True)
class Scroll:
    searcher: Searcher
    request: SearchRequest
    expected: OracleResult
    n_seen: int = 0


class Machine:
    """What `expected` says of each step of the history must come out, whatever happens between."""

    def __init__(self, chosen: Configuration, expected: Iterator[Expected]) -> None:
        self._expected = expected
        self._chosen = chosen
        self._schema = SchemaRef(Schema.from_mapping(MAPPING))
        self._shards = [ModelShard(n, chosen, self._schema) for n in range(chosen.n_shards)]
        self._filters: FilterCache | None = None
        if chosen.filter_bytes is not None:
            self._filters = FilterCache(chosen.filter_bytes, min_docs=0, min_uses=1)
        self._end = 0
        self._views = Views(())
        self._kept: list[KeptView] = []
        self._scrolls: list[Scroll] = []
        self._live: dict[bytes, Any] = {}
        self._last = Expected()

    def do(self, woven: Woven) -> None:
        """Raises: AssertionError where a step does not come to what is expected."""
        step, r = woven.step, random.Random(woven.seed)
        own = OWN.get(step.kind)
        if own is not None:
            own(self, self._shards[r.randrange(len(self._shards))], r)
        else:
            self._do_logical(step, next(self._expected), r)
        n_alive = sum(view.n_alive for view in self.searcher().views)
        assert n_alive == len(self._live), f"{n_alive} documents, expected {len(self._live)}"

    def _do_logical(self, step: Step, expected: Expected, r: random.Random) -> None:
        if step.kind in WRITES:
            self._write(step, expected, r)
        elif step.kind in RELATIONS:
            getattr(model_relations, step.kind)(self.searcher(), step.what, expected.answer)
        elif step.kind.startswith("ask_"):
            self._searched(step.what, expected)
        else:
            getattr(self, f"_{step.kind}")(step.what, expected)

    def end(self) -> None:
        """All is as it should be, and stays so when the process ends in order."""
        for shard in self._shards:
            shard.reopen(self._reopened_schema(len(self._shards) == 1))
            shard.verify()
        self._got(None, Expected())

    # --- writes --------------------------------------------------------------------------
    def _write(self, step: Step, expected: Expected, r: random.Random) -> None:
        if step.kind == "field_added":
            self._schema.current = self._schema.current.merged(mapping_of(step.what))
        elif step.kind == "hole_in_the_log":
            self._end += step.what
            for shard in self._shards:
                shard.apply([], self._end)
        entries = [
            (offset, change, outcome)
            for offset, (change, outcome) in enumerate(
                zip(expected.changes, expected.outcomes, strict=True), self._end
            )
        ]
        self._live = expected.live
        self._end += len(entries)
        while entries:
            n = r.choice([len(entries), len(entries), r.randint(1, len(entries))])
            self._deliver(entries[:n], r)
            entries = entries[n:]

    def _deliver(self, entries: list[Any], r: random.Random) -> None:
        """Hand one batch to its shards, in any order."""
        shards = r.sample(self._shards, k=len(self._shards))
        for shard in shards:
            own = [e for e in entries if e[1].key[-1] % len(shards) == shard.number]
            if own:
                shard.apply(own, own[-1][0] + 1)

    # --- what the configuration does ---------------------------------------------------------
    def _crash(self, shard: ModelShard, r: random.Random) -> None:
        shard.crash(self._reopened_schema(len(self._shards) == 1), r.randint(1, 3))

    def _reopen(self, shard: ModelShard, r: random.Random) -> None:
        shard.reopen(self._reopened_schema(len(self._shards) == 1))

    def _reopened_schema(self, is_alone: bool) -> SchemaRef:
        """Return the schema as it is read from its file; of one shard of several, the one that the
        others go on with."""
        if is_alone:
            self._schema = SchemaRef(Schema.from_json(self._schema.current.to_json()))
        return self._schema

    def _keep_a_view(self, shard: ModelShard, r: random.Random) -> None:
        queries = [{"match_all": {}}, {"match": {"body": "fox the dogs"}}, {"term": {"tag": "fox"}}]
        sorts: list[Any] = [{"sort": ["n", "_id"]}, {}]
        bodies = [{"query": q, "size": 30, **r.choice(sorts)} for q in queries]
        requests = [parse_search(body) for body in bodies]
        searcher = self.searcher()
        answers = [whole_answer(searcher, request) for request in requests]
        self._kept = [*self._kept[-3:], KeptView(searcher, requests, answers)]

    def _ask_the_kept(self, shard: ModelShard, r: random.Random) -> None:
        for kept in self._kept:
            for request, before in zip(kept.requests, kept.answers, strict=True):
                now = whole_answer(kept.searcher, request)
                assert now == before, f"an old view answers {now}, it answered {before}"

    # --- questions -----------------------------------------------------------------------
    def searcher(self) -> Searcher:
        views = [view for shard in self._shards for view in shard.engine.views()]
        known = self._views
        if len(known) != len(views) or any(a is not b for a, b in zip(known, views, strict=True)):
            self._views = Views(views)
        return Searcher(self._views, self._schema.current, NOW_MS, self._filters)

    def _searched(self, body: dict[str, Any], expected: Expected) -> None:
        request = parse_search(body)
        self._compare(request, expected.answer, answer(self.searcher(), request))

    _sorted = _restricted = _searched

    def _compare(self, request: SearchRequest, expected: OracleResult, found: OracleResult) -> None:
        # Of hits that are equal by all keys the order of the log decides, which shards have each;
        # what stands behind `_doc` is never reached.
        names = [key.field for key in request.sort]
        is_exact = len(self._shards) == 1 or ("_id" in names and "_doc" not in names)
        compare = differences if is_exact else unordered_differences
        if not is_exact and "_doc" in names:
            assert found.total == expected.total, f"total {found.total}, expected {expected.total}"
            return
        said = compare(comparable(expected, request), comparable(found, request))
        assert said is None, said

    def _limited(self, body: dict[str, Any], expected: Expected) -> None:
        request = parse_search(body)
        result = self.searcher().search(request)
        limit = request.track_total_hits
        total = expected.answer.total
        assert limit is False or result.total == min(total, limit), f"total {result.total}"
        scores = [hit.score for hit in expected.answer.hits]
        assert close([hit.score for hit in result.hits], scores), f"scores, expected {scores}"

    def _walked(self, body: dict[str, Any], expected: Expected) -> None:
        request = parse_search(body)
        searcher = self.searcher()
        hits: list[OracleHit] = []
        while page := answer(searcher, request).hits:
            hits += page
            request = replace(request, search_after=page[-1].sort)
        found = OracleResult(hits, expected.answer.total)
        self._compare(request, expected.answer, found)

    def _scroll_begins(self, body: dict[str, Any], expected: Expected) -> None:
        self._scrolls = [
            *self._scrolls[-1:],
            Scroll(self.searcher(), parse_search(body), expected.answer),
        ]
        self._scroll_goes_on(None, expected)

    def _scroll_goes_on(self, what: None, expected: Expected) -> None:
        for scroll in self._scrolls:
            page = answer(scroll.searcher, scroll.request)
            first, last = scroll.n_seen, scroll.n_seen + scroll.request.size
            wanted = OracleResult(scroll.expected.hits[first:last], scroll.expected.total)
            self._compare(scroll.request, wanted, page)
            scroll.n_seen += len(page.hits)
            if page.hits:
                scroll.request = replace(scroll.request, search_after=page.hits[-1].sort)

    def _shown(self, body: dict[str, Any], expected: Expected) -> None:
        request = parse_search(body)
        searcher = self.searcher()
        result = searcher.search(request)
        writer = HitWriter("model", searcher, request)
        shown = orjson.loads(orjson.dumps([writer.body(hit) for hit in result.hits]))
        for hit in shown:
            version, source = self._live[hit["_id"].encode()]
            assert hit["_version"] == version, f"version {hit['_version']}, expected {version}"
            if request.source.is_whole:
                assert hit["_source"] == source, f"source {hit['_source']}, expected {source}"
        keys = [hit.key.decode() for hit in expected.answer.hits[:20]]
        assert [hit["_id"] for hit in shown] == keys, f"keys, expected {keys}"
        said = expected.memo.setdefault("shown", shown)
        assert shown == said, f"shows {shown}, another configuration {said}"

    def _aggregated(self, body: dict[str, Any], expected: Expected) -> None:
        found = aggregate([self.searcher()], parse_search(body), no_hits)
        said = difference(expected.answer, found.body)
        assert said is None, f"{said} of {body}"

    def _counted(self, query: dict[str, Any], expected: Expected) -> None:
        n = self.searcher().count(parse_query(query))
        assert n == expected.answer, f"count {n}, expected {expected.answer}"

    def _got(self, what: None, expected: Expected) -> None:
        """Every document is there, at its newest version; nothing else is."""
        searcher = self.searcher()
        for number in range(41):
            key = str(number).encode()
            found = searcher.get(key)
            wanted = self._live.get(key)
            assert (found is None) == (wanted is None), f"{key!r}: {found}, expected {wanted}"
            if found is not None and wanted is not None:
                view, doc_id = found
                own = (view.reader.version(doc_id), orjson.loads(view.reader.source(doc_id)))
                assert own == wanted, f"{key!r} is {own}, expected {wanted}"

    def _explained(self, query: dict[str, Any], expected: Expected) -> None:
        searcher = self.searcher()
        parsed = parse_query(query)
        scores = {hit.key: hit.score for hit in expected.answer.hits}
        for key in sorted(self._live)[:3]:
            found = searcher.get(key)
            assert found is not None
            explained = searcher.explain(parsed, searcher.views.index(found[0]), found[1])
            wanted = scores.get(key, 0.0)
            assert close([explained.value], [wanted]), f"explains {explained.value} for {wanted}"


OWN: dict[str, Any] = {
    "flush": lambda m, shard, r: shard.flush_whole(),
    "flush_begins": lambda m, shard, r: shard.begin_flush(),
    "flush_goes_on": lambda m, shard, r: shard.go_on_with_flush(),
    "flush_given_up": lambda m, shard, r: shard.give_up_flush(m._schema),
    "merge": lambda m, shard, r: shard.merge_whole("plan_merge"),
    "merge_begins": lambda m, shard, r: shard.begin_merge("plan_merge"),
    "merge_all_begins": lambda m, shard, r: shard.begin_merge("plan_full_merge"),
    "merge_goes_on": lambda m, shard, r: shard.go_on_with_merge(),
    "merge_given_up": lambda m, shard, r: shard.give_up_merge(),
    "merge_all": lambda m, shard, r: shard.merge_whole("plan_full_merge"),
    "merge_to_two": lambda m, shard, r: shard.merge_whole("plan_full_merge", 2),
    "expunge": lambda m, shard, r: shard.merge_whole("plan_expunge"),
    "crash": Machine._crash,
    "reopen": Machine._reopen,
    "replay": lambda m, shard, r: shard.replay(r.randint(1, 12)),
    "keep_a_view": Machine._keep_a_view,
    "ask_the_kept": Machine._ask_the_kept,
    "verify": lambda m, shard, r: shard.verify(),
}
"""Kind of a configuration's own step -> (machine, shard, random) does it."""


def answer(searcher: Searcher, request: SearchRequest) -> OracleResult:
    result = searcher.search(request)
    hits = [OracleHit(searcher.key(hit), hit.score, hit.sort) for hit in result.hits]
    return OracleResult(hits, result.total)


def whole_answer(searcher: Searcher, request: SearchRequest) -> Any:
    """Return hits with their sources: all that must never change for an old view."""
    result = searcher.search(request)
    hits = [
        (searcher.key(h), h.score, h.sort, searcher.source(h), searcher.version(h))
        for h in result.hits
    ]
    return result.total, hits


def close(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(
        abs(a - b) <= 1e-5 * max(1.0, abs(b)) for a, b in zip(found, expected, strict=True)
    )


def unordered_differences(expected: OracleResult, found: OracleResult) -> str | None:
    """As `differences`, but hits that are equal by all keys may be in any order, or be others."""
    if expected.total != found.total or len(expected.hits) != len(found.hits):
        return f"{len(found.hits)} of {found.total}, expected {expected}"
    for hit, other in zip(expected.hits, found.hits, strict=True):
        # what is equal by its sort keys may differ in score
        pairs = [*zip(hit.sort or (), other.sort or (), strict=True)]
        pairs += [(hit.score, other.score)] if hit.sort is None else []
        for a, b in pairs:
            is_close = isinstance(a, float) and isinstance(b, int | float) and close([b], [a])
            if a != b and not is_close:
                return f"{other}, expected {hit}"
    is_whole = len(found.hits) == found.total
    scores = {hit.key: hit.score for hit in expected.hits}
    own = {hit.key: hit.score for hit in found.hits}
    if is_whole and scores.keys() != own.keys():
        return f"keys of {found.hits}, expected {expected.hits}"
    if is_whole and not close([own[k] or 0.0 for k in scores], [s or 0.0 for s in scores.values()]):
        return f"scores {own}, expected {scores}"
    return None
