from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from index.errors import InvalidRequestError
from server.parameters import Parameters, parse_time_s

KNOWN = {"size", "wait", "mode", "names"}


def parameters(query: str) -> Parameters:
    return Parameters(make_mocked_request("GET", f"/books/_search?{query}"), KNOWN)


def test_an_unknown_name_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidRequestError, match=r"/books/_search.*unrecognized.*\[colour\]"):
        parameters("size=1&colour=red")


def test_values_come_out_as_their_kinds() -> None:
    given = parameters("size=7&wait&names=a,b,&mode=fast")
    assert given.integer("size") == 7
    assert given.flag("wait") is True
    assert given.names("names") == ["a", "b"]
    assert given.choice("mode", ("fast", "slow"), "slow") == "fast"


@pytest.mark.parametrize("text", ["", "x", "1.5", "9" * 5000])
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="size"):
        parameters(f"size={text}").integer("size")


def test_what_is_no_flag_and_no_choice_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="maybe"):
        parameters("wait=maybe").flag("wait")
    with pytest.raises(InvalidRequestError, match="fast, slow"):
        parameters("mode=x").choice("mode", ("slow", "fast"), "slow")


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("1m", 60.0), ("250", 0.25), ("1.5h", 5400)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    assert parse_time_s(text, "timeout") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1y", "1 s", "1e9s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="timeout"):
        parse_time_s(text, "timeout")
