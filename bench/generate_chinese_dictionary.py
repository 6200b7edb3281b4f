"""Write index/analysis/data/chinese.zst: words of Chinese and how frequent they are.

Source: dict.txt of jieba 0.42.1 (https://github.com/fxsjy/jieba), MIT licence, (c) 2013 Sun Junyi.
Kept are single characters and the words of Han characters that jieba counted at least
`LEAST` times; those below are guesses that nobody counted.
Run: `python bench/generate_chinese_dictionary.py jieba/dict.txt`.
"""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import zstandard

from index.analysis.chinese import SCALE

TARGET = Path(__file__).parent.parent / "index" / "analysis" / "data" / "chinese.zst"
LEAST = 4
MAX_CHARS = 15


def main(source: str) -> None:
    counts: dict[str, int] = {}
    total = 0
    for line in Path(source).read_text(encoding="utf-8").splitlines():
        word, count, _ = line.split(" ")
        total += int(count)
        is_han = all("\u3400" <= char <= "\u9fff" for char in word)
        is_known = len(word) == 1 or int(count) >= LEAST
        if is_han and is_known and len(word) <= MAX_CHARS:
            counts[word] = max(int(count), 1)
    lengths, units, weights = bytearray(), "", bytearray()
    for before, word in itertools.pairwise(["", *sorted(counts)]):
        common = next(i for i in range(len(word) + 1) if before[: i + 1] != word[: i + 1])
        lengths.append(common << 4 | len(word) - common)
        units += word[common:]
        weights.append(min(round(math.log(total / counts[word]) * SCALE), 254))
    planes = np.frombuffer(units.encode("utf-16-le"), np.uint8).reshape(-1, 2).T
    sizes = np.array([len(lengths), len(units)], np.uint32).tobytes()
    data = sizes + bytes(lengths) + bytes(weights) + planes.tobytes()
    TARGET.write_bytes(zstandard.ZstdCompressor(level=22).compress(data))


if __name__ == "__main__":
    main(sys.argv[1])
