"""The partition of a key, as Kafka's own producers choose it."""

from __future__ import annotations

from struct import Struct
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
_WORDS: Final = tuple(Struct(f"<{n}I").unpack_from for n in range(65))


def murmur2(key: bytes) -> int:
    """Return the unsigned 32-bit murmur2 of Kafka's Java client."""
    length = len(key)
    h = _SEED ^ length
    n_words = length >> 2
    unpack = _WORDS[n_words] if n_words < 65 else Struct(f"<{n_words}I").unpack_from
    for k in unpack(key):
        k = (k * _M) & _MASK
        k = ((k ^ (k >> 24)) * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    if length & 3:
        h = ((h ^ int.from_bytes(key[n_words << 2 :], "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, n_partitions: int) -> int:
    """Return the partition of `key` among `n_partitions`."""
    if n_partitions == 1:
        return 0
    return (murmur2(key) & 0x7FFFFFFF) % n_partitions
