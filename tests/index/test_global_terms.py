"""Terms of several segments are numbered once, and anew when the segments change."""

from __future__ import annotations

import json

from index.aggregate.global_terms import global_terms
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.options import IndexOptions
from index.schema import Schema, SchemaRef
from index.segment import Segment
from tests.index.storage_world import MemoryDirectory

MAPPING = {"properties": {"tag": {"type": "keyword"}}}


def segments_of(*tags_of_each: list[str]) -> list[Segment]:
    engine = Engine.open(MemoryDirectory(), SchemaRef(Schema.from_mapping(MAPPING)), IndexOptions())
    n = 0
    for tags in tags_of_each:
        events = []
        for tag in tags:
            fields = {"tag": tag}
            key, source = str(n).encode(), json.dumps(fields).encode()
            events.append(DocumentEvent(n, Op.UPSERT, key, source, fields))
            n += 1
        engine.apply(events, n)
        job = engine.plan_flush()
        assert job is not None
        job.run()
        engine.install(job)
    return [view.reader for view in engine.views() if isinstance(view.reader, Segment)]


def terms_of(segments: list[Segment]) -> list[list[bytes]]:
    """Return what the ordinals of each segment stand for."""
    known = global_terms(segments, 0)
    return [[known.terms.at(number) for number in numbers.tolist()] for numbers in known.maps]


def test_equal_terms_have_one_number_in_the_order_of_their_bytes() -> None:
    segments = segments_of(["b", "a", "é"], ["c", "b"], ["a"])
    assert terms_of(segments) == [[b"a", b"b", "é".encode()], [b"b", b"c"], [b"a"]]
    known = global_terms(segments, 0)
    assert [known.terms.at(i) for i in range(known.terms.n)] == [b"a", b"b", b"c", "é".encode()]


def test_it_is_kept_for_the_same_segments_only() -> None:
    first, second, third = segments_of(["b"], ["a"], ["c"])
    [other, _] = segments_of(["x"], ["y"])
    known = global_terms([first, second], 0)
    assert global_terms([first, second], 0) is known
    assert terms_of([first, third]) == [[b"b"], [b"c"]]
    assert terms_of([first, other]) == [[b"b"], [b"x"]]
    assert terms_of([first, second]) == [[b"b"], [b"a"]]
