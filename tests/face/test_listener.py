from __future__ import annotations

import pytest

from tailrace.listener import PortTakenError, address_of, listen


def test_port_0_takes_a_free_one_and_tells_it() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert address_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert listener.getsockname()[1] > 0


def test_localhost_is_the_address_that_most_ask() -> None:
    with listen("localhost", 0) as listener:
        assert address_of(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_is_named_with_a_way_out() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"127\.0\.0\.1:{port}: address already in use"):
            listen("127.0.0.1", port)
