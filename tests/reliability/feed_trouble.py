"""Batches that cannot be read: what the client raises for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import aiokafka.codec
from aiokafka.errors import CorruptRecordException, RecordTooLargeError, UnsupportedCodecError
from aiokafka.record import default_records

from tests.reliability.feed_kafka import Unreadable

BOMB_BYTES = 1 << 20
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip_decode": aiokafka.codec.gzip_encode,
    "snappy_decode": aiokafka.codec.snappy_encode,
    "lz4_decode": aiokafka.codec.lz4_encode,
    "zstd_decode": aiokafka.codec.zstd_encode,
}


def make_unreadable(rng: random.Random, n_times: int | None) -> Unreadable:
    """Return a batch that fails so many times; None: for ever. Bombs are such."""
    if n_times is None and rng.random() < 0.5:
        return Unreadable(_bomb(rng.choice([*ENCODERS])))
    error = rng.choice(
        [
            CorruptRecordException("checksum differs"),
            UnsupportedCodecError("codec 7"),
            RecordTooLargeError("larger than a fetch"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "name of a header"),
            ValueError("no such magic"),
        ]
    )
    return Unreadable(_raising(error), n_times)


def _raising(error: Exception) -> Callable[[], Any]:
    def read() -> None:
        raise error

    return read


def _bomb(codec: str) -> Callable[[], Any]:
    # Looked up as aiokafka does for each batch.
    return lambda: getattr(default_records, codec)(_bombs()[codec])


@cache
def _bombs() -> dict[str, bytes]:
    return {codec: encode(b"\0" * BOMB_BYTES) for codec, encode in ENCODERS.items()}
