"""Decompression of record batches with a limit, in place of aiokafka's without one.

A few kilobytes can inflate to gigabytes. aiokafka looks its decoders up by name in its record
modules for each batch, so that putting others there is enough, for its C extension too.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Final

import cramjam
import zstandard

MODULES: Final = (
    "aiokafka.record.default_records",
    "aiokafka.record.legacy_records",
    "aiokafka.record._crecords.default_records",
    "aiokafka.record._crecords.legacy_records",
)
XERIAL_MAGIC: Final = b"\x82SNAPPY\x00"
XERIAL_HEADER_BYTES: Final = 16
_READ_BYTES: Final = 1 << 20

_limit = 32 << 20


class InflationError(Exception):
    """A batch does not inflate, or not within the limit."""


def install(max_bytes: int) -> None:
    """Put the capped decoders in place, for the whole process; idempotent."""
    global _limit
    _limit = max_bytes
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # built without its C extension
        for codec, decode in DECODERS.items():
            if hasattr(module, codec):
                setattr(module, codec, decode)


def decode_gzip(payload: bytes) -> bytes:
    parts: list[bytes] = []
    room = _limit
    rest = bytes(payload)
    while rest:
        member = zlib.decompressobj(31)
        try:
            part = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise InflationError(f"gzip: {error}") from error
        room -= len(part)
        if room < 0:
            raise _too_large()
        if not member.eof:
            raise InflationError("gzip: ends too early")
        parts.append(part)
        rest = member.unused_data
    return b"".join(parts)


def decode_zstd(payload: bytes) -> bytes:
    parts: list[bytes] = []
    room = _limit
    try:
        with zstandard.ZstdDecompressor().stream_reader(
            bytes(payload), read_across_frames=True
        ) as reader:
            while part := reader.read(_READ_BYTES):
                room -= len(part)
                if room < 0:
                    raise _too_large()
                parts.append(part)
    except zstandard.ZstdError as error:
        raise InflationError(f"zstd: {error}") from error
    return b"".join(parts)


def decode_snappy(payload: bytes) -> bytes:
    payload = bytes(payload)
    if not payload.startswith(XERIAL_MAGIC):
        return _decode_snappy_block(payload, _limit)
    parts: list[bytes] = []
    room, at = _limit, XERIAL_HEADER_BYTES
    while at < len(payload):
        n_bytes = int.from_bytes(payload[at : at + 4], "big")
        part = _decode_snappy_block(payload[at + 4 : at + 4 + n_bytes], room)
        room -= len(part)
        parts.append(part)
        at += 4 + n_bytes
    return b"".join(parts)


def decode_lz4(payload: bytes) -> bytes:
    payload = bytes(payload)
    # No frame inflates more than 255 times; most far less, so the room grows as needed.
    most = min(_limit, 255 * len(payload) + 64)
    room = min(most, 8 * len(payload) + 4096)
    while True:
        out = bytearray(room)
        try:
            n_bytes = cramjam.lz4.decompress_into(payload, out)
        except cramjam.DecompressionError as error:
            if room == _limit:
                raise _too_large() from error
            if room == most:
                raise InflationError(f"lz4: {error} (within {most} bytes)") from error
            room = min(most, 4 * room)
        else:
            return bytes(memoryview(out)[:n_bytes])


def _decode_snappy_block(block: bytes, room: int) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(block) > room:
            raise _too_large()
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise InflationError(f"snappy: {error}") from error


def _too_large() -> InflationError:
    return InflationError(f"a batch inflates to more than {_limit} bytes")


DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip_decode": decode_gzip,
    "snappy_decode": decode_snappy,
    "lz4_decode": decode_lz4,
    "zstd_decode": decode_zstd,
}
