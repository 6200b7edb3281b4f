"""Records and what they mean: bytes -> `DocumentEvent` or `Rejected`, decided once, here.

`decode` never raises for what a record holds. Thread rule: any thread; the shard calls it in
the apply thread, so that the event loop only queues raw records.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from index.document import DocumentEvent, Op
from index.errors import MappingError
from index.options import IndexOptions
from index.source import parse_object

Headers = tuple[tuple[str, bytes | None], ...]

MAX_VERSION: Final = (1 << 63) - 1
MAX_REASON_CHARS: Final = 1_000

OPS: Final[dict[bytes, Op]] = {
    b"upsert": Op.UPSERT,
    b"index": Op.UPSERT,
    b"create": Op.CREATE,
    b"update": Op.UPDATE,
    b"delete": Op.DELETE,
}
SAME_DOCUMENT: Final = b"true"
"""Header `upsert` of an update whose partial document is to be indexed where none is there."""

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_DIGITS = re.compile(rb"[0-9]{1,19}")
_DEFAULTS = IndexOptions()


class Record(msgspec.Struct, frozen=True, gc=False):
    """One message of a broker, as it came."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """When it was produced (epoch milliseconds); -1 where the broker does not say."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """One message on its way into a log."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """None: where the key's hash says."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot become a document, and why. It goes to the dead letters."""

    record: Record
    type: str
    """An OpenSearch error type, such as `mapper_parsing_exception`."""
    reason: str


class _RejectError(Exception):
    def __init__(self, type_: str, reason: str) -> None:
        super().__init__(reason)
        self.type = type_


def decode(record: Record, options: IndexOptions = _DEFAULTS) -> DocumentEvent | Rejected:
    """Return the event that `record` stands for (INTERFACE section 4), or why there is none. The
    JSON of a whole document is left to the engine, which rejects what is none."""
    try:
        return _decode(record, options)
    except _RejectError as bad:
        return Rejected(record, bad.type, str(bad)[:MAX_REASON_CHARS])


def decode_wholly(record: Record, options: IndexOptions = _DEFAULTS) -> DocumentEvent | Rejected:
    """Return the same with the document parsed: for who wants to know before it is in the log."""
    event = decode(record, options)
    if isinstance(event, Rejected) or event.fields is not None or event.source is None:
        return event
    try:
        return msgspec.structs.replace(event, fields=parse_object(event.source))
    except MappingError as error:
        return Rejected(record, error.type, str(error)[:MAX_REASON_CHARS])


def _decode(record: Record, options: IndexOptions) -> DocumentEvent:
    key = _decode_key(record, options)
    op, version, upsert = Op.UPSERT, None, None
    if record.headers:
        op, version, upsert = _decode_headers(record)
    value = record.value
    if value is None:
        if op is Op.CREATE or op is Op.UPDATE:
            raise _RejectError(
                "illegal_argument_exception", f"op {op.name.lower()} without a document"
            )
        op = Op.DELETE
    if op is Op.DELETE:
        if record.key is None:
            raise _RejectError("illegal_argument_exception", "delete without a document id")
        return DocumentEvent(record.offset, op, key, None, None, version)
    if op is not Op.UPDATE:
        return DocumentEvent(record.offset, op, key, value, None, version)
    assert value is not None
    fields = _parse(value)
    initial = None
    if upsert is not None:
        initial = fields if upsert == SAME_DOCUMENT else _parse(upsert)
    return DocumentEvent(record.offset, op, key, value, fields, version, initial)


def _decode_key(record: Record, options: IndexOptions) -> bytes:
    key = record.key
    if key is None:
        return f"{record.topic}-{record.partition}-{record.offset}".encode()
    if not key:
        raise _RejectError("illegal_argument_exception", "document id is empty")
    if len(key) > options.max_key_bytes:
        raise _RejectError(
            "illegal_argument_exception",
            f"document id of {len(key)} bytes, at most {options.max_key_bytes} are allowed",
        )
    if not key.isascii():
        try:
            key.decode()
        except UnicodeDecodeError as error:
            raise _RejectError(
                "illegal_argument_exception",
                f"document id is not utf-8 at byte {error.start}",
            ) from error
    return key


def _decode_headers(record: Record) -> tuple[Op, int | None, bytes | None]:
    op, version, upsert = Op.UPSERT, None, None
    for name, value in record.headers:
        if name == "op":
            found = OPS.get(value or b"")
            if found is None:
                raise _RejectError(
                    "illegal_argument_exception",
                    f"header op is {_shown(value)}, expected upsert, create, update or delete",
                )
            op = found
        elif name == "version":
            version = _decode_version(value)
        elif name == "upsert":
            upsert = value
    return op, version, upsert


def _decode_version(value: bytes | None) -> int:
    if value is not None and _DIGITS.fullmatch(value) and int(value) <= MAX_VERSION:
        return int(value)
    raise _RejectError(
        "illegal_argument_exception",
        f"header version is {_shown(value)}, expected an integer of at least 0",
    )


def _parse(value: bytes) -> dict[str, Any]:
    try:
        return parse_object(value)
    except MappingError as error:
        raise _RejectError(error.type, str(error)) from error


def find_traceparent(record: Record) -> bytes | None:
    """Return the record's `traceparent` header, as it came."""
    for name, value in record.headers:
        if name == "traceparent":
            return value or b""
    return None


def is_traceparent(value: bytes) -> bool:
    """Return whether `value` is a W3C traceparent of a version that we read."""
    return (
        _TRACEPARENT.fullmatch(value) is not None
        and value[:2] != b"ff"
        and value[3:35] != b"0" * 32
        and value[36:52] != b"0" * 16
    )


def is_sampled(traceparent: bytes) -> bool:
    """Return whether the sampled bit is set. Requires: `is_traceparent(traceparent)`."""
    return traceparent[54] in b"13579bdf"


def dead_letter(rejected: Rejected) -> NewRecord:
    """Return what goes to the dead letters: the record unchanged, with headers saying why."""
    record = rejected.record
    return NewRecord(
        key=record.key,
        value=record.value,
        headers=(
            *record.headers,
            ("tailrace.error.type", rejected.type.encode()),
            ("tailrace.error.reason", rejected.reason.encode(errors="replace")),
            ("tailrace.source.topic", record.topic.encode()),
            ("tailrace.source.partition", b"%d" % record.partition),
            ("tailrace.source.offset", b"%d" % record.offset),
        ),
    )


def _shown(value: bytes | None) -> str:
    return repr((value or b"")[:40].decode(errors="replace"))
