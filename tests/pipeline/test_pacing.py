from __future__ import annotations

from typing import Any

import pytest

from pipeline.options import PipelineOptions
from pipeline.pacing import LONGEST_REST_S, MergeStoppedError, Pacer

OPTIONS = PipelineOptions(merge_cpu_share=0.25, merge_bytes_per_s=1_000_000)


class Work:
    """A merge whose clocks are moved by hand."""

    def __init__(self, **asked: Any) -> None:
        self.cpu_s = self.clock_s = 0.0
        self.n_searches = 0
        self.rests: list[float] = []
        answers = {"is_stopped": lambda: False, "is_urgent": lambda: False} | asked
        self.pace = Pacer(
            OPTIONS,
            **answers,
            n_searches=lambda: self.n_searches,
            cpu_time=lambda: self.cpu_s,
            clock=lambda: self.clock_s,
            rest=self.rests.append,
        )
        self.pace(0)

    def piece(self, seconds: float, n_bytes: int = 0, searches: int = 1) -> None:
        self.cpu_s += seconds
        self.clock_s += seconds
        self.n_searches += searches
        self.pace(n_bytes)


def test_a_merge_rests_so_long_that_it_has_its_share_of_a_processor() -> None:
    work = Work()
    work.piece(0.02)
    work.piece(0.01)
    assert work.rests == pytest.approx([0.06, 0.03])


def test_a_merge_rests_so_long_that_the_disk_has_its_share() -> None:
    work = Work()
    work.piece(0.001, n_bytes=100_000)
    assert work.rests == pytest.approx([0.099])


def test_a_merge_goes_on_where_nobody_searches() -> None:
    work = Work()
    work.piece(0.02, searches=0)
    assert work.rests == []


def test_a_merge_that_is_waited_for_goes_on() -> None:
    work = Work(is_urgent=lambda: True)
    work.piece(0.02)
    assert work.rests == []


def test_a_rest_is_short_enough_to_hear_of_an_end() -> None:
    work = Work()
    work.piece(5.0)
    assert work.rests == [LONGEST_REST_S]


def test_the_merge_of_a_closing_shard_ends() -> None:
    work = Work()
    work.pace._is_stopped = lambda: True
    with pytest.raises(MergeStoppedError):
        work.piece(0.01)
