from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from index.draft import Run
from index.growth import SMALL_BYTES, grown
from index.live_bytes import KeyBatch, KeysSnapshot, LiveBytes, LiveKeys

keys = st.one_of(st.binary(max_size=2), st.binary(min_size=7, max_size=20))
batches = st.lists(st.lists(keys, max_size=40), max_size=8)


@given(batches, st.integers(0, 300))
@settings(deadline=None)
def test_each_reader_finds_the_newest_document_that_it_knows(
    batches: list[list[bytes]], n_more: int
) -> None:
    live = LiveKeys()
    added: list[bytes] = []
    moments: list[tuple[KeysSnapshot, dict[bytes, int]]] = []
    for batch in [*batches, [b"%d" % i for i in range(n_more)], *batches]:
        live.append(KeyBatch.of(batch))
        added += batch
        moments.append((live.snapshot(), {key: doc for doc, key in enumerate(added)}))
    wanted = sorted({*added, b"another"})
    for snapshot, newest in moments:
        found = snapshot.find_batch(KeyBatch.of(wanted)).tolist()
        assert found == [newest.get(key, -1) for key in wanted]


@given(batches)
@settings(deadline=None)
def test_strings_come_back(batches: list[list[bytes]]) -> None:
    live = LiveBytes()
    added: list[bytes] = []
    for batch in batches:
        live.append(*Run.of(batch))
        added += batch
    snapshot = live.snapshot()
    assert [snapshot.get(doc) for doc in range(len(added))] == added


def test_a_large_array_goes_to_its_reserve_at_once() -> None:
    small = grown(np.ones(8, np.uint8), 9, reserve=1 << 20)
    assert (len(small), small[:9].tolist()) == (16, [1] * 8 + [0])
    assert len(grown(np.ones(SMALL_BYTES, np.uint8), SMALL_BYTES + 1, reserve=1 << 20)) == 1 << 20
    assert len(grown(np.ones(1 << 20, np.uint8), (1 << 20) + 1, reserve=1 << 20)) == 1 << 21
    assert grown(small, 3) is small
