"""Bytes in flight: what may be in memory at once for one purpose, and what did not fit.

Thread rule: the event loop's thread; `n_bytes` may be read by any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from index.errors import OverloadError


class Budget:
    """Counts what is in flight. What is refused is refused at once: nobody waits in here."""

    def __init__(self, what: str, max_bytes: int) -> None:
        self.what = what
        """In the plural, for people: `writes`."""
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self.n_refused = 0

    def fits(self, n_bytes: int) -> bool:
        """Return whether there is room. Whatever its size, something fits where nothing else is:
        it has bounds of its own."""
        return self.n_bytes == 0 or self.n_bytes + n_bytes <= self.max_bytes

    def require(self, n_bytes: int) -> None:
        """Raises: OverloadError where there is no room."""
        if not self.fits(n_bytes):
            self.n_refused += 1
            raise OverloadError(
                f"{self.n_bytes} bytes of {self.what} are in flight, of at most {self.max_bytes}"
            )

    def hold(self, n_bytes: int) -> None:
        """Count bytes that are there already, room or not."""
        self.n_bytes += n_bytes

    def put_back(self, n_bytes: int) -> None:
        """Requires: they were held."""
        self.n_bytes -= n_bytes

    @contextmanager
    def held(self, n_bytes: int) -> Iterator[None]:
        """Hold bytes for a while. Raises: OverloadError where there is no room."""
        self.require(n_bytes)
        self.hold(n_bytes)
        try:
            yield
        finally:
            self.put_back(n_bytes)


@dataclass(frozen=True, slots=True)
class Budgets:
    """What the indexes of a node share."""

    writes: Budget
    live: Budget
    """Frames that wait for live subscribers."""
    is_backlog_full: Callable[[], bool]
    """Whether all shards together have more to apply than they may."""


class Claim:
    """What one request holds of a budget, until it is done with."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._n_bytes = 0

    def require(self, n_bytes: int) -> None:
        """Raises: OverloadError where so much more would not fit."""
        others = self._budget.n_bytes - self._n_bytes
        if others and not self._budget.fits(n_bytes):
            self._budget.require(n_bytes)

    def grow(self, n_bytes: int) -> None:
        """Hold so much more. Raises: OverloadError where it does not fit."""
        self.require(n_bytes)
        self.hold(n_bytes)

    def hold(self, n_bytes: int) -> None:
        """Hold so much more, room or not."""
        self._budget.hold(n_bytes)
        self._n_bytes += n_bytes

    def release(self) -> None:
        """Put all of it back."""
        self._budget.put_back(self._n_bytes)
        self._n_bytes = 0
