"""What a process does on a CrashDisk, letter by letter, and what it promises meanwhile."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Hashable
from typing import Any, NamedTuple

from tests.reliability.crash_disk import CrashDisk


class BrokenError(AssertionError):
    """What is found is not what was promised."""


def demand(is_kept: bool, *reason: Any) -> None:
    if not is_kept:
        raise BrokenError(" ".join(map(str, reason)))


class Promise(NamedTuple):
    """What was told to somebody, and must be there from then on. A later promise is not less."""

    offset: int = -1
    """Everything below it is durable."""
    epoch: int = 0
    """An owner's; the next owner's is greater."""
    start: int = 0
    """What is below it may be gone."""
    n_fields: int = 0
    """Fields of the mapping that were acknowledged, and one for the mapping itself."""


class Life(ABC):
    """One process's life, or several, one after the other, on a disk that remembers each step."""

    def __init__(self, disk: CrashDisk, history: str) -> None:
        self.disk = disk
        self.history = history
        self.promised = Promise()
        self._marks = [0]
        self._histories = [history]

    @abstractmethod
    def open(self) -> None:
        """Open what the disk holds."""

    @abstractmethod
    def do(self, letter: str) -> None:
        """Go on by one letter of a workload."""

    def finish(self) -> None:
        """Bring to an end what a letter began."""

    @abstractmethod
    def check(self) -> None:
        """Demand that all is sound, and everything there that must be. Raises: BrokenError."""

    @abstractmethod
    def identity(self) -> Hashable:
        """Return what was opened: lives with equal identities and histories go on alike."""

    @abstractmethod
    def go_on(self) -> None:
        """After `open`, see that everything is there, and that life goes on from here.

        Raises: BrokenError, and whatever the product raises.
        """

    def promise(self, offset: int, epoch: int = 0, start: int = 0, n_fields: int = 0) -> None:
        """Note what is promised from now on."""
        self.promised = Promise(max(self.promised.offset, offset), epoch, start, n_fields)
        self.disk.note(self.promised)

    def cut_history(self, length: int) -> None:
        """Note that what was opened holds so much of the log and no more."""
        if length < len(self.history):
            self.history = self._histories[0] = self.history[:length]

    def grow(self, letters: str) -> None:
        """Note that the log is longer from now on."""
        self.history += letters
        self._marks.append(len(self.disk.steps))
        self._histories.append(self.history)

    def history_at(self, n_steps: int) -> str:
        """Return the history by the time that the disk had done so many steps."""
        return self._histories[bisect_right(self._marks, n_steps) - 1]
