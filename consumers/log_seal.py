"""The seal of a log partition that was closed in order: where its newest file ends.

After a crash the end of the newest file may be torn, and nobody can tell a torn end from one that
was damaged or cut off later. A seal can: a sealed log reaches to where the seal says, or is
damaged. The seal is broken before anything is written. Where it comes back all the same, because
its removal was not durable, it still says nothing wrong: what it sealed is still there.
"""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import Final, NamedTuple

import google_crc32c

from index.directory import Directory
from index.errors import CorruptionError, StorageError

NAME: Final = "closed"
_MAGIC: Final = b"TRSEAL\x01\n"
_BODY: Final = Struct("<8sQQQ")
_CRC_BYTES: Final = 4


class Seal(NamedTuple):
    base_offset: int
    """Of the newest file."""
    n_bytes: int
    """Of it."""
    next_offset: int
    """Behind its last record."""

    def check(self, name: str, base_offset: int, n_bytes: int) -> None:
        """Compare the newest file with it. Raises: CorruptionError."""
        if (base_offset, n_bytes) != (self.base_offset, self.n_bytes):
            raise self._differs(name, n_bytes)

    def sealed_end(self, name: str, base_offset: int, n_bytes: int) -> int:
        """Return how far the newest file must be sound. More may lie behind it: a power loss may
        bring back a seal that was broken. Raises: CorruptionError where less is there."""
        if base_offset > self.base_offset:
            return 0
        if base_offset < self.base_offset or n_bytes < self.n_bytes:
            raise self._differs(name, n_bytes)
        return self.n_bytes

    def _differs(self, name: str, n_bytes: int) -> CorruptionError:
        reason = (
            f"{n_bytes} bytes, but the log was closed at offset {self.next_offset} with "
            f"{self.n_bytes} bytes in the file of offset {self.base_offset}"
        )
        return CorruptionError(name, min(n_bytes, self.n_bytes), reason)


def encode_seal(seal: Seal) -> bytes:
    body = _BODY.pack(_MAGIC, *seal)
    crc: int = google_crc32c.value(body)
    return body + crc.to_bytes(_CRC_BYTES, "little")


def decode_seal(data: bytes) -> Seal | None:
    """Return the seal, None where it is none: a crash may have left a part of it."""
    body, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
    if len(body) != _BODY.size or int.from_bytes(crc, "little") != google_crc32c.value(body):
        return None
    magic, *numbers = _BODY.unpack(body)
    return Seal(*numbers) if magic == _MAGIC else None


def read_seal(directory: Directory) -> Seal | None:
    """Raises: StorageError."""
    return decode_seal(directory.read(NAME)) if NAME in directory.list() else None


def write_seal(directory: Directory, seal: Seal) -> None:
    """Seal a log that is closed. Without one it is only less sure, so that no error matters."""
    with suppress(StorageError):
        directory.write_file(NAME, (encode_seal(seal),))
        directory.sync()


def break_seal(directory: Directory) -> None:
    """Durably take the seal away. Raises: StorageError."""
    if NAME in directory.list():
        with suppress(CorruptionError):  # gone already
            directory.delete(NAME)
        directory.sync()
