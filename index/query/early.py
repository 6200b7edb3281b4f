"""`terminate_after`: a search that needs no more than some documents of each shard."""

from __future__ import annotations

import numpy as np

from index.query.program import Matches, Program
from index.query.statistics import Statistics
from index.query.stop import Stop


def run_until(
    program: Program, statistics: Statistics, limit: int, *, k: int, min_score: float, stop: Stop
) -> tuple[Matches, bool]:
    """Run view by view, leaving out the rest of a shard once it gave `limit` documents.

    Returns the best `k` of all that was looked at, with at most `limit` counted for each shard,
    and whether that is less than there is.
    """
    counts: dict[int, int] = {}
    scores, docs = [], []
    for view_no, view in enumerate(statistics.views):
        if counts.get(view.shard, 0) < limit:
            found = program.run(
                statistics, range(view_no, view_no + 1), k=k, min_score=min_score, stop=stop
            )
            counts[view.shard] = counts.get(view.shard, 0) + found.total
            scores.append(found.scores)
            docs.append(found.docs | (view_no << 32))
    total = sum(min(count, limit) for count in counts.values())
    if not docs:
        return Matches(0, np.empty(0, np.float32), np.empty(0, np.int64)), False
    matches = Matches(total, np.concatenate(scores), np.concatenate(docs))
    best = np.lexsort((matches.docs, -matches.scores))[:k]
    is_early = any(count >= limit for count in counts.values())
    return Matches(total, matches.scores[best], matches.docs[best]), is_early
