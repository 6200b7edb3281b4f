from __future__ import annotations

import pytest

from index.document import Outcome
from pipeline import outcomes as outcomes_module
from pipeline.outcomes import EventOutcome, Outcomes


def keep(to: Outcomes, *offsets: int, reasons: dict[int, str] | None = None) -> None:
    kinds = [Outcome.CREATED] * len(offsets)
    to.keep(list(offsets), kinds, [offset * 10 for offset in offsets], reasons or {})


def test_nothing_is_kept_while_nobody_waits() -> None:
    kept = Outcomes()
    keep(kept, 1, 2)
    assert not kept.is_wanted
    assert kept.find(1) is None


def test_an_outcome_is_found_by_its_offset() -> None:
    kept = Outcomes()
    with kept.ticket(0):
        keep(kept, 1, 4, reasons={4: "why"})
        keep(kept, 7)
        assert kept.find(1) == EventOutcome(Outcome.CREATED, 10, None)
        assert kept.find(4) == EventOutcome(Outcome.CREATED, 40, "why")
        assert kept.find(7) is not None
        assert kept.find(5) is None
        assert kept.find(9) is None


def test_what_only_a_finished_writer_wanted_is_dropped() -> None:
    kept = Outcomes()
    with kept.ticket(0):
        keep(kept, 1)
        with kept.ticket(2):
            keep(kept, 2)
    assert kept.find(1) is None
    assert kept.n_kept == 0


def test_overlapping_writers_do_not_keep_each_others_past() -> None:
    kept = Outcomes()
    first = kept.ticket(0)
    first.__enter__()
    keep(kept, 0, 1)
    second = kept.ticket(2)
    second.__enter__()
    first.__exit__(None, None, None)
    assert kept.n_kept == 0
    second.__exit__(None, None, None)


def test_the_oldest_go_past_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "MAX_KEPT", 3)
    kept = Outcomes()
    with kept.ticket(0):
        keep(kept, 0, 1)
        keep(kept, 2, 3)
        assert kept.find(1) is None
        assert kept.find(3) is not None
