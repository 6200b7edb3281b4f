"""One numbering for a field's terms in several segments, kept while the segments live.

Thread rule: any thread. Two that ask for the same at once both make it; either is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

import numpy as np

from index.aggregate.keys import Strings, key_strings
from index.reader import U32
from index.segment import Segment

WORTH = 4
"""It is made where a search looks at no less than one value for so many terms."""


class GlobalTerms(NamedTuple):
    maps: list[U32]
    """Of each segment: the number of each of its ordinals."""
    terms: Strings
    """Rising."""


class _Known(NamedTuple):
    segments: tuple[ref[Segment], ...]
    terms: GlobalTerms

    def is_of(self, segments: Sequence[Segment]) -> bool:
        return len(segments) == len(self.segments) and all(
            known() is segment for known, segment in zip(self.segments, segments, strict=True)
        )


_known: WeakKeyDictionary[Segment, dict[int, _Known]] = WeakKeyDictionary()
"""By the first of the segments, which tells indexes apart, and the field's number: the last one."""


def n_terms(segment: Segment, field_no: int) -> int:
    place = segment.terms.fields.get(field_no)
    return 0 if place is None else place.n_terms


def global_terms(segments: Sequence[Segment], field_no: int) -> GlobalTerms:
    """Return the numbering of a field's terms in segments of one index, which all have some.

    Raises: CorruptionError.
    """
    of_index = _known.setdefault(segments[0], {})
    known = of_index.get(field_no)
    if known is None or not known.is_of(segments):
        known = _Known(tuple(map(ref, segments)), _number(segments, field_no))
        of_index[field_no] = known
    return known.terms


def _number(segments: Sequence[Segment], field_no: int) -> GlobalTerms:
    parts = []
    for segment in segments:
        ordinals = np.arange(n_terms(segment, field_no), dtype=np.int64)
        parts.append(Strings(*segment.ord_terms(field_no, ordinals)))
    keyed = key_strings(parts)
    return GlobalTerms(keyed.maps, keyed.strings.chosen(keyed.order))
