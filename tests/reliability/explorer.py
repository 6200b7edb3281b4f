"""Crashes of workloads: each disk that may be left is opened, checked, and lived on with.

Depth 1 crashes a workload. Depth 2 crashes, once more, what was done after the first crash: where
that was a power loss, from the disk that it left; where only the process ended, from the disk
whose last steps are still not durable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.reliability.crash_disk import CrashDisk, Files
from tests.reliability.life import Life, Promise, demand
from tests.reliability.os_disk import OsDisk, recorded
from tests.reliability.program import Violation
from tests.reliability.survivors import Sampling, survivors

SAMPLING = Sampling()
SHORT = 4
"""Letters of the longest workloads of which there are all."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where workloads begin, and who lives there."""

    name: str
    letters: str
    """Of which workloads are made. Scenes with the same letters have disks of one kind."""
    life: Callable[[CrashDisk, str], Life]
    base: Files = field(default_factory=dict)
    history: str = ""
    """What the log held by then."""

    def live(self, letters: str) -> tuple[Life, int]:
        """Go through a workload; return the life, and how many of its steps need no crash: a short
        workload is crashed in its last letter, for each that it begins with is one of its own."""
        return self.live_on(CrashDisk(self.base), letters)

    def live_on(self, disk: CrashDisk, letters: str) -> tuple[Life, int]:
        life = self.life(disk, self.history)
        first = 0
        life.open()
        for number, letter in enumerate(letters):
            if 0 < number == len(letters) - 1 < SHORT:
                first = len(disk.steps)
            life.do(letter)
        life.finish()
        if len(letters) > SHORT:
            life.check()
        return life, first


class OsScene(Scene):
    """A scene whose workloads run on files of the system."""

    def live(self, letters: str) -> tuple[Life, int]:
        with TemporaryDirectory() as root:
            disk = OsDisk(Path(root), self.base)
            with recorded(disk):
                return self.live_on(disk, letters)


class Crashed(NamedTuple):
    """A disk after a crash, and what belongs to it."""

    case: str
    key: frozenset[tuple[str, bytes]]
    files: Files
    promised: Promise
    history: str

    def disk(self) -> CrashDisk:
        return CrashDisk(self.files)


@dataclass(slots=True)
class Known:
    """What was found so far on disks of one kind, by hashes."""

    found: dict[int, Promise] = field(default_factory=dict)
    """Of a disk and a history."""
    opened: set[int] = field(default_factory=set)
    """What disks came to once they were opened, and was lived on with."""
    promises: dict[Promise, Promise] = field(default_factory=dict)
    """Each once: there are few."""


class Explorer:
    """Goes through crashes of one scene, each different one once."""

    def __init__(self, scene: Scene, known: Known | None = None) -> None:
        self.scene = scene
        self.known = known if known is not None else Known()
        self.n_states = 0
        """Different disks that were opened, and what was found compared."""
        self.n_lives = 0
        """Of them, those that were not known after opening, and were lived on with."""
        self.n_workloads = 0

    def crash(self, letters: str) -> None:
        """Crash a workload at each step since its last letter began. Raises: Violation."""
        self.n_workloads += 1
        with _told(self._name(letters)):
            life, first = self.scene.live(letters)
        for state in crashes(self._name(letters), life, first):
            self._open(state)

    def crash_twice(self, letters: str, chosen: Random, until: int) -> None:
        """Crash recoveries of a workload, chosen by chance, until there are so many states.

        Raises: Violation.
        """
        name = self._name(letters)
        life, first = self.scene.live(letters)
        ways = [partial(self._lost, state) for state in crashes(name, life, first)]
        steps = range(first + 1, len(life.disk.steps) + 1)
        ways += [partial(self._killed, name, life, n_steps) for n_steps in steps]
        chosen.shuffle(ways)
        for way in ways:
            if self.n_states >= until:
                return
            for state in way():
                self._open(state)

    def replay(self, case: str) -> None:
        """Go through one case again, from its beginning. Raises: Violation."""
        _, letters, *ways = case.split(".")
        name = self._name(letters)
        with _told(name):
            life, first = self.scene.live(letters)
        if not ways:
            return
        if ways[0].startswith("k"):
            found = self._killed(name, life, int(ways[0][1:]))
        else:
            state = _nth(crashes(name, life, first), int(ways[0]))
            self._open(state)
            found = self._lost(state)
        state = _nth(found, int(ways[1]) if len(ways) > 1 else 0)
        if len(ways) > 1:
            self._open(state)

    def _name(self, letters: str) -> str:
        return f"{self.scene.name}.{letters}"

    def _lost(self, state: Crashed) -> Iterator[Crashed]:
        """Recover from a power loss, and crash that."""
        disk = state.disk()
        disk.note(state.promised)
        return self._crash_recovery(state.case, disk, state.promised, state.history)

    def _killed(self, name: str, life: Life, n_steps: int) -> Iterator[Crashed]:
        """Recover when the process alone had ended, and crash that."""
        steps = life.disk.steps[:n_steps]
        told = [step.told for step in steps if step.verb == "note"]
        disk = CrashDisk.killed(life.disk.base, steps)
        promised = told[-1] if told else Promise()
        return self._crash_recovery(f"{name}.k{n_steps}", disk, promised, life.history_at(n_steps))

    def _crash_recovery(
        self, case: str, disk: CrashDisk, promised: Promise, history: str
    ) -> Iterator[Crashed]:
        life, first = self.scene.life(disk, history), len(disk.steps)
        with _told(case):
            life.open()
            check_promise(life.promised, promised)
            life.go_on()
        yield from crashes(case, life, first)

    def _open(self, state: Crashed) -> None:
        place = hash((state.key, state.history))
        found = self.known.found.get(place)
        with _told(state.case):
            if found is None:
                found = self.known.found[place] = self._recover(state)
                self.n_states += 1
            check_promise(found, state.promised)

    def _recover(self, state: Crashed) -> Promise:
        life = self.scene.life(state.disk(), state.history)
        life.open()
        found = life.promised
        identity = hash((life.identity(), state.history))
        if identity not in self.known.opened:
            self.known.opened.add(identity)
            self.n_lives += 1
            life.go_on()
        return self.known.promises.setdefault(found, found)


def crashes(name: str, life: Life, first: int) -> Iterator[Crashed]:
    """Yield what power losses leave of a life after its first steps."""
    found = survivors(life.disk.base, life.disk.steps, SAMPLING, first)
    for number, state in enumerate(found):
        promised = state.told or Promise()
        history = life.history_at(state.n_steps)
        yield Crashed(f"{name}.{number}", state.key, state.files, promised, history)


def _nth(states: Iterator[Crashed], number: int) -> Crashed:
    return next(islice(states, number, None))


def check_promise(found: Promise, promised: Promise) -> None:
    demand(found.offset >= promised.offset, "durable to", found.offset, "not", promised.offset)
    n_fields = found.n_fields, promised.n_fields
    demand(n_fields[0] >= n_fields[1], "{} fields of {}".format(*n_fields))
    demand(found.start <= promised.start, "begins at", found.start, "not", promised.start)
    is_later = found.epoch > promised.epoch or promised.epoch == 0
    demand(is_later, "epoch", found.epoch, "after", promised.epoch)


@contextmanager
def _told(case: str) -> Iterator[None]:
    """Whatever goes wrong breaks a promise: somebody must be able to go on."""
    try:
        yield
    except Exception as error:
        raise Violation(case, f"{type(error).__name__}: {error}") from error
