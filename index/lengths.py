"""Lengths of documents in one byte, as Lucene keeps its norms (SmallFloat.intToByte4).

Exact up to 40 tokens, then four significant bits. Source of the format: Lucene 9,
`org.apache.lucene.util.SmallFloat`.
"""

from __future__ import annotations

import numpy as np


def _long_to_int4(value: int) -> int:
    n_bits = value.bit_length()
    if n_bits < 4:
        return value
    shift = n_bits - 4
    return ((value >> shift) & 0x07) | ((shift + 1) << 3)


def _int4_to_long(encoded: int) -> int:
    bits, shift = encoded & 0x07, (encoded >> 3) - 1
    return bits if shift == -1 else (bits | 0x08) << shift


_N_FREE = 255 - _long_to_int4(2**31 - 1)


def encode_length(length: int) -> int:
    """Return the norm byte of `length` tokens (0 .. 2**31 - 1)."""
    return length if length < _N_FREE else _N_FREE + _long_to_int4(length - _N_FREE)


def decode_length(norm: int) -> int:
    """Return the length that a norm byte stands for: the smallest that encodes to it."""
    return norm if norm < _N_FREE else _N_FREE + _int4_to_long(norm - _N_FREE)


LENGTH_OF_NORM = np.array([decode_length(norm) for norm in range(256)], np.float32)
"""f32[256]: the length of each norm byte."""

_BOUNDS = np.array([decode_length(norm) for norm in range(256)], np.int64)


def encode_lengths(lengths: np.ndarray) -> np.ndarray:
    """Return the norm bytes (u8) of an array of lengths."""
    return (np.searchsorted(_BOUNDS, lengths, side="right") - 1).astype(np.uint8)
