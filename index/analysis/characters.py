"""Which kind of character each code point is: the classes of UAX #29 and of Lucene's tokenizers.

A value is a class (low five bits) and two flags. The table has two stages, so that kernels
touch few cache lines: `CLASSES[PAGES[code >> 8] << 8 | code & 255]`.
"""

from __future__ import annotations

import base64
import zlib
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from index.analysis.character_data import RUNS

OTHER = 0
"""Separates tokens and is in none."""
ALETTER = 1
NUMERIC = 2
EXTEND_NUM_LET = 3
KATAKANA = 4
HEBREW = 5
MID_LETTER = 6
MID_NUM = 7
MID_NUM_LET = 8
SINGLE_QUOTE = 9
DOUBLE_QUOTE = 10
EXTEND = 11
"""Word_Break Extend and Format: belongs to the character before."""
JOINER = 12
"""ZERO WIDTH JOINER: as EXTEND, and an emoji after it belongs to the one before."""
IDEOGRAPH = 13
HIRAGANA = 14
SOUTH_EAST_ASIAN = 15
"""Thai, Lao, Khmer, Burmese: written without spaces; a run is one token."""
EMOJI = 16
REGIONAL = 17
CLASS_MASK = 31
IS_LETTER = 32
IS_SPACE = 64


U8 = npt.NDArray[np.uint8]


class CharacterTable(NamedTuple):
    pages: U8
    """u8[0x1100]: which block of `classes` describes code points 256 * i .. 256 * i + 255."""
    classes: U8


@cache
def character_table() -> CharacterTable:
    """Return the table, one for the process."""
    runs = np.frombuffer(zlib.decompress(base64.b85decode(RUNS)), np.uint8).reshape(-1, 4)
    lengths = runs[:, 0].astype(np.int64) | runs[:, 1].astype(np.int64) << 8
    lengths |= runs[:, 2].astype(np.int64) << 16
    values = np.repeat(runs[:, 3], lengths).reshape(0x1100, 256)
    blocks: dict[bytes, int] = {}
    pages = [blocks.setdefault(row.tobytes(), len(blocks)) for row in values]
    classes = np.frombuffer(bytearray().join(blocks), np.uint8)
    return CharacterTable(np.array(pages, np.uint8), classes)


def character_class(character: str) -> int:
    """Return the value of one character."""
    table = character_table()
    code = ord(character)
    return int(table.classes[int(table.pages[code >> 8]) << 8 | code & 255])
