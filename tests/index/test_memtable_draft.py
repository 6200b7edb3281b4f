from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index import memtable_draft
from index.memtable_draft import MemtableDraft, to_bits, to_mask
from tests.index.memtable_world import (
    World,
    batches,
    bits_of,
    column_values,
    key_of,
    postings_of,
    source_of,
    tokens_of,
    values_of,
)

Term = tuple[int, bytes]
Postings = dict[int, list[int]]


def read_terms(draft: MemtableDraft) -> list[tuple[Term, list[int], list[int], list[int]]]:
    """Return (term, docs, tfs, positions) in the order of the chunks."""
    out = []
    for chunk in draft.term_chunks():
        n = len(chunk.field_nos)
        assert n == len(chunk.term_starts) - 1 == len(chunk.posting_starts) - 1
        for t in range(n):
            postings = slice(chunk.posting_starts[t], chunk.posting_starts[t + 1])
            positions = slice(chunk.position_starts[t], chunk.position_starts[t + 1])
            term = chunk.blob[chunk.term_starts[t] : chunk.term_starts[t + 1]].tobytes()
            out.append(
                (
                    (int(chunk.field_nos[t]), term),
                    chunk.docs[postings].tolist(),
                    chunk.tfs[postings].tolist(),
                    chunk.positions[positions].tolist(),
                )
            )
    return out


def sources_of(draft: MemtableDraft) -> list[bytes]:
    return [
        run.blob[begin:end].tobytes()
        for run in draft.sources()
        for begin, end in itertools.pairwise(run.starts.tolist())
    ]


def as_postings(docs: list[int], tfs: list[int], positions: list[int]) -> Postings:
    if not positions:
        assert set(tfs) == {1}
        return {doc: [] for doc in docs}
    ends = np.cumsum(tfs).tolist()
    assert ends[-1] == len(positions)
    return {doc: positions[end - tf : end] for doc, tf, end in zip(docs, tfs, ends, strict=True)}


@given(batches, st.randoms(use_true_random=False), st.sampled_from([1, 7, 1 << 20]))
@settings(deadline=None, max_examples=60)
def test_a_draft_is_the_living_documents_in_order(
    batches: list[list[Any]], random: Any, chunk_entries: int
) -> None:
    world = World()
    for batch in batches:
        world.append(batch)
    reader = world.memtable.reader()
    mask = np.array([random.random() < 0.7 for _ in range(reader.n_docs)], np.bool_)
    kept = np.flatnonzero(mask).tolist()
    documents = [world.documents[doc] for doc in kept]
    draft = world.memtable.draft(reader, to_bits(mask))
    world.append([{"title": "later", "tags": "later"}])  # is in no earlier draft

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memtable_draft, "CHUNK_ENTRIES", chunk_entries)
        terms = read_terms(draft)
    assert draft.n_docs == len(kept)
    assert draft.doc_map.tolist() == [
        kept.index(doc) if mask[doc] else -1 for doc in range(reader.n_docs)
    ]
    expected = {
        (field.no, term): postings
        for field in world.ref.current.fields
        if field.is_text or field.is_keyword
        for term, postings in postings_of(field, documents).items()
    }
    assert [term for term, _, _, _ in terms] == sorted(expected)
    for term, docs, tfs, positions in terms:
        assert as_postings(docs, tfs, positions) == expected[term]

    for field in world.ref.current.fields:
        values = [values_of(document, field.name) for document in documents]
        if field.is_text:
            assert (field.no in draft.lengths()) == (field.no in draft.text_present())
            assert (field.no in draft.lengths()) == any(values)
            if any(values):
                lengths = [len(tokens_of(field, document)) for document in documents]
                assert draft.lengths()[field.no].tolist() == lengths
                present = draft.text_present()[field.no]
                assert bits_of(present, len(kept)) == list(map(bool, values))
        elif any(values):
            column = draft.columns()[field.no]
            if field.is_keyword:
                names = sorted({value.encode() for some in values for value in some})
                values = [sorted({names.index(v.encode()) for v in some}) for some in values]
            assert column_values(column, len(kept)) == values
        else:
            assert field.no not in draft.columns()

    blob, starts = draft.keys()
    keys = [blob[a:b].tobytes() for a, b in itertools.pairwise(starts)]
    assert keys == [key_of(doc) for doc in kept]
    assert sources_of(draft) == [source_of(doc) for doc in kept]
    assert draft.versions().tolist() == [2 * doc for doc in kept]
    assert draft.offsets().tolist() == [10 + doc for doc in kept]


def test_without_a_bitset_all_documents_are_kept() -> None:
    world = World()
    reader = world.append([{"tags": "a"}, {}, {"tags": "b"}])
    draft = world.memtable.draft(reader, None)
    assert draft.n_docs == 3
    assert [term for (_, term), _, _, _ in read_terms(draft)] == [b"a", b"b"]


def test_tombstones_are_those_of_the_moment() -> None:
    world = World()
    world.memtable.tombstones[b"gone"] = 5
    draft = world.memtable.draft(world.memtable.reader(), None)
    world.memtable.tombstones[b"later"] = 6
    assert draft.tombstones() == {b"gone": 5}


@given(st.lists(st.booleans(), max_size=200))
def test_bits_and_masks_are_inverse(flags: list[bool]) -> None:
    assert to_mask(to_bits(np.array(flags, np.bool_)), len(flags)).tolist() == flags
