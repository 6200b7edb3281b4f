"""When merges cannot keep up: ingestion is slowed first, then paused. Pure functions.

Every flush adds a segment, and every search looks into all of them. So past a number of
segments that merges should have made fewer, batches come at a slower pace, the slower the more
there are, and past a second one not at all, until a merge is done. What is delivered meanwhile
waits in the backlog, whose bound makes the source wait.
"""

from __future__ import annotations

from enum import IntEnum

from pipeline.options import PipelineOptions

LONGEST_DELAY_S = 0.5


class Stall(IntEnum):
    """How a shard takes documents."""

    NONE = 0
    SLOWED = 1
    PAUSED = 2


def stall_of(n_unsettled: int, options: PipelineOptions) -> Stall:
    """`n_unsettled`: `Engine.n_unsettled`."""
    if n_unsettled >= options.max_segments:
        return Stall.PAUSED
    return Stall.SLOWED if n_unsettled >= options.slow_segments else Stall.NONE


def delay_s(n_unsettled: int, options: PipelineOptions) -> float:
    """Return the least time between two batches: rises from nothing to LONGEST_DELAY_S."""
    above = n_unsettled - options.slow_segments + 1
    if above <= 0:
        return 0.0
    steps = max(options.max_segments - options.slow_segments, 1)
    return LONGEST_DELAY_S * min(above / steps, 1.0)
