"""Aggregations with one thing changed at random: an answer that is JSON, or a clear refusal."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from index.aggregate.run import aggregate
from index.errors import TailraceError
from index.query.parse_json import parse_search
from tests.index.random_aggregations import RandomAggregations
from tests.index.search_world import World
from tests.index.test_aggregate_oracle import no_hits
from tests.server.test_mutated_requests import mutate


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_no_mutated_aggregation_fails_by_accident(seed: int) -> None:
    world, chance = World(seed), random.Random(seed)
    requests = RandomAggregations(world.ask)
    for _ in range(40):
        body = {"aggs": requests.aggs(0)}
        for _ in range(chance.randint(1, 3)):
            body = mutate(body, chance)
        answer(world, orjson.loads(json.dumps(body)))


def answer(world: World, body: dict[str, Any]) -> None:
    refusal: TailraceError | None = None
    try:
        found = aggregate([world.searcher()], parse_search(body), no_hits)
        orjson.dumps(found.body)
    except TailraceError as error:
        refusal = error
    assert refusal is None or refusal.status == 400, body
    assert "\n" not in str(refusal)
