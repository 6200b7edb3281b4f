"""Live subscriptions end to end: records in a log, frames out of a subscription."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random
from typing import Any

import orjson
import pytest

from index.document import Op
from index.errors import InvalidRequestError, OverloadError
from index.query.ast import Query
from index.query.parse_string import parse_query_string
from index.query.request import SearchRequest
from pipeline import broadcast, history
from pipeline.node import Index, Node, WriteOp
from pipeline.subscription import Frame, Subscription
from tests.pipeline.conftest import shards_open
from tests.pipeline.logs import Logs, MemoryLog, MemorySource

RIVER = parse_query_string("river")


def upsert(key: str, title: str) -> WriteOp:
    return WriteOp(Op.UPSERT, key, b'{"title":"%s"}' % title.encode())


async def read(subscription: Subscription) -> Frame:
    async with asyncio.timeout(5):
        return await anext(subscription)


async def read_until(subscription: Subscription, key: str) -> list[Frame]:
    """Read frames up to the one of `key`."""
    frames = [await read(subscription)]
    while frames[-1].get("_id") != key:
        frames.append(await read(subscription))
    return frames


def short(frames: list[Frame]) -> list[tuple[Any, Any]]:
    return [(frame["type"], frame.get("_id")) for frame in frames]


async def test_a_snapshot_comes_first(docs: Index) -> None:
    await docs.write([upsert(f"k{n}", "blue river") for n in range(5)])
    subscription = docs.subscribe(RIVER, 3)
    frame = await read(subscription)
    assert (frame["type"], frame["total"], frame["token"]) == ("snapshot", 5, "0-5")
    assert [hit["_id"] for hit in frame["hits"]] == ["k0", "k1", "k2"]
    assert frame["hits"][0]["_source"] == {"title": "blue river"}
    assert frame["hits"][0]["_score"] > 0
    subscription.close()


async def test_what_enters_changes_and_leaves_is_told_in_order(docs: Index) -> None:
    subscription = docs.subscribe(RIVER)
    assert (await read(subscription))["total"] == 0
    await docs.write([upsert("a", "blue river")])
    await docs.write([upsert("b", "no match")])
    await docs.write([upsert("a", "green river")])
    await docs.write([upsert("a", "green lake")])
    await docs.write([upsert("c", "old river")])
    await docs.write([WriteOp(Op.DELETE, "c")])
    await docs.write([upsert("z", "river")])
    frames = await read_until(subscription, "z")
    assert short(frames) == [
        ("hit", "a"),
        ("hit", "a"),
        ("leave", "a"),
        ("hit", "c"),
        ("leave", "c"),
        ("hit", "z"),
    ]
    assert frames[1]["_source"] == {"title": "green river"}
    assert [frame["token"] for frame in frames] == ["0-1", "0-3", "0-4", "0-5", "0-6", "0-7"]
    subscription.close()


async def test_the_score_of_a_hit_is_the_score_of_the_search(docs: Index) -> None:
    subscription = docs.subscribe(RIVER)
    await read(subscription)
    await docs.write([upsert("a", "the blue river and the sea")])
    hit = await read(subscription)
    _, result = await docs.search(SearchRequest(query=RIVER))
    assert hit["_score"] == pytest.approx(result.hits[0].score, rel=1e-5)
    subscription.close()


async def test_snapshot_and_stream_are_the_search_at_every_moment(node: Node) -> None:
    """Subscribe in the middle of traffic on three shards: no gap, no duplicate."""
    index = await node.create_index("many", {"settings": {"number_of_shards": 3}})

    async def write() -> None:
        for n in range(60):
            title = "river" if n % 3 else "lake"
            await index.write([upsert(f"k{n % 17}", f"{title} {n}"), upsert(f"x{n}", "river")])

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0.02)
    subscription = index.subscribe(RIVER, 1_000)
    await writing
    await index.write([upsert("end", "river end")])
    frames = [await read(subscription), *(await read_until(subscription, "end"))]
    shown = {hit["_id"]: hit["_source"] for hit in frames[0]["hits"]}
    seen_at: dict[str, Any] = {}
    for frame in frames[1:]:
        if frame["type"] == "hit":
            assert shown.get(frame["_id"]) != frame["_source"], "told twice"
            shown[frame["_id"]] = frame["_source"]
        else:
            assert frame["type"] == "leave"
            del shown[frame["_id"]]
        seen_at[frame["_id"]] = frame["token"]
    searcher, result = await index.search(SearchRequest(query=RIVER, size=1_000))
    assert sorted(shown) == sorted(searcher.key(hit).decode() for hit in result.hits)
    subscription.close()


async def test_a_lost_connection_goes_on_where_it_was(docs: Index) -> None:
    first = docs.subscribe(RIVER)
    await read(first)
    await docs.write([upsert("a", "river")])
    token = (await read(first))["token"]
    first.close()
    await docs.write([upsert("b", "river")])
    await docs.write([upsert("c", "lake")])
    again = docs.subscribe(RIVER, after=token)
    await docs.write([upsert("d", "river")])
    assert short(await read_until(again, "d")) == [("hit", "b"), ("hit", "d")]
    again.close()


@pytest.mark.parametrize("seed", range(4))
async def test_a_reader_that_comes_and_goes_ends_with_what_a_search_finds(
    node: Node, seed: int
) -> None:
    random = Random(seed)
    index = await node.create_index("many", {"settings": {"number_of_shards": 2}})
    shown: dict[str, Any] = {}
    token: str | None = None
    subscription = index.subscribe(RIVER, 1_000)

    def take(frame: Frame) -> None:
        nonlocal token
        token = frame["token"]
        if frame["type"] == "snapshot":
            shown.clear()
            shown.update({hit["_id"]: hit["_source"] for hit in frame["hits"]})
        elif frame["type"] == "hit":
            assert shown.get(frame["_id"]) != frame["_source"], "told twice"
            shown[frame["_id"]] = frame["_source"]
        elif frame["type"] == "leave":
            del shown[frame["_id"]]

    for step in range(60):
        ops = [
            WriteOp(Op.DELETE, f"k{random.randrange(9)}")
            if random.random() < 0.3
            else upsert(f"k{random.randrange(9)}", f"{random.choice(['river', 'lake'])} {step}")
            for _ in range(random.randrange(1, 5))
        ]
        await index.write(ops)
        if random.random() < 0.1:
            await index.flush()
        for _ in range(random.randrange(2)):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.002):
                    take(await anext(subscription))
        if random.random() < 0.2 and token is not None:
            subscription.close()
            subscription = index.subscribe(RIVER, 1_000, token)
    await index.write([upsert("end", "river end")])
    while "end" not in shown:
        take(await read(subscription))
    _, result = await index.search(SearchRequest(query=RIVER, size=1_000))
    assert len(shown) == result.total
    found = await index.get_many(list(shown))
    assert [orjson.loads(f.source) if f else None for f in found] == list(shown.values())
    subscription.close()


async def test_who_comes_back_too_late_gets_a_gap_and_a_snapshot(docs: Index) -> None:
    await docs.write([upsert("a", "river")])
    subscription = docs.subscribe(RIVER, after="-")
    assert await read(subscription) == {"type": "gap", "token": "-"}
    frame = await read(subscription)
    assert (frame["type"], frame["total"]) == ("snapshot", 1)
    subscription.close()


async def test_a_token_from_the_future_is_a_gap(docs: Index) -> None:
    keep = docs.subscribe(RIVER)
    subscription = docs.subscribe(RIVER, after="0-99")
    assert (await read(subscription))["type"] == "gap"
    keep.close()
    subscription.close()


async def test_who_has_seen_more_than_is_searchable_yet_waits_for_it(
    docs: Index, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shards_open(docs, 1)
    monkeypatch.setattr(MemorySource, "is_caught_up", lambda self: False)
    subscription = docs.subscribe(RIVER, after="0-2")
    for n in range(4):
        log.put(f"k{n}", '{"title":"river"}')
    assert short(await read_until(subscription, "k3")) == [("hit", "k2"), ("hit", "k3")]
    subscription.close()


async def test_a_token_that_is_never_reached_is_a_gap_once_all_is_read(
    node: Node, logs: Logs
) -> None:
    log = logs.logs["docs"] = MemoryLog("docs")
    log.put("k0", '{"title":"river"}')
    index = await node.create_index("docs")
    subscription = index.subscribe(RIVER, after="0-99")
    assert await read(subscription) == {"type": "gap", "token": "0-99"}
    assert (await read(subscription))["total"] == 1
    subscription.close()


async def test_history_is_bounded(docs: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_CHANGES", 2)
    keep = docs.subscribe(RIVER)
    token = (await read(keep))["token"]
    for n in range(5):
        await docs.write([upsert(f"k{n}", "river")])
    subscription = docs.subscribe(RIVER, after=token)
    assert (await read(subscription))["type"] == "gap"
    recent = docs.subscribe(RIVER, after="0-3")
    assert short(await read_until(recent, "k4")) == [("hit", "k3"), ("hit", "k4")]
    for each in (keep, subscription, recent):
        each.close()


async def test_a_slow_reader_gets_a_gap_and_then_all_that_is_there(docs: Index) -> None:
    slow = docs.subscribe(RIVER, 10)
    fast = docs.subscribe(RIVER, 10)
    await read(fast)
    for first in range(0, 600, 100):
        await docs.write([upsert(f"k{n}", "river") for n in range(first, first + 100)])
        await read_until(fast, f"k{first + 99}")
    assert await read(slow) == {"type": "gap", "token": "-"}
    frame = await read(slow)
    assert (frame["type"], frame["total"]) == ("snapshot", 600)
    await docs.write([upsert("z", "river")])
    assert short([await read(slow)]) == [("hit", "z")]
    slow.close()
    fast.close()


async def test_a_shard_that_comes_or_goes_makes_a_new_snapshot(docs: Index) -> None:
    await docs.write([upsert("a", "river")])
    subscription = docs.subscribe(RIVER)
    assert (await read(subscription))["total"] == 1
    await docs.close_partition(0, True)
    assert (await read(subscription))["type"] == "gap"
    assert (await read(subscription))["total"] == 0
    await docs.open_partition(0)
    assert (await read(subscription))["type"] == "gap"
    assert (await read(subscription))["total"] == 1
    subscription.close()


async def test_flushes_and_merges_are_no_changes(docs: Index) -> None:
    subscription = docs.subscribe(RIVER)
    await read(subscription)
    for n in range(3):
        await docs.write([upsert(f"k{n}", "river")])
        await docs.flush()
    await docs.force_merge()
    await docs.write([upsert("k0", "lake"), upsert("z", "river")])
    frames = await read_until(subscription, "z")
    assert short(frames) == [
        ("hit", "k0"),
        ("hit", "k1"),
        ("hit", "k2"),
        ("leave", "k0"),
        ("hit", "z"),
    ]
    subscription.close()


async def test_a_deleted_index_ends_its_subscriptions(node: Node, docs: Index) -> None:
    subscription = docs.subscribe(RIVER)
    await read(subscription)
    await node.delete_index("docs")
    assert [frame async for frame in subscription] == []


async def test_bad_arguments_are_refused_at_once(
    docs: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequestError):
        docs.subscribe(RIVER, -1)
    with pytest.raises(InvalidRequestError):
        docs.subscribe(RIVER, after="nonsense!")
    monkeypatch.setattr(broadcast, "MAX_SUBSCRIBERS", 0)
    with pytest.raises(OverloadError):
        docs.subscribe(RIVER)


async def test_nothing_is_kept_while_nobody_subscribes(docs: Index, log: MemoryLog) -> None:
    await docs.write([upsert("a", "river")])
    assert docs.stats().n_subscribers == 0
    assert docs.stats().n_live_changes == 0


class Bug(Query):
    """No part of the index knows this one."""


async def test_a_query_that_fails_ends_its_own_subscription_alone(docs: Index) -> None:
    good, bad = docs.subscribe(RIVER), docs.subscribe(Bug())
    with pytest.raises(Exception, match=r".+"):
        await read(bad)
    await read(good)
    await docs.write([upsert("a", "river")])
    assert short([await read(good)]) == [("hit", "a")]
    good.close()
