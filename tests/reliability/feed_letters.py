"""Dead letters as a table, over a log that fails as logs do."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict

from consumers.source import LogError
from index.errors import InvalidRequestError
from pipeline.events import NewRecord

MAX_BYTES = 1 << 20


class Letters:
    """A `Log`. What it took stays; it may say that it failed and have taken it all the same."""

    def __init__(self, rng: random.Random, n_failures: int) -> None:
        self.taken: defaultdict[tuple[int, int], list[NewRecord]] = defaultdict(list)
        """Partition and offset of the record -> its letters."""
        self.n_failures = n_failures
        self.n_ambiguous = 0
        self._rng = rng

    @property
    def n_partitions(self) -> int:
        return 1

    async def append(self, records: list[NewRecord]) -> list[tuple[int, int]]:
        for record in records:
            if len(record.value or b"") + len(record.key or b"") > MAX_BYTES:
                raise InvalidRequestError(f"record of {len(record.value or b'')} bytes")
        await asyncio.sleep(self._rng.random())
        if self.n_failures and self._rng.random() < 0.5:
            self.n_failures -= 1
            if self._rng.random() < 0.5:
                raise LogError("the letters' log is away")
            self.n_ambiguous += 1
            self._take(records)
            raise LogError("the letters' log does not answer")
        self._take(records)
        return [(0, 0)] * len(records)

    async def close(self) -> None:
        pass

    def _take(self, records: list[NewRecord]) -> None:
        for record in records:
            said = dict(record.headers)
            place = said["tailrace.source.partition"], said["tailrace.source.offset"]
            self.taken[int(place[0] or 0), int(place[1] or 0)].append(record)
