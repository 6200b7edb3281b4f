"""From aggregations to results: each kind's function, and the levels below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from index.aggregate.level import Level, Scope
from index.aggregate.results import NO_SUBS, Subs
from index.query.aggregations import Aggregation
from index.query.order_paths import OrderPath
from index.reader import F64


class CollectAll(Protocol):
    def __call__(
        self, scope: Scope, aggregations: tuple[Aggregation, ...], level: Level
    ) -> Subs: ...


@dataclass(frozen=True, slots=True)
class Collector:
    """Gives one aggregation what it needs of its sub-aggregations."""

    scope: Scope
    subs: tuple[Aggregation, ...]
    collect_all: CollectAll

    def below(self, level: Callable[[], Level]) -> Subs:
        """Return the sub-aggregations' results over a level that is made only if there are any."""
        if not self.subs:
            return NO_SUBS
        return self.collect_all(self.scope, self.subs, level())

    def number(self, path: OrderPath, level: Level) -> F64:
        """Return, of each bucket of a level, one number of a sub-aggregation."""
        wanted = _only(self.subs, path.names)
        return self.collect_all(self.scope, wanted, level).number(path.names, path.number)


def _only(subs: tuple[Aggregation, ...], names: tuple[str, ...]) -> tuple[Aggregation, ...]:
    """Return the one aggregation that `names` leads through, without all beside the way."""
    found = next(sub for sub in subs if sub.name == names[0])
    inner = _only(found.subs, names[1:]) if len(names) > 1 else ()
    return (replace(found, subs=inner),)
