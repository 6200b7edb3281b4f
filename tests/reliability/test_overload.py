"""The overload of a server: once for a few seconds, and its checks against what is wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.reliability import overload
from tests.reliability.overload import check_answers, check_memory
from tests.reliability.overload_load import Memory, Seen, text_frame
from tests.reliability.program import Run


def test_a_server_under_too_much_load_refuses_and_recovers() -> None:
    tally = overload.run(Run(size=4, seed=1))
    assert tally.n_cases == 4
    assert tally.notes["answers 429"]


def test_an_answer_that_is_no_refusal_is_a_violation() -> None:
    fine = Seen(statuses=Counter({200: 5, 429: 2}))
    assert check_answers(fine) == {"answers 200": 5, "answers 429": 2}
    with pytest.raises(AssertionError, match="wrong answers"):
        check_answers(Seen(statuses=Counter({200: 5, 429: 2}), wrong=["a search: 500"]))
    with pytest.raises(AssertionError, match="no overload"):
        check_answers(Seen(statuses=Counter({200: 5})))


def test_memory_that_goes_on_growing_is_a_violation() -> None:
    flat = Memory(0, [(second, 300 << 20) for second in range(100)])
    assert check_memory(flat)["MiB of the second half"] == 300
    growing = Memory(0, [(second, (300 + 3 * second) << 20) for second in range(100)])
    with pytest.raises(AssertionError, match="memory grew from"):
        check_memory(growing)


@pytest.mark.parametrize("n_bytes", [5, 125, 126, 60_000])
def test_frames_of_a_client_are_masked_and_say_their_length(n_bytes: int) -> None:
    frame = text_frame(b"x" * n_bytes)
    assert frame[0] == 0x81
    assert frame[1] & 0x80
    assert frame.endswith(b"x" * n_bytes)
