from __future__ import annotations

import random
from itertools import islice

import orjson

from tailrace.replay import (
    ADVISORIES,
    DATA,
    PACKAGES,
    Change,
    interleave,
    replay_advisories,
    replay_packages,
    to_record,
)

N_ADVISORY_EVENTS = 17_286
LIMIT_BYTES = 3_000_000


def test_the_bundled_corpora_are_small_and_attributed() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.zst")) <= LIMIT_BYTES
    notice = (DATA / "README.md").read_text()
    assert all(path.name in notice for path in DATA.glob("*.zst"))
    assert "CC BY 4.0" in notice
    assert "Debian" in notice


def test_the_advisories_end_with_the_ids_of_their_source() -> None:
    live: set[str] = set()
    for change in islice(replay_advisories(DATA / "advisories.ndjson.zst"), N_ADVISORY_EVENTS):
        (live.discard if change.document is None else live.add)(change.key)
    assert len(live) == 2_667


def test_streams_come_in_turn_with_upserts_and_deletes() -> None:
    changes = list(islice(interleave(), 4_000))
    assert [change.topic for change in changes[:4]] == [PACKAGES, ADVISORIES] * 2
    for topic in (PACKAGES, ADVISORIES):
        kinds = {change.document is None for change in changes if change.topic == topic}
        assert kinds == {True, False}


def test_a_deleted_package_is_back_in_the_next_round() -> None:
    documents = [{"id": str(number)} for number in range(200)]
    live: set[str] = set()
    n_deletes = 0
    for change in islice(replay_packages(documents, random.Random(1)), 1_000):
        (live.discard if change.document is None else live.add)(change.key)
        n_deletes += change.document is None
    assert n_deletes > 0
    assert len(live) >= 180


def test_a_record_is_keyed_and_says_when_it_was_seen() -> None:
    record = to_record(Change(PACKAGES, "zsh", {"id": "zsh"}))
    assert record.key == b"zsh"
    assert orjson.loads(record.value or b"")["seen"].endswith("Z")


def test_a_delete_has_no_value() -> None:
    assert to_record(Change(ADVISORIES, "a", None)).value is None
