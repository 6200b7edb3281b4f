"""BM25 as Lucene 8 and later count it: k1 1.2, b 0.75, no factor of k1 + 1.

score = boost * idf * tf / (tf + k1 * (1 - b + b * length / average length)), where the length
is what the norm byte stands for.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from index.lengths import LENGTH_OF_NORM
from index.reader import FieldStats

K1 = 1.2
B = 0.75
_LENGTHS = LENGTH_OF_NORM.astype(np.float64)


def idf(doc_freq: int, n_docs: int) -> float:
    """Return how much a term tells: ln(1 + (N - df + 0.5) / (df + 0.5))."""
    doc_freq = min(doc_freq, n_docs)
    return math.log(1.0 + (n_docs - doc_freq + 0.5) / (doc_freq + 0.5))


def average_length(stats: FieldStats) -> float:
    """Return the mean length of the documents that have the field; 1 where there are none."""
    return (stats.total_length / stats.n_docs if stats.n_docs else 1.0) or 1.0


def length_table(average: float) -> npt.NDArray[np.float32]:
    """Return f32[256]: for each norm byte k1 * (1 - b + b * length / average length)."""
    return (K1 * (1.0 - B + B * _LENGTHS / average)).astype(np.float32)


def keyword_part(stats: FieldStats) -> float:
    """Return tf / (tf + ..) of a keyword: frequency and length are always 1."""
    return 1.0 / (1.0 + K1 * (1.0 - B + B / average_length(stats)))
