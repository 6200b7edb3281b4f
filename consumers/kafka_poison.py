"""Which errors of a fetch are a batch's own, and which the broker's or the connection's."""

from __future__ import annotations

from typing import Final

from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    RecordTooLargeError,
    UnsupportedCodecError,
)

POISON: Final = (CorruptRecordException, RecordTooLargeError, UnsupportedCodecError)
"""Errors of the client that one batch causes, besides all that are not `BROKER_TROUBLE`."""
BROKER_TROUBLE: Final = (KafkaError, ConsumerStoppedError, OSError)


def is_poison(error: Exception) -> bool:
    """Return whether fetching the same batch again, from anywhere, may well give the same."""
    return isinstance(error, POISON) or not isinstance(error, BROKER_TROUBLE)
