"""The dictionary of Chinese words, and the tokenizer that cuts runs of ideographs by it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from index.analysis import characters
from index.kernels.cjk import build_tree, join_words

SCALE = 12
"""Steps of a weight in the file: 1 is a probability of e ** (-1 / SCALE)."""
UNKNOWN = -255 / SCALE
"""Weight of a character that is no word by itself: that of the rarest."""


class Dictionary(NamedTuple):
    """See kernels/cjk.py."""

    slots: npt.NDArray[np.uint64]
    children: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]


@cache
def chinese_dictionary() -> Dictionary:
    """Return the dictionary, read at the first call: about a tenth of a second and 15 MB."""
    packed = (Path(__file__).parent / "data" / "chinese.zst").read_bytes()
    data = np.frombuffer(bytearray(zstandard.ZstdDecompressor().decompress(packed)), np.uint8)
    n_words, n_units = data[:8].view(np.uint32).tolist()
    lengths = data[8 : 8 + n_words].copy()
    word_weights = data[8 + n_words : 8 + 2 * n_words].astype(np.float32) / np.float32(-SCALE)
    planes = data[8 + 2 * n_words :].reshape(2, n_units)
    units = planes[0].astype(np.uint16) | planes[1].astype(np.uint16) << np.uint16(8)
    n_slots = 1 << (2 * n_units).bit_length()
    tree = Dictionary(
        np.zeros(n_slots, np.uint64), np.zeros(n_slots, np.int32), np.zeros(n_units + 1, np.float32)
    )
    build_tree(lengths, units, word_weights, *tree)
    return tree


def cut(
    text: npt.NDArray[np.uint8], words: npt.NDArray[np.uint32], continues: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint32]:
    """Return `words`, runs of ideographs among them cut into the most probable words."""
    table = characters.character_table()
    tokens = np.empty_like(words)
    best, after = np.empty(len(words) + 1, np.float64), np.empty(len(words) + 1, np.int32)
    n = join_words(
        text, words, continues, table.pages, table.classes,
        *chinese_dictionary(), UNKNOWN, best, after, tokens,
    )  # fmt: skip
    return tokens[:n]
