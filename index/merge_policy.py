"""Which segments to merge: pure functions of their sizes.

Only neighbours merge, so that documents stay in log order
(docs/decisions/2026-11-21-neighbouring-merges.md). A run of neighbours is worth merging when
they are many and alike: at least `merge_factor` (fewer where the result is too large to be
merged again), the largest of them no more than a part of the whole. Then a byte moves into a
segment several times as large whenever it is written again, and so is written about
log(segments) times, to the base of the factor. How alike they must be gives way as segments
become more: what is searched must stay few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from index.options import IndexOptions

SMALLEST_BYTES = 1 << 20
"""Segments below this count as this large: all that small are alike."""

STEPS = ((0, 4), (3, 3), (4, 2), (6, 1))
"""(from how many unsettled segments on, in halves of the merge factor; how many times its largest
segment a run must weigh)."""

MOST_DEAD = 1 / 3
"""Share of dead documents from which on a segment is written again by itself: each byte written
for it frees at least half a byte."""

EXPUNGED_DEAD = 0.1
"""The same when somebody asks to expunge deletes, as in OpenSearch."""


class SegmentSize(NamedTuple):
    n_bytes: int
    n_docs: int
    n_dead: int
    """Documents that a merge may drop: dead at the manifest's checkpoint."""

    @property
    def dead_share(self) -> float:
        return self.n_dead / self.n_docs if self.n_docs else 0.0

    @property
    def live_bytes(self) -> int:
        """About what a merge writes of it."""
        return int(self.n_bytes * (1.0 - self.dead_share))


def plan_merge(sizes: Sequence[SegmentSize], options: IndexOptions) -> slice | None:
    """Choose neighbours to merge, or one segment to write again; None: no need.

    Of the runs that are worth it, the one that rewrites least for each segment that goes away.
    No run weighs more than `max_merged_bytes`.
    """
    factor = max(options.merge_factor, 2)
    n = n_unsettled(sizes, options)
    for step, times in STEPS:
        if 2 * n < step * factor:
            break
        run = _cheapest_run(sizes, factor, times, options.max_merged_bytes)
        if run is not None:
            return run
    return plan_expunge(sizes, MOST_DEAD)


def plan_expunge(sizes: Sequence[SegmentSize], share: float = EXPUNGED_DEAD) -> slice | None:
    """Choose the segment with the greatest share of dead documents; None: none has `share`."""
    if not sizes:
        return None
    worst = max(range(len(sizes)), key=lambda number: sizes[number].dead_share)
    has_enough = sizes[worst].n_dead > 0 and sizes[worst].dead_share >= share
    return slice(worst, worst + 1) if has_enough else None


def plan_full_merge(sizes: Sequence[SegmentSize], max_segments: int = 1) -> slice | None:
    """Choose the run whose merge leaves `max_segments` at the least cost; a single segment is
    written again to drop what is dead. None: there is nothing to gain."""
    surplus = len(sizes) - max(max_segments, 1)
    if surplus > 0:
        weights = [
            sum(size.live_bytes for size in sizes[first : first + surplus + 1])
            for first in range(len(sizes) - surplus)
        ]
        first = weights.index(min(weights))
        return slice(first, first + surplus + 1)
    return plan_expunge(sizes, 0.0) if len(sizes) == 1 else None


def n_unsettled(sizes: Sequence[SegmentSize], options: IndexOptions) -> int:
    """Return how many of the newest segments merges could still make fewer: those after the last
    one that is too large to be merged again."""
    n = 0
    for size in reversed(sizes):
        if 2 * size.live_bytes >= options.max_merged_bytes:
            break
        n += 1
    return n


def _cheapest_run(
    sizes: Sequence[SegmentSize], factor: int, times: int, limit: int
) -> slice | None:
    best: tuple[float, slice] | None = None
    for run, largest, total in _runs(sizes, factor, limit):
        cost = total / (run.stop - run.start - 1)
        if times * largest <= total and (best is None or cost < best[0]):
            best = cost, run
    return best[1] if best is not None else None


def _runs(
    sizes: Sequence[SegmentSize], factor: int, limit: int
) -> Iterator[tuple[slice, int, int]]:
    """Yield every run of at most `limit` bytes that has `factor` segments or becomes too large to
    be merged again, with the weight of its largest one and of all."""
    live = [size.live_bytes for size in sizes]
    for first in range(len(sizes)):
        n_bytes = largest = total = 0
        for end in range(first, len(sizes)):
            n_bytes += live[end]
            if n_bytes > limit:
                break
            weight = max(live[end], SMALLEST_BYTES)
            largest = max(largest, weight)
            total += weight
            is_last_time = end > first and 2 * n_bytes >= limit
            if end - first + 1 >= factor or is_last_time:
                yield slice(first, end + 1), largest, total
