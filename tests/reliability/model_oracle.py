"""What every step of a history must answer, worked out by the naive oracle alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import orjson

from index.document import DocumentEvent, Op, Outcome
from index.extract import Extractor
from index.options import IndexOptions
from index.query.parse_json import parse_search
from index.schema import Schema, SchemaRef
from tests.aggregate_oracle import AggregationOracle
from tests.index.search_world import MAPPING, NOW_MS
from tests.oracle import Oracle
from tests.reliability.model_steps import ADDED_FIELDS, WRITES, Change, Step, fits


class ModelOracle(Oracle):
    def fits(self, source: dict[str, Any]) -> bool:
        return fits(source)


@dataclass(slots=True)
class Expected:
    """What a step of the history comes to."""

    changes: list[Change] = field(default_factory=list)
    """Of a write: the events as they are, also where they depend on what is there."""
    outcomes: list[Outcome] = field(default_factory=list)
    answer: Any = None
    live: dict[bytes, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    """Key -> version and source of every document after the step; after a write alone."""
    memo: dict[str, Any] = field(default_factory=dict)
    """What the first configuration answered where the oracle has no word: all must say that."""


def event_of(change: Change, offset: int, *, with_fields: bool) -> DocumentEvent:
    """Return the event of a change; `with_fields` False: the engine has to parse its source."""
    is_whole = change.op in (Op.UPSERT, Op.CREATE)
    return DocumentEvent(
        offset=offset,
        op=change.op,
        key=change.key,
        source=None if change.fields is None else orjson.dumps(change.fields),
        fields=None if is_whole and not with_fields else change.fields,
        version=change.version,
        upsert=change.upsert,
    )


class Expectation:
    """Goes once through a history. Configurations are compared with what it says."""

    def __init__(self) -> None:
        self._ref = SchemaRef(Schema.from_mapping(MAPPING))
        self.oracle = ModelOracle(self._ref)
        self._extractor = Extractor(self._ref, IndexOptions())
        self._n_events = 0

    def of(self, step: Step) -> Expected:
        if step.kind in WRITES:
            return self._write(step)
        expected = Expected()
        make = getattr(self, f"_{step.kind}", None)
        if make is not None:
            expected.answer = make(step.what)
        elif step.kind.startswith("ask_"):
            expected.answer = self._search(step.what)
        return expected

    # --- writes --------------------------------------------------------------------------
    def _write(self, step: Step) -> Expected:
        expected = Expected()
        if step.kind == "hole_in_the_log":
            self._n_events += step.what
        elif step.kind == "field_added":
            self._ref.current = self._ref.current.merged(mapping_of(step.what))
        else:
            is_again = step.kind == "written_again"
            expected.changes = self._again(step.what) if is_again else step.what
        for change in expected.changes:
            event = event_of(change, self._n_events, with_fields=True)
            outcome = self.oracle.apply(event)
            expected.outcomes.append(outcome)
            if outcome in (Outcome.CREATED, Outcome.UPDATED):
                # The schema grows as it does in the index: what it grows to is tested elsewhere.
                self._extractor.check(self.oracle.live[change.key].source)
                self._extractor.parse(self.oracle.live[change.key].source)
            self._n_events += 1
        expected.live = {
            key: (document.version, document.source) for key, document in self.oracle.live.items()
        }
        return expected

    def _again(self, seed: int) -> list[Change]:
        """Return some of the documents as they are."""
        live = self.oracle.live
        chosen = random.Random(seed).sample(sorted(live), k=(len(live) + 1) // 2)
        return [Change(Op.UPSERT, key, live[key].source) for key in chosen]

    # --- questions -----------------------------------------------------------------------
    def _search(self, body: dict[str, Any]) -> Any:
        return self.oracle.search(parse_search(body), NOW_MS)

    _sorted = _restricted = _search

    def _limited(self, body: dict[str, Any]) -> Any:
        return self._search({**body, "track_total_hits": True})

    def _walked(self, body: dict[str, Any]) -> Any:
        return self._search({**body, "size": 10_000})

    _scroll_begins = _shown = _walked

    def _aggregated(self, body: dict[str, Any]) -> Any:
        return AggregationOracle([self.oracle], NOW_MS).answer(body)

    def _counted(self, query: dict[str, Any]) -> int:
        return self._search({"query": query, "size": 0}).total

    def _explained(self, query: dict[str, Any]) -> Any:
        return self._search({"query": query, "size": 10_000})

    def _standing_query(self, query: dict[str, Any]) -> dict[bytes, float]:
        found = self._search({"query": query, "size": 10_000})
        return {hit.key: hit.score for hit in found.hits}


def mapping_of(name: str) -> dict[str, Any]:
    """Return the change of the mapping that adds one field."""
    return {"properties": {name: {"type": ADDED_FIELDS[name]}}}
