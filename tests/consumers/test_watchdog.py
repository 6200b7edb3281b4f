from __future__ import annotations

from consumers.watchdog import Watchdog


def test_a_partition_that_moves_is_well() -> None:
    dog = Watchdog(30)
    for second in range(0, 120, 5):
        dog.observe("p", position=second, end=1000, now=second)
        assert dog.stalled(second) == []


def test_a_partition_at_its_end_is_well() -> None:
    dog = Watchdog(30)
    for second in range(0, 120, 5):
        dog.observe("p", position=7, end=7, now=second)
    assert dog.stalled(120) == []


def test_a_partition_with_records_that_stands_still_has_stalled() -> None:
    dog = Watchdog(30)
    dog.observe("p", position=7, end=7, now=0)
    dog.observe("p", position=7, end=9, now=10)
    dog.observe("q", position=1, end=9, now=10)
    assert dog.stalled(29) == []
    assert dog.stalled(31) == ["p"]
    assert set(dog.stalled(41)) == {"p", "q"}


def test_one_step_gives_it_its_full_time_again() -> None:
    dog = Watchdog(30)
    dog.observe("p", position=7, end=9, now=0)
    dog.observe("p", position=8, end=9, now=29)
    assert dog.stalled(58) == []


def test_an_excused_partition_never_stalls() -> None:
    dog = Watchdog(30)
    dog.observe("p", position=7, end=9, now=0)
    dog.excuse("p")
    assert dog.stalled(100) == []
