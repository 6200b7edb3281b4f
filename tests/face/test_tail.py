from __future__ import annotations

import pytest

from tailrace.remote import AnswerError
from tailrace.tail import Follower


def hit(key: str, token: str) -> dict[str, object]:
    return {"type": "hit", "_id": key, "_source": {"title": "t"}, "token": token}


def test_the_first_request_asks_for_nothing_old() -> None:
    assert Follower("iron").request() == {
        "op": "subscribe",
        "id": "tail",
        "q": "iron",
        "snapshot": 0,
    }


def test_a_second_connection_goes_on_behind_the_last_message() -> None:
    follower = Follower("iron")
    follower.take({"type": "snapshot", "hits": [], "total": 0, "token": "0-4"})
    assert follower.request()["after"] == "0-4"
    follower.take(hit("a", "0-5"))
    assert follower.request()["after"] == "0-5"


def test_hits_are_given_out_once() -> None:
    follower = Follower("iron")
    assert follower.take(hit("a", "0-5")) == hit("a", "0-5")
    assert follower.take(hit("a", "0-5")) is None
    assert follower.take(hit("a", "0-6")) is not None


def test_what_leaves_is_not_printed() -> None:
    assert Follower("iron").take({"type": "leave", "_id": "a", "token": "0-5"}) is None


def test_a_gap_is_told() -> None:
    gap = {"type": "gap", "token": "0-5"}
    assert Follower("iron").take(gap) == gap


def test_a_refusal_is_an_error_with_its_reason() -> None:
    with pytest.raises(AnswerError, match="no such clause"):
        Follower("iron").take({"type": "error", "status": 400, "reason": "no such clause"})
