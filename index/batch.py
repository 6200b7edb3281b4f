"""One batch of events decided against what the shard holds: what to append, what to supersede.

Nothing is touched while a batch is decided; the engine then appends and kills in one go, so
that a search sees all of a batch or none of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from index.document import DocumentEvent, Op, Outcome
from index.errors import MappingError
from index.extract import Extractor, ParsedDocument
from index.part import Part
from index.reader import View


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


class Pending(NamedTuple):
    """A document of the running batch, not in the memtable yet."""

    position: int
    version: int
    source: bytes


class Batch:
    """Decides event by event. Requires: `located` has every live document of the events' keys."""

    def __init__(
        self,
        events: list[DocumentEvent],
        located: dict[bytes, Located],
        tombstones: list[dict[bytes, int]],
        extractor: Extractor,
        next_offset: int,
    ) -> None:
        self.events = events
        self._located = located
        self._tombstones = tombstones
        """Key -> version of versioned deletes, the active memtable's first."""
        self._extractor = extractor
        self._next_offset = next_offset
        self.parsed: list[ParsedDocument] = []
        self.keys: list[bytes] = []
        self.versions: list[int] = []
        self.offsets: list[int] = []
        self.sources: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.outcome_versions: list[int] = []
        self.rejected: list[tuple[int, str]] = []
        self._pending: dict[bytes, Pending | None] = {}
        """What the batch itself made of a key so far; None: deleted it."""
        self._dead_positions: list[int] = []
        self._last_offset: dict[bytes, int] = {}

    def decide(self) -> None:
        for number, event in enumerate(self.events):
            if event.offset < self._next_offset:
                outcome, version = Outcome.NOOP, event.version or event.offset
            else:
                outcome, version = self._decide(number, event)
            self.outcomes.append(outcome)
            self.outcome_versions.append(version)

    def _decide(self, number: int, event: DocumentEvent) -> tuple[Outcome, int]:
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
        return self._index(number, event, version, exists=exists)

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
        self, number: int, event: DocumentEvent, version: int, *, exists: bool
    ) -> tuple[Outcome, int]:
        source, fields = event.source, event.fields
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
        assert fields is not None
        try:
            parsed = self._extractor.parse(fields)
        except MappingError as error:
            self.rejected.append((number, str(error)))
            return Outcome.REJECTED, version
        self._drop_pending(event.key)
        self._pending[event.key] = Pending(len(self.parsed), version, source)
        self._last_offset[event.key] = event.offset
        self.parsed.append(parsed)
        self.keys.append(event.key)
        self.versions.append(version)
        self.offsets.append(event.offset)
        self.sources.append(source)
        return (Outcome.UPDATED if exists else Outcome.CREATED), version

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

    def superseded(self, active: Part, first_doc: int) -> list[tuple[Part, list[int]]]:
        """Return, part by part, the documents that this batch replaced or deleted."""
        dead: dict[int, tuple[Part, list[int]]] = {}
        for key in self._pending:
            located = self._located.get(key)
            if located is not None:
                dead.setdefault(id(located.part), (located.part, []))[1].append(located.doc_id)
        if self._dead_positions:
            docs = dead.setdefault(id(active), (active, []))[1]
            docs.extend(first_doc + position for position in self._dead_positions)
        return list(dead.values())

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
