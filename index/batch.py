"""One batch of events decided against what the shard holds: what to append, what to supersede.

Nothing is touched while a batch is decided; the engine then appends and kills in one go, so
that a search sees all of a batch or none of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import orjson

from index.document import DocumentEvent, Op, Outcome
from index.errors import MappingError
from index.extract import Extractor, ParsedDocument
from index.keys import join_bytes
from index.live_bytes import KeyBatch
from index.part import Part
from index.reader import I64, U8, View
from index.reading import Reading
from index.schema import SchemaRef
from index.source import parse_object
from index.values import Values, values_of


def sources_of(events: list[DocumentEvent]) -> list[bytes]:
    """Return the document of each event that is one as a whole, of others nothing."""
    if [event.op for event in events].count(Op.UPSERT) == len(events):
        return [event.source for event in events]  # type: ignore[misc]
    return [
        event.source or b"" if event.op is Op.UPSERT or event.op is Op.CREATE else b""
        for event in events
    ]


class Change(NamedTuple):
    """What one batch did to one key: the difference of two searches, before and after it."""

    offset: int
    key: bytes
    old: tuple[View, int] | None
    """The view and document that held the key before the batch."""
    new_doc: int
    """The document in the last view now; -1: deleted."""


class Located(NamedTuple):
    part: Part
    doc_id: int


class Places:
    """Where the keys of a batch are alive."""

    def __init__(self, keys: KeyBatch) -> None:
        self.keys = keys
        self.parts: list[Part] = []
        n_keys = len(keys.hashes)
        self.part_nos: I64 = np.full(n_keys, -1, np.int64)
        """Of each key: which of `parts`, or -1."""
        self.doc_ids: I64 = np.full(n_keys, -1, np.int64)

    def add(self, part: Part, doc_ids: I64) -> None:
        """Take what a part, older than those before it, has of each key (-1: nothing)."""
        candidates = np.flatnonzero((doc_ids >= 0) & (self.part_nos < 0))
        if not len(candidates):
            return
        found = candidates[part.are_alive(doc_ids[candidates])]
        if not len(found):
            return
        self.part_nos[found] = len(self.parts)
        self.doc_ids[found] = doc_ids[found]
        self.parts.append(part)

    @property
    def is_empty(self) -> bool:
        return not self.parts

    def by_key(self, keys: list[bytes]) -> dict[bytes, Located]:
        return {
            keys[number]: Located(self.parts[self.part_nos[number]], int(self.doc_ids[number]))
            for number in np.flatnonzero(self.part_nos >= 0).tolist()
        }


class Pending(NamedTuple):
    """A document of the running batch, not in the memtable yet."""

    position: int
    version: int
    source: bytes


class Accepted(NamedTuple):
    """The documents that a batch adds, in the order of the log."""

    values: Values
    """By their place in here."""
    keys: KeyBatch
    versions: I64
    offsets: I64
    sources: U8
    source_starts: I64

    @property
    def n_docs(self) -> int:
        return len(self.versions)


class Batch:
    """Decides event by event. Requires: `places` has every live document of the events' keys."""

    def __init__(
        self,
        events: list[DocumentEvent],
        reading: Reading,
        keys: list[bytes],
        places: Places,
        tombstones: list[dict[bytes, int]],
        extractor: Extractor,
        schema_ref: SchemaRef,
        next_offset: int,
    ) -> None:
        self.events = events
        self._reading = reading
        self._located = places.by_key(keys)
        self._tombstones = tombstones
        """Key -> version of versioned deletes, the active memtable's first."""
        self._extractor = extractor
        self._ref = schema_ref
        self._next_offset = next_offset
        self._numbers: list[int] = []
        """The event of each document that is added."""
        self._parsed: list[tuple[int, ParsedDocument]] = []
        """Those that the kernel has not read: place among the added, values."""
        self._versions: list[int] = []
        self._sources: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.outcome_versions: list[int] = []
        self.rejected: list[tuple[int, str]] = []
        self._pending: dict[bytes, Pending | None] = {}
        """What the batch itself made of a key so far; None: deleted it."""
        self._dead_positions: list[int] = []
        self._last_offset: dict[bytes, int] = {}

    def decide(self) -> None:
        fields = self._parse_the_rest()
        for number, event in enumerate(self.events):
            if event.offset < self._next_offset:
                outcome, version = Outcome.NOOP, event.version or event.offset
            elif number in self._not_json:
                outcome, version = Outcome.REJECTED, event.version or event.offset
                self.rejected.append((number, self._not_json[number]))
            else:
                outcome, version = self._decide(number, event, fields.get(number))
            self.outcomes.append(outcome)
            self.outcome_versions.append(version)

    def _parse_the_rest(self) -> dict[int, dict[str, Any]]:
        """Parse the documents that the kernel has left, by event; what is no JSON at all is not
        asked for its version or its mapping."""
        self._not_json: dict[int, str] = {}
        fields: dict[int, dict[str, Any]] = {}
        for number in np.flatnonzero(self._reading.is_found == 0).tolist():
            event = self.events[number]
            if event.fields is not None:
                fields[number] = event.fields
            elif event.op is Op.UPSERT or event.op is Op.CREATE:
                assert event.source is not None
                try:
                    fields[number] = parse_object(event.source)
                except MappingError as error:
                    self._not_json[number] = str(error)
        return fields

    def accepted(self) -> Accepted:
        """Return the documents to add."""
        numbers = self._numbers
        events = [self.events[number] for number in numbers]
        places = np.full(len(self.events), -1, np.int64)
        places[numbers] = np.arange(len(numbers))
        values = self._reading.values.moved(places)
        if self._parsed:
            values = values.joined(values_of((at, doc.values) for at, doc in self._parsed))
        sources, starts = join_bytes(self._sources)
        return Accepted(
            values,
            KeyBatch.of([event.key for event in events]),
            np.array(self._versions, np.int64),
            np.array([event.offset for event in events], np.int64),
            sources,
            starts,
        )

    def _decide(
        self, number: int, event: DocumentEvent, fields: dict[str, Any] | None
    ) -> tuple[Outcome, int]:
        version = event.offset if event.version is None else event.version
        current = self._current_version(event.key)
        newest = current if current >= 0 else self._tombstone(event.key)
        if version < newest or (version == newest and event.version is not None):
            return Outcome.CONFLICT, newest
        exists = current >= 0
        if event.op is Op.DELETE:
            return self._delete(event, version, exists=exists), version
        if event.op is Op.CREATE and exists:
            return Outcome.CONFLICT, current
        return self._index(number, event, fields, version, exists=exists)

    def _delete(self, event: DocumentEvent, version: int, *, exists: bool) -> Outcome:
        if event.version is not None:
            # Only a versioned delete is remembered: an older version may still arrive after it.
            self._tombstones[0][event.key] = version
        if not exists:
            return Outcome.NOT_FOUND
        self._drop_pending(event.key)
        self._pending[event.key] = None
        self._last_offset[event.key] = event.offset
        return Outcome.DELETED

    def _index(
        self,
        number: int,
        event: DocumentEvent,
        fields: dict[str, Any] | None,
        version: int,
        *,
        exists: bool,
    ) -> tuple[Outcome, int]:
        """`fields`: what the kernel has not read, parsed."""
        source = event.source
        if event.op is Op.UPDATE:
            if exists:
                current = orjson.loads(self._current_source(event.key))
                fields = merge_objects(current, fields or {})
                # As JSON: to Python 1, 1.0 and true are equal.
                if fields == current and orjson.dumps(fields) == orjson.dumps(current):
                    return Outcome.NOOP, self._current_version(event.key)
            elif event.upsert is not None:
                fields = event.upsert
            else:
                return Outcome.NOT_FOUND, version
            source = orjson.dumps(fields)
        assert source is not None
        if not self._reading.is_found[number]:
            try:
                self._parse(number, fields if fields is not None else parse_object(source))
            except MappingError as error:
                self.rejected.append((number, str(error)))
                return Outcome.REJECTED, version
        self._drop_pending(event.key)
        self._pending[event.key] = Pending(len(self._numbers), version, source)
        self._last_offset[event.key] = event.offset
        self._numbers.append(number)
        self._versions.append(version)
        self._sources.append(source)
        return (Outcome.UPDATED if exists else Outcome.CREATED), version

    def _parse(self, number: int, fields: dict[str, Any]) -> None:
        schema = self._ref.current
        self._parsed.append((len(self._numbers), self._extractor.parse(fields)))
        if self._ref.current is not schema:
            self._reading.read_again(number + 1)

    def _drop_pending(self, key: bytes) -> None:
        pending = self._pending.get(key)
        if pending is not None:
            self._dead_positions.append(pending.position)

    def _tombstone(self, key: bytes) -> int:
        """Return the highest version at which the key was deleted by a versioned delete, or -1."""
        newest = -1
        for tombstones in self._tombstones:
            if tombstones:  # nearly always there is not one, and this runs for every new key
                newest = max(newest, tombstones.get(key, -1))
        return newest

    def _current_version(self, key: bytes) -> int:
        """Return the version of the live document of this key, or -1."""
        if key in self._pending:
            pending = self._pending[key]
            return pending.version if pending is not None else -1
        located = self._located.get(key)
        return located.part.reader.version(located.doc_id) if located is not None else -1

    def _current_source(self, key: bytes) -> bytes:
        pending = self._pending.get(key)
        if pending is not None:
            return pending.source
        located = self._located[key]
        return located.part.reader.source(located.doc_id)

    def superseded(self, active: Part, first_doc: int) -> list[tuple[Part, I64]]:
        """Return, part by part, the documents that this batch replaced or deleted."""
        dead: dict[int, tuple[Part, list[int]]] = {}
        for key in self._pending:
            located = self._located.get(key)
            if located is not None:
                dead.setdefault(id(located.part), (located.part, []))[1].append(located.doc_id)
        if self._dead_positions:
            docs = dead.setdefault(id(active), (active, []))[1]
            docs.extend(first_doc + position for position in self._dead_positions)
        return [(part, np.array(docs, np.int64)) for part, docs in dead.values()]

    def changes(self, first_doc: int, views: dict[int, View]) -> list[Change]:
        """Return one change a key, in the order of the log. `views`: from before the batch."""
        changes = []
        for key, pending in self._pending.items():
            located = self._located.get(key)
            old = (views[id(located.part)], located.doc_id) if located is not None else None
            new_doc = first_doc + pending.position if pending is not None else -1
            if old is not None or new_doc >= 0:
                changes.append(Change(self._last_offset[key], key, old, new_doc))
        changes.sort(key=lambda change: change.offset)
        return changes


def merge_objects(current: dict[str, Any], partial: dict[str, Any]) -> dict[str, Any]:
    """Return `current` with `partial` merged in: objects recursively, all else replaced."""
    merged = dict(current)
    for name, value in partial.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = merge_objects(before, value)
        else:
            merged[name] = value
    return merged
