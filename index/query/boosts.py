"""What a boost may be, and how boosts within each other multiply."""

from __future__ import annotations

MAX_BOOST = 3.4028234663852886e38
"""The largest 32-bit float: scores are such floats."""
MAX_PRODUCT = 1e30
"""What larger boosts count as. No sum of scores that are boosted so overflows."""


def is_boost(boost: float) -> bool:
    """Return whether a query can be boosted so; NaN is no boost."""
    return 0 <= boost <= MAX_BOOST


def multiplied(boost: float, by: float) -> float:
    """Return the product of two boosts. Requires: each `is_boost`."""
    return min(min(boost, MAX_PRODUCT) * by, MAX_PRODUCT)
