"""What a program of the reliability lanes is: a bounded search for a broken promise.

A program counts cases up to the figure of its lane. A case is a pure function of its name, so
that a violation is replayed by the name alone: `make rel-replay ARGS="PROGRAM CASE"`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class Violation(AssertionError):
    """A promise is broken in a case."""

    def __init__(self, case: str, reason: str) -> None:
        super().__init__(f"{case}: {reason}")
        self.case = case
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Run:
    """How much of a program to run."""

    size: int
    """Cases to go through: the lane's figure, shared out over the parts."""
    seed: int
    """What random cases derive from. Equal seeds give equal runs."""
    is_deep: bool = False
    part: int = 0
    n_parts: int = 1
    """Parts of a program run in processes of their own and must not do the same cases."""


@dataclass(slots=True)
class Tally:
    """What a run went through."""

    n_cases: int = 0
    notes: dict[str, int | float | str] = field(default_factory=dict)
    """What else is worth telling; numbers of parts are added up."""

    def note(self, name: str, n: int = 1) -> None:
        """Count something beside the cases."""
        before = self.notes.get(name, 0)
        assert isinstance(before, int)
        self.notes[name] = before + n


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    counts: str
    """What a case is, in the plural: "crash states"."""
    fast: int
    deep: int
    """Cases of the two lanes."""
    run: Callable[[Run], Tally]
    """Raises: Violation."""
    replay: Callable[[str], None]
    """Run one case by its name. Raises: Violation."""
    deep_parts: int = 2
    """Processes that share the deep lane's figure."""
    is_mostly_waiting: bool = False
    """Whether it runs beside the others: it is other processes that work, and not all the time."""
    needs: Callable[[], str | None] = lambda: None
    """Why it cannot run on this machine, None where it can. An optional part that is absent."""
