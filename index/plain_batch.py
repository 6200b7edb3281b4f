"""The batch that nearly all batches are: upserts of as many keys, none with a version.

Decided for all events at once; where anything else is in it, `batch.Batch` decides one by one.
Both answer alike.
"""

from __future__ import annotations

import numpy as np

from index.batch import Accepted, Change, Places
from index.document import DocumentEvent, Op, Outcome
from index.part import Part
from index.reader import I64, View
from index.reading import Reading


class PlainBatch:
    """Every event of it adds its document."""

    rejected: list[tuple[int, str]]

    def __init__(
        self, keys: list[bytes], reading: Reading, places: Places, offsets: list[int]
    ) -> None:
        self._keys = keys
        self._reading: Reading | None = reading
        self._places = places
        self.outcome_versions = offsets
        self.rejected = []
        self.outcomes = [Outcome.CREATED] * len(keys)
        if not places.is_empty:
            for number in np.flatnonzero(places.part_nos >= 0).tolist():
                self.outcomes[number] = Outcome.UPDATED

    def accepted(self) -> Accepted:
        """Return the documents to add: all. Once: they are not kept."""
        reading, self._reading = self._reading, None
        assert reading is not None, "asked for twice"
        offsets = np.array(self.outcome_versions, np.int64)
        keys = self._places.keys
        return Accepted(reading.values, keys, offsets, offsets, reading.text, reading.starts)

    def superseded(self, active: Part, first_doc: int) -> list[tuple[Part, I64]]:
        """Return, part by part, the documents that this batch replaced."""
        places = self._places
        return [
            (part, places.doc_ids[places.part_nos == number])
            for number, part in enumerate(places.parts)
        ]

    def changes(self, first_doc: int, views: dict[int, View]) -> list[Change]:
        """Return one change an event. `views`: from before the batch."""
        if self._places.is_empty:
            return [
                Change(offset, key, None, doc)
                for doc, (offset, key) in enumerate(
                    zip(self.outcome_versions, self._keys, strict=True), first_doc
                )
            ]
        located = self._places.by_key(self._keys)
        changes = []
        for doc, (offset, key) in enumerate(
            zip(self.outcome_versions, self._keys, strict=True), first_doc
        ):
            place = located.get(key)
            old = (views[id(place.part)], place.doc_id) if place is not None else None
            changes.append(Change(offset, key, old, doc))
        return changes


def plan_plain(
    events: list[DocumentEvent],
    reading: Reading,
    keys: list[bytes],
    places: Places,
    next_offset: int,
) -> PlainBatch | None:
    """Return the batch decided, or None where it is not a plain one. Requires: there are no
    tombstones; `places` has every live document of the keys."""
    n = len(events)
    if not n or not reading.is_whole or len(set(keys)) < n:
        return None
    if [event.op for event in events].count(Op.UPSERT) < n:
        return None
    if [event.version for event in events].count(None) < n:
        return None
    offsets = [event.offset for event in events]
    if min(offsets) < next_offset or not _are_newer(offsets, places):
        return None
    return PlainBatch(keys, reading, places, offsets)


def _are_newer(offsets: list[int], places: Places) -> bool:
    """Return whether no key has a living version above its event's."""
    for number, part in enumerate(places.parts):
        of_part = np.flatnonzero(places.part_nos == number)
        for event, doc_id in zip(of_part.tolist(), places.doc_ids[of_part].tolist(), strict=True):
            if part.reader.version(doc_id) > offsets[event]:
                return False
    return True
