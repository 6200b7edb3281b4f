"""One batch that has become searchable: what is handed on to waiters, subscribers and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from index.batch import Change
from index.engine import Applied
from index.reader import View
from pipeline.batcher import Batch
from pipeline.decoding import Decoded, SampledRecord
from pipeline.events import Rejected


class Visible(NamedTuple):
    """What a search sees: the views, and exactly the log prefix that they are made of."""

    views: tuple[View, ...]
    next_offset: int


@dataclass(frozen=True, slots=True)
class AppliedBatch:
    """Times are wall clock, in seconds."""

    index: str
    shard: int
    batch: Batch
    decoded: Decoded
    applied: Applied
    visible: Visible
    taken_s: float
    decoded_s: float
    searchable_s: float

    @property
    def changes(self) -> list[Change]:
        return self.applied.changes

    @property
    def rejected(self) -> list[Rejected]:
        """Records that are no documents, or that do not fit the mapping."""
        return self.decoded.rejected

    @property
    def sampled(self) -> list[SampledRecord]:
        return self.decoded.sampled
