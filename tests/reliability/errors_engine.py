"""Errors of the disk below one engine: at each operation of short workloads, once and for good,
and a disk of every size that is too small.

A case is `engine.SCENE.LETTERS.OPERATION.ERROR.HOW`, or `full.SCENE.LETTERS.BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from random import Random

from index.errors import TailraceError
from tests.reliability.error_life import ErrorLife, survive
from tests.reliability.faulty_disk import ERRORS, READS, Faults, FaultyDisk, can_meet
from tests.reliability.life import BrokenError
from tests.reliability.program import Violation
from tests.reliability.short_workloads import LETTERS

FILLED = "ufuaf"
"""What a shard went through that is not empty: two segments, a document dead in the first."""
SHORT = (
    ("empty", "ufaf"),
    ("empty", "ufrdf"),
    ("filled", "uf"),
    ("filled", "m"),
    ("filled", "sfrm"),
)
LONGER = (("filled", "amuf"), ("filled", "dfacf"), ("filled", "fufm"))
STEP = 256
"""Bytes between two sizes of a disk."""


@cache
def scene(name: str) -> tuple[dict[str, bytes], str]:
    """Return the files of a shard and the history that made them."""
    if name == "empty":
        return {}, ""
    life = ErrorLife(FaultyDisk())
    for letter in "r" + FILLED:
        life.do(letter)
    return life.disk.files, life.history


def start(name: str, faults: Faults, capacity: int = 1 << 40) -> ErrorLife:
    files, history = scene(name)
    return ErrorLife(FaultyDisk(faults, files, capacity), history)


def live(life: ErrorLife, letters: str) -> None:
    """Go through a workload and what comes after it, and demand all that must hold."""
    for letter in "r" + letters:
        life.do(letter)
    survive(life.disk, life.promised, life.history)
    life.recover()


@cache
def verbs_of(name: str, letters: str) -> tuple[str, ...]:
    """Return the operations of a workload on a disk that is well; what recovers is not among
    them."""
    life = start(name, Faults())
    for letter in "r" + letters:
        life.do(letter)
    return tuple(life.disk.verbs)


def cases_of(name: str, letters: str) -> Iterator[str]:
    """Yield every error at every operation of a workload."""
    return (f"engine.{name}.{letters}.{each}" for each in each_error(verbs_of(name, letters)))


def each_error(verbs: Iterable[str]) -> Iterator[str]:
    """Yield `NUMBER.ERROR.HOW` of each error that each of the operations can meet."""
    for number, verb in enumerate(verbs):
        for error in ERRORS:
            if can_meet(error, verb):
                for how in hows_of(error, verb):
                    yield f"{number}.{error}.{how}"


def hows_of(error: str, verb: str) -> tuple[str, ...]:
    """Return how an operation can meet an error: `after` it was done, too."""
    is_done_first = error == "EIO" and verb not in READS
    return ("once", "sticky", "after") if is_done_first else ("once", "sticky")


def sizes_of(name: str, letters: str) -> Iterator[str]:
    """Yield the sizes of a disk that are too small, from one that holds only what is there."""
    files, _ = scene(name)
    life = start(name, Faults())
    least = most = sum(map(len, files.values()))
    for letter in "r" + letters:
        life.do(letter)
        most = max(most, sum(map(len, life.disk.files.values())))
    for capacity in range(least, 2 * most, STEP):
        yield f"full.{name}.{letters}.{capacity}"


def random_workload(chosen: Random) -> tuple[str, str]:
    length = chosen.randrange(3, 8)
    letters = "".join(chosen.choice(LETTERS) for _ in range(length))
    return chosen.choice(("empty", "filled")), letters + "f"


def replay(case: str) -> None:
    """Raises: Violation."""
    kind, name, letters, *rest = case.split(".")
    if kind == "full":
        life = start(name, Faults(), int(rest[0]))
    else:
        number, error, how = rest
        faults = Faults(int(number), error, how == "sticky", how == "after")
        life = start(name, faults)
    try:
        live(life, letters)
        if kind == "engine":
            _demand_no_more_than_needed(life, how)
    except (BrokenError, AssertionError, TailraceError, OSError, KeyError, ValueError) as error:
        raise Violation(case, f"{type(error).__name__}: {error}") from error


def _demand_no_more_than_needed(life: ErrorLife, how: str) -> None:
    """Demand that a shard fails only where the disk fails twice, or where nobody can know."""
    faults = life.disk.faults
    if faults.error != "EIO" and life.n_failures:
        raise BrokenError(f"failed for {faults.error} at {faults.verb}")
    if how == "once" and life.n_failures and faults.verb not in ("sync", "list"):
        raise BrokenError(f"failed for one error at {faults.verb}")
