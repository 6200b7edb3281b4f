from __future__ import annotations

import asyncio

import pytest

from index.errors import InvalidQueryError, OverloadError
from index.query.ast import MatchAll
from pipeline import subscription as subscription_module
from pipeline.budget import Budget
from pipeline.subscription import Frame, Subscription, SubscriptionState


class Owner:
    """Stands for the broadcaster."""

    def __init__(self) -> None:
        self.taken: list[Subscription] = []
        self.closed: list[Subscription] = []
        self.budget = Budget("live frames", 1 << 20)
        self.subscription = Subscription(
            MatchAll(),
            10,
            on_gap_taken=self.taken.append,
            on_closed=self.closed.append,
            budget=self.budget,
        )


@pytest.fixture
def owner() -> Owner:
    return Owner()


def hit(number: int) -> Frame:
    return {"type": "hit", "_id": str(number), "token": f"0-{number + 1}"}


async def test_frames_come_in_order(owner: Owner) -> None:
    reader = owner.subscription
    for number in range(3):
        reader.offer(hit(number), 10)
    assert [(await anext(reader))["_id"] for _ in range(3)] == ["0", "1", "2"]


async def test_a_reader_waits_for_the_next_frame(owner: Owner) -> None:
    waiting = asyncio.ensure_future(anext(owner.subscription))
    await asyncio.sleep(0)
    owner.subscription.offer(hit(0), 10)
    assert (await waiting)["_id"] == "0"


async def test_too_many_frames_become_one_gap_from_the_last_one_read(owner: Owner) -> None:
    reader = owner.subscription
    reader.begin({0: 0})
    reader.offer(hit(6), 10)
    await anext(reader)
    for number in range(300):
        reader.offer(hit(number), 10)
    assert await anext(reader) == {"type": "gap", "token": "0-7"}
    assert owner.taken == [reader]
    assert reader.state is SubscriptionState.CATCHING_UP


async def test_too_many_bytes_become_a_gap_as_well(owner: Owner) -> None:
    reader = owner.subscription
    for number in range(3):
        reader.offer(hit(number), 100 << 10)
    assert (await anext(reader))["type"] == "gap"


async def test_one_frame_larger_than_the_queue_gets_through(owner: Owner) -> None:
    owner.subscription.offer(hit(0), 1 << 20)
    assert (await anext(owner.subscription))["_id"] == "0"


async def test_a_gapped_subscriber_gets_nothing_until_it_has_caught_up(owner: Owner) -> None:
    reader = owner.subscription
    reader.begin({0: 0})
    reader.gap()
    reader.offer(hit(0), 10)
    assert (await anext(reader))["type"] == "gap"
    reader.offer({"type": "snapshot", "token": "0-9"}, 0)
    reader.begin({0: 9})
    assert (await anext(reader))["type"] == "snapshot"
    assert reader.state is SubscriptionState.LIVE


async def test_a_stuck_reader_is_closed(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_module, "STUCK_S", 0.0)
    owner.subscription.gap()
    assert isinstance(await owner.subscription.wait_closed(), OverloadError)
    with pytest.raises(OverloadError):
        await anext(owner.subscription)
    assert owner.closed == [owner.subscription]


async def test_closing_ends_the_iteration_after_what_is_queued(owner: Owner) -> None:
    owner.subscription.offer(hit(0), 10)
    owner.subscription.close()
    assert [frame["_id"] async for frame in owner.subscription] == ["0"]
    assert await owner.subscription.wait_closed() is None


async def test_a_failed_query_reaches_the_reader(owner: Owner) -> None:
    owner.subscription.fail(InvalidQueryError("no"))
    with pytest.raises(InvalidQueryError):
        await anext(owner.subscription)


async def test_closing_twice_tells_the_broadcaster_once(owner: Owner) -> None:
    owner.subscription.close()
    owner.subscription.close()
    assert len(owner.closed) == 1


async def test_frames_of_all_subscribers_share_one_bound(owner: Owner) -> None:
    others = Owner()
    reader = Subscription(
        MatchAll(),
        10,
        on_gap_taken=others.taken.append,
        on_closed=others.closed.append,
        budget=owner.budget,
    )
    owner.budget.hold(owner.budget.max_bytes - 150)
    reader.begin({})
    reader.offer(hit(0), 100)
    reader.offer(hit(1), 100)
    assert (await anext(reader))["type"] == "gap"
    assert owner.budget.n_bytes == owner.budget.max_bytes - 150


async def test_what_a_closed_subscriber_has_not_read_holds_nothing(owner: Owner) -> None:
    owner.subscription.offer_snapshot(hit(0), 500_000)
    owner.subscription.begin({})
    owner.subscription.offer(hit(1), 100)
    assert owner.budget.n_bytes == 500_100
    owner.subscription.close()
    assert owner.budget.n_bytes == 0
    assert [frame["_id"] async for frame in owner.subscription] == ["0", "1"]
    assert owner.budget.n_bytes == 0
