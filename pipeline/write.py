"""Writes that come over HTTP: checked, appended to the log, answered with their outcome.

The log is the truth: a write is answered only when the log has it durably, and its outcome is
what applying the log made of it. Where another node owns the shard, the outcome is not known.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

from index.document import DocumentEvent, Op, Outcome
from index.errors import (
    DocumentNotFoundError,
    InvalidRequestError,
    MappingError,
    TailraceError,
    VersionConflictError,
)
from index.extract import Extractor
from index.options import IndexOptions
from index.reading import DocumentReader
from index.schema import SchemaRef
from pipeline.budget import Budget
from pipeline.events import (
    SAME_DOCUMENT,
    NewRecord,
    Record,
    Rejected,
    decode,
    decode_wholly,
)
from pipeline.feed import Log
from pipeline.options import PipelineOptions
from pipeline.outcomes import EventOutcome
from pipeline.shard import Shard
from pipeline.threads import Threads

INLINE_BYTES = 4 << 10
"""Writes up to this size are checked in the event loop: a thread hop would cost more."""
RECORD_BYTES = 200
SLICE = 1_000
"""After so many results others get their turn in the event loop."""
MANY = 16
"""Ops whose documents are read together: fewer are parsed sooner than a kernel is set up."""

Decode = Callable[[Record, IndexOptions], DocumentEvent | Rejected]


@dataclass(frozen=True, slots=True)
class WriteOp:
    """One line of a bulk request."""

    op: Op
    key: str | None = None
    """None: a key is made up (not for an update or delete)."""
    source: bytes | None = None
    """The document as JSON text; for an update, the partial one; None for a delete."""
    version: int | None = None
    """External version: the higher wins. None: the log position is the version."""
    routing: str | None = None
    """Accepted and not used: the key alone says which shard owns a document."""
    upsert: bytes | None = None
    """For an update: the document to index where none is there. `doc_as_upsert` is `source`."""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one `WriteOp`."""

    status: int
    outcome: Outcome | None
    """None: refused before it was logged, or durable in the log but not yet known to be applied."""
    key: str
    version: int | None = None
    partition: int | None = None
    offset: int | None = None
    error: TailraceError | None = None


STATUSES = {
    Outcome.CREATED: 201,
    Outcome.UPDATED: 200,
    Outcome.DELETED: 200,
    Outcome.NOOP: 200,
    Outcome.NOT_FOUND: 404,
    Outcome.CONFLICT: 409,
    Outcome.REJECTED: 400,
}


class Writer:
    """The way of all HTTP writes of one index. Thread rule: the event loop's thread."""

    def __init__(
        self,
        index: str,
        log: Log,
        shards: Mapping[int, Shard],
        schema_ref: SchemaRef,
        *,
        threads: Threads,
        options: PipelineOptions,
        index_options: IndexOptions,
        require_room: Callable[[], None],
        budget: Budget,
    ) -> None:
        """`budget`: of the writes under way, shared by all indexes."""
        self._index = index
        self._log = log
        self._shards = shards
        self._schema_ref = schema_ref
        self._extractor = Extractor(schema_ref, index_options)
        self._readers: list[DocumentReader] = []
        """Idle ones. One serves one thread at a time, so it is taken out and put back."""
        self._threads = threads
        self._options = options
        self._index_options = index_options
        self._require_room = require_room
        self._budget = budget

    async def write(self, ops: list[WriteOp]) -> list[WriteResult]:
        """Return the result of each op, once all that are valid are durable and, where this node
        owns their shard, searchable. What goes to a shard that has failed here is refused before
        it is logged: it would be durable, and searchable nowhere.

        Raises: OverloadError; DiskFullError; StorageError where the log cannot be written (then
        nothing is answered: each op may or may not be durable).
        """
        self._require_room()
        n_bytes = sum(RECORD_BYTES + len(op.source or b"") for op in ops)
        with self._budget.held(n_bytes):
            return await self._write(ops, n_bytes)

    async def _write(self, ops: list[WriteOp], n_bytes: int) -> list[WriteResult]:
        if n_bytes <= INLINE_BYTES:
            checked = self._check_all(ops)
        else:
            checked = await self._threads.query(partial(self._check_all, ops))
        checked = self._without_failed(checked)
        records = [entry for entry in checked if isinstance(entry, NewRecord)]
        if not records:
            return [entry for entry in checked if isinstance(entry, WriteResult)]
        results = iter(await self._append(records))
        return [entry if isinstance(entry, WriteResult) else next(results) for entry in checked]

    def _without_failed(
        self, checked: list[NewRecord | WriteResult]
    ) -> list[NewRecord | WriteResult]:
        """Refuse what goes to a shard that has failed, or cannot tell the outcome yet."""
        shards = self._shards.items()
        failed = {number: shard for number, shard in shards if shard.refusal is not None}
        if not failed:
            return checked
        kept: list[NewRecord | WriteResult] = []
        for entry in checked:
            shard = self._shard_of(entry, failed)
            kept.append(entry if shard is None else _unavailable(entry, shard))
        return kept

    def _shard_of(
        self, entry: NewRecord | WriteResult, shards: Mapping[int, Shard]
    ) -> Shard | None:
        if isinstance(entry, WriteResult) or entry.key is None:
            return None
        number = self._log.partition_of(entry.key)
        return shards.get(number) if number is not None else None

    def _check_all(self, ops: list[WriteOp]) -> list[NewRecord | WriteResult]:
        if len(ops) < MANY:
            return [self._check(op, decode_wholly) for op in ops]
        return [
            self._check(op, decode if is_found else decode_wholly)
            for op, is_found in zip(ops, self._find(ops), strict=True)
        ]

    def _find(self, ops: list[WriteOp]) -> list[int]:
        """Return which ops have a document that is plainly as mapped: it needs no other look."""
        try:
            reader = self._readers.pop()
        except IndexError:
            reader = DocumentReader(self._schema_ref, self._index_options, self._extractor)
        whole = (Op.UPSERT, Op.CREATE)
        try:
            sources = [(op.source or b"") if op.op in whole else b"" for op in ops]
            is_found: list[int] = reader.read(sources).is_found.tolist()
            return is_found
        finally:
            self._readers.append(reader)

    def _check(self, op: WriteOp, decode: Decode) -> NewRecord | WriteResult:
        """Return the record for the log, or the result of an op that must not get there."""
        if op.key is None and op.op in (Op.UPDATE, Op.DELETE):
            return _refused("", InvalidRequestError(f"{op.op.name.lower()} without a document id"))
        key = op.key if op.key is not None else secrets.token_urlsafe(15)
        record = NewRecord(key.encode(errors="surrogatepass"), op.source, _headers(op))
        # Decoding is what the shard will do, so what passes here will not become a dead letter.
        event = decode(
            Record(self._index, 0, 0, 0, record.key, record.value, record.headers),
            self._index_options,
        )
        if isinstance(event, Rejected):
            known = {kind.type: kind for kind in (MappingError, InvalidRequestError)}
            return _refused(key, known.get(event.type, InvalidRequestError)(event.reason))
        try:
            if event.fields is not None:
                self._extractor.check(event.fields)
            if event.upsert is not None and event.upsert is not event.fields:
                self._extractor.check(event.upsert)
        except TailraceError as error:
            return _refused(key, error)
        return record

    async def _append(self, records: list[NewRecord]) -> list[WriteResult]:
        shards = dict(self._shards)
        with ExitStack() as tickets:
            # Before the append: a record may be applied before its offset is known here.
            for shard in shards.values():
                tickets.enter_context(shard.outcomes.ticket(shard.watermark.next_offset))
            places = await self._log.append(records)
            await self._wait_searchable(shards, places)
            results = []
            for number, (record, place) in enumerate(zip(records, places, strict=True)):
                if number % SLICE == SLICE - 1:
                    await asyncio.sleep(0)
                results.append(_result(record, place, shards.get(place[0])))
            return results

    async def _wait_searchable(
        self, shards: Mapping[int, Shard], places: list[tuple[int, int]]
    ) -> None:
        last: dict[int, int] = {}
        for partition, offset in places:
            if partition in shards:
                last[partition] = max(offset, last.get(partition, 0))
        # It is durable, which is what the answer promises; where a shard has failed, moved away
        # or is too slow, the outcome stays unknown.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.write_timeout_s):
                for partition, offset in last.items():
                    with suppress(TailraceError):
                        await shards[partition].watermark.wait_for_offset(offset)


def _headers(op: WriteOp) -> tuple[tuple[str, bytes | None], ...]:
    headers: list[tuple[str, bytes | None]] = []
    if op.op is not Op.UPSERT:
        headers.append(("op", op.op.name.lower().encode()))
    if op.version is not None:
        headers.append(("version", b"%d" % op.version))
    if op.upsert is not None:
        headers.append(("upsert", SAME_DOCUMENT if op.upsert == op.source else op.upsert))
    if op.traceparent is not None:
        headers.append(("traceparent", op.traceparent.encode()))
    return tuple(headers)


def _unavailable(entry: NewRecord | WriteResult, shard: Shard) -> WriteResult:
    assert isinstance(entry, NewRecord), "refused already"
    assert shard.refusal is not None, "it takes writes"
    return _refused((entry.key or b"").decode(errors="replace"), shard.refusal)


def _refused(key: str, error: TailraceError) -> WriteResult:
    return WriteResult(error.status, None, key, error=error)


def _result(record: NewRecord, place: tuple[int, int], shard: Shard | None) -> WriteResult:
    partition, offset = place
    key = (record.key or b"").decode()
    found = shard.outcomes.find(offset) if shard is not None else None
    if found is None:
        return WriteResult(200, None, key, None, partition, offset)
    return WriteResult(
        STATUSES[found.outcome],
        found.outcome,
        key,
        found.version,
        partition,
        offset,
        _error(key, record, found),
    )


def _error(key: str, record: NewRecord, found: EventOutcome) -> TailraceError | None:
    if found.outcome is Outcome.CONFLICT:
        if ("op", b"create") in record.headers:
            return VersionConflictError(
                f"[{key}]: version conflict, document already exists "
                f"(current version [{found.version}])"
            )
        return VersionConflictError(
            f"[{key}]: version conflict, current version [{found.version}] is higher or equal "
            "to the one provided"
        )
    if found.outcome is Outcome.REJECTED:
        return MappingError(found.reason or "document does not fit the mapping")
    if found.outcome is Outcome.NOT_FOUND and ("op", b"update") in record.headers:
        return DocumentNotFoundError(f"[{key}]: document missing")
    return None
