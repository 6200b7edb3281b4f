"""The files of the embedded log: names, bytes, and reading them back.

    file   := header frame*
    header := magic[8] base_offset:u64                       named <base_offset, 20 digits>.log
    frame  := magic:u32 crc:u32 n_bytes:u32 n_records:u32 base_offset:u64 durable_end:u64 body
    body   := msgpack array of [timestamp_ms, key, value, [[name, value]...]]; n_bytes long

Little endian. `crc` is the CRC32C of all that follows it in the frame. `durable_end` is how
far the file was known to be on disk when the frame was written: a bad frame before that place
was once good, so it is corruption; one behind it is the torn end of a crash and is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

import google_crc32c
import msgspec

from index.directory import OpenFile
from index.errors import CorruptionError
from pipeline.events import Headers

SUFFIX: Final = ".log"
FILE_MAGIC: Final = b"TRLOG\x00\x01\n"
FILE_HEADER: Final = Struct("<8sQ")
FRAME_MAGIC: Final = 0x4D415246  # "FRAM"
FRAME_HEADER: Final = Struct("<IIIIQQ")
FRAME_MAGIC_BYTES: Final = b"FRAM"
CHECKED: Final = Struct("<IIQQ")  # the part of the frame's header that the crc covers
CHECKED_AT: Final = FRAME_HEADER.size - CHECKED.size

MAX_FRAME_BYTES: Final = 1 << 20
"""Records are gathered into frames of about this size; a larger record has a frame alone."""
MAX_RECORD_BYTES: Final = 32 << 20
READ_BYTES: Final = 1 << 20


class StoredRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One record as it lies in a frame; its offset is the frame's base plus its place."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def n_bytes(self) -> int:
        return 32 + len(self.key or b"") + len(self.value or b"")


class Frame(NamedTuple):
    """One frame that passed its checksum, at [position, end) of its file."""

    position: int
    end: int
    base_offset: int
    n_records: int
    body: bytes
    durable_end: int
    """How far the file was durable before this frame."""

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.n_records


class BadFrameError(Exception):
    """No frame begins here. Never leaves this layer."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[StoredRecord])


def file_name(base_offset: int) -> str:
    """Return the name of the file whose first record has `base_offset`."""
    return f"{base_offset:020d}{SUFFIX}"


def base_offset_of(name: str) -> int | None:
    """Return the base offset that a file's name tells, None for a foreign file."""
    digits = name.removesuffix(SUFFIX)
    if len(digits) != 20 or not digits.isdecimal() or name == digits:
        return None
    return int(digits)


def encode_header(base_offset: int) -> bytes:
    """Return the first bytes of a file."""
    return FILE_HEADER.pack(FILE_MAGIC, base_offset)


def encode_frame(base_offset: int, records: list[StoredRecord], durable_end: int) -> bytes:
    """Return one frame that holds `records`, the first of them at `base_offset`."""
    body = _encoder.encode(records)
    checked = CHECKED.pack(len(body), len(records), base_offset, durable_end) + body
    crc: int = google_crc32c.value(checked)
    return FRAME_MAGIC_BYTES + crc.to_bytes(4, "little") + checked


def decode_records(name: str, frame: Frame) -> list[StoredRecord]:
    """Return the records of a frame. Raises: CorruptionError."""
    try:
        records = _decoder.decode(frame.body)
    except msgspec.DecodeError as error:
        raise CorruptionError(name, frame.position, f"frame body: {error}") from error
    if len(records) != frame.n_records:
        raise CorruptionError(
            name, frame.position, f"{len(records)} records, the frame says {frame.n_records}"
        )
    return records


def read_frames(file: OpenFile, position: int, end: int) -> Iterator[Frame]:
    """Yield the frames of bytes [position, end) of a file, each checked.

    Raises: BadFrameError at the first place where no sound frame begins.
    """
    buffer, start = b"", position
    while position < end:
        at = position - start
        if at + FRAME_HEADER.size > len(buffer):
            buffer, start, at = file.read(position, min(READ_BYTES, end - position)), position, 0
        n_bytes = _frame_bytes(buffer, at, position)
        if position + n_bytes > end:
            raise BadFrameError(position, "frame ends behind the end of the file")
        if at + n_bytes > len(buffer):
            n_read = min(max(READ_BYTES, n_bytes), end - position)
            buffer, start, at = file.read(position, n_read), position, 0
        yield _check_frame(buffer[at : at + n_bytes], position)
        position += n_bytes


def _frame_bytes(buffer: bytes, at: int, position: int) -> int:
    if at + FRAME_HEADER.size > len(buffer):
        raise BadFrameError(position, "frame header is cut short")
    magic, _, n_bytes, _, _, _ = FRAME_HEADER.unpack_from(buffer, at)
    if magic != FRAME_MAGIC:
        raise BadFrameError(position, "no frame begins here")
    return int(FRAME_HEADER.size + n_bytes)


def _check_frame(data: bytes, position: int) -> Frame:
    _, crc, n_bytes, n_records, base_offset, durable_end = FRAME_HEADER.unpack_from(data)
    if len(data) < FRAME_HEADER.size + n_bytes:
        raise BadFrameError(position, "frame body is cut short")
    if google_crc32c.value(data[CHECKED_AT:]) != crc:
        raise BadFrameError(position, "frame checksum differs")
    body = data[FRAME_HEADER.size :]
    return Frame(position, position + len(data), base_offset, n_records, body, durable_end)


def is_known_durable(file: OpenFile, position: int, end: int) -> bool:
    """Return whether a sound frame behind `position` says that `position` was on disk.

    Cost: reads the rest of the file. Only asked after a bad frame at `position`.
    """
    data = file.read(position, end - position)
    at = data.find(FRAME_MAGIC_BYTES, 1)
    while at >= 0:
        try:
            n_bytes = _frame_bytes(data, at, position + at)
            _check_frame(data[at : at + n_bytes], position + at)
        except BadFrameError:
            pass
        else:
            durable_end = FRAME_HEADER.unpack_from(data, at)[5]
            if durable_end > position:
                return True
        at = data.find(FRAME_MAGIC_BYTES, at + 1)
    return False


def check_header(name: str, file: OpenFile, base_offset: int) -> None:
    """Raise CorruptionError unless the file begins as it must."""
    header = file.read(0, FILE_HEADER.size)
    if len(header) < FILE_HEADER.size or header[:8] != FILE_MAGIC:
        raise CorruptionError(name, 0, "not a file of the embedded log")
    if FILE_HEADER.unpack(header)[1] != base_offset:
        raise CorruptionError(name, 8, "base offset differs from the name")
