"""What the index takes in: one event per upsert or delete of a document."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import msgspec


class Op(IntEnum):
    UPSERT = 0
    CREATE = 1
    UPDATE = 2
    DELETE = 3


class DocumentEvent(msgspec.Struct, frozen=True, gc=False):
    """One upsert, create, partial update or delete of a document, at one place in the log.

    `source` is None for a delete. `fields` is `source` parsed; None: the engine parses it, and
    rejects the event where it is no JSON object. For an update both are there, and hold the
    partial document, which the engine merges into the newest version. `version` is None
    where the record names none: the offset then orders the versions of a key.
    """

    offset: int
    op: Op
    key: bytes
    source: bytes | None
    fields: dict[str, Any] | None
    version: int | None = None
    upsert: dict[str, Any] | None = None
    """For an update: the document to index where the key is not there."""


class Outcome(IntEnum):
    """What `Engine.apply` did with one event."""

    CREATED = 0
    UPDATED = 1
    DELETED = 2
    NOT_FOUND = 3
    """A delete or update of a key that is not there; nothing changed."""
    CONFLICT = 4
    """A create of a key that exists, or a version below the one the index has."""
    REJECTED = 5
    """The document does not fit the mapping; see `Applied.rejected`."""
    NOOP = 6
    """An update that changes nothing."""
