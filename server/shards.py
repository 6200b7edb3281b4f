"""What a search says of the shards that it was over: how many, and which did not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from index.errors import SearchFailedError, ShardFailedError
from pipeline.index import Index


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


def shards_seen(indexes: Sequence[Index]) -> ShardsSeen:
    """Return the shards of a search and those that it does not see. To be asked after the
    searchers were made: one that fails between the two must not be missing in silence."""
    total = 0
    failures: list[ShardFailure] = []
    for index in indexes:
        found = index.failures()
        total += len({*index.shards, *found})
        failures += [ShardFailure(index.name, shard, found[shard]) for shard in sorted(found)]
    return ShardsSeen(total, failures)
