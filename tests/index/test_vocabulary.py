from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from index.vocabulary import Vocabulary
from tests.index.memtable_world import spans_of

values = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([b"https://example.org/", b"aaaaaaaaaaaaaaaa"]).flatmap(
        lambda head: st.binary(max_size=20).map(lambda tail: head + tail)
    ),
)
entries = st.lists(st.tuples(st.integers(0, 3), values), max_size=60)


def filled(batches: list[list[tuple[int, bytes]]]) -> Vocabulary:
    """Each batch is a document with these keywords."""
    vocabulary = Vocabulary()
    for doc, batch in enumerate(batches):
        values, fields = [value for _, value in batch], [field for field, _ in batch]
        vocabulary.add_keywords(spans_of(values, [doc] * len(batch), fields))
    return vocabulary


@given(st.lists(entries, max_size=6))
@settings(deadline=None)
def test_every_term_is_found_with_its_bytes_and_no_other(
    batches: list[list[tuple[int, bytes]]],
) -> None:
    terms = filled(batches).terms()
    known = {entry for batch in batches for entry in batch}
    assert terms.n == len(known)
    for field_no, value in known:
        term_id = terms.find(field_no, value)
        assert terms.bytes_of(term_id) == value
        assert terms.field_no(term_id) == field_no
        assert terms.doc_freq(term_id, len(batches)) == sum(
            (field_no, value) in batch for batch in batches
        )
        assert (terms.find(field_no + 4, value)) == -1


@given(entries)
@settings(deadline=None)
def test_terms_sort_by_field_and_bytes(entries: list[tuple[int, bytes]]) -> None:
    terms = filled([entries]).terms()
    ordered = terms.sorted_by_bytes(terms.with_postings()).tolist()
    assert [(terms.field_no(i), terms.bytes_of(i)) for i in ordered] == sorted(set(entries))


def test_terms_taken_before_a_growth_stay_as_they_were() -> None:
    vocabulary = filled([[(0, b"a"), (0, b"b")]])
    before = vocabulary.terms()
    many = [b"%d" % i for i in range(10_000)]
    vocabulary.add_keywords(spans_of(many, [1] * len(many), [0] * len(many)))
    assert before.find(0, b"7") == -1
    assert before.doc_freq(before.find(0, b"a"), 1) == 1
    after = vocabulary.terms()
    assert {after.bytes_of(after.find(0, value)) for value in many} == set(many)


@given(st.lists(st.integers(0, 40), max_size=200))
@settings(deadline=None, max_examples=50)
def test_many_terms_of_one_beginning_sort(numbers: list[int]) -> None:
    values = [b"12345678" + b"a" * (number % 13) + b"%d" % number for number in numbers]
    terms = filled([[(0, value) for value in values]]).terms()
    ordered = terms.sorted_by_bytes(terms.with_postings()).tolist()
    assert [terms.bytes_of(i) for i in ordered] == sorted(set(values))
