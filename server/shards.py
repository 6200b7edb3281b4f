"""What a search says of the shards that it was over: how many, and which did not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from index.errors import SearchFailedError, ShardFailedError
from pipeline.index import Index
from pipeline.shard import ShardState
from server.gather import Target


class ShardFailure(NamedTuple):
    index_name: str
    shard: int
    error: ShardFailedError


class ShardsSeen(NamedTuple):
    total: int
    failures: list[ShardFailure]

    def body(self) -> dict[str, Any]:
        """Return the `_shards` of an answer. Raises: SearchFailedError where no shard answers."""
        n_failed = len(self.failures)
        if 0 < self.total <= n_failed:
            raise SearchFailedError(f"all shards failed: {self.failures[0].error}")
        body: dict[str, Any] = {
            "total": self.total,
            "successful": self.total - n_failed,
            "skipped": 0,
            "failed": n_failed,
        }
        if self.failures:
            body["failures"] = [
                {
                    "shard": shard,
                    "index": index,
                    "reason": {"type": error.type, "reason": str(error)},
                }
                for index, shard, error in self.failures
            ]
        return body

    def require_all(self) -> None:
        """Raises: SearchFailedError where a shard does not answer."""
        if self.failures:
            raise SearchFailedError(f"partial shards failure: {self.failures[0].error}")


def targets_of(indexes: Sequence[Index]) -> tuple[list[Target], ShardsSeen]:
    """Return a snapshot of each index, what is searchable now, and the shards that are in it."""
    targets: list[Target] = []
    failures: list[ShardFailure] = []
    total = 0
    for index in indexes:
        failed = index.failures()
        targets.append(Target(index.name, index.searcher()))
        # What fails or comes back meanwhile must not be missing in silence.
        failed |= index.failures()
        total += len({*index.shards, *failed})
        failures += [ShardFailure(index.name, shard, failed[shard]) for shard in sorted(failed)]
    return targets, ShardsSeen(total, failures)


def status_of(indexes: Sequence[Index], *, is_ready: bool) -> str:
    """Return OpenSearch's word for the health: red where documents are that no search finds."""
    has_failed = any(
        shard.state is ShardState.FAILED and shard.unsearchable is not None
        for index in indexes
        for shard in index.shards.values()
    )
    return "red" if has_failed else "green" if is_ready else "yellow"
