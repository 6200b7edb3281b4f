"""What a power loss can leave of a disk, at each moment of what was done to it.

Of the names: every subset of what was done to them since the last sync, so lost creations, lost
renames, and deleted files that are back. Of each file whose bytes were not synced: all that
`images` lists. Few disks do all of this; a product that stands it stands them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from random import Random
from typing import Any, NamedTuple

from tests.reliability.crash_disk import (
    NAMING,
    Files,
    Step,
    change_bytes,
    folder_of,
    rename_in,
)

SECTOR, PAGE = 512, 4096


class Sampling(NamedTuple):
    """How many of very many possibilities are looked at."""

    max_pending: int = 5
    """Up to so many pending changes of names every subset, of more a sample and the ends."""
    n_subsets: int = 24
    max_images: int = 256
    """Of several files that are not synced, at most so many combinations of their bytes."""
    seed: int = 0


class Survivor(NamedTuple):
    """A disk after a power loss."""

    key: frozenset[tuple[str, bytes]]
    files: Files
    told: Any
    """The last note before it."""
    n_steps: int
    """Steps done before it."""


def survivors(
    base: Mapping[str, bytes],
    steps: Sequence[Step],
    sampling: Sampling = Sampling(),
    first: int = 0,
) -> Iterator[Survivor]:
    """Yield each disk that a power loss after some of the steps, `first` or more, may leave, once
    for each note."""
    disk = _Model(base, sampling)
    told: Any = None
    if first == 0:
        yield Survivor(frozenset(disk.files.items()), disk.files, told, 0)
    seen: set[frozenset[tuple[str, bytes]]] = set()
    for n_steps, step in enumerate(steps, 1):
        disk.take(step)
        if step.verb == "note":
            if step.told == told:
                continue
            told = step.told
            seen.clear()
        if n_steps <= first or step.verb in ("sync", "fsync"):
            continue  # what is synced leaves nothing that was not possible before
        # Without the newest change of a name it is the moment before.
        newest = len(disk.pending) - 1 if step.verb in NAMING and n_steps > first + 1 else None
        for files in disk.survivors(newest):
            key = frozenset(files.items())
            if key not in seen:
                seen.add(key)
                yield Survivor(key, files, told, n_steps)


@dataclass(slots=True)
class _Inode:
    durable: bytes = b""
    pending: list[Step] = field(default_factory=list)
    images: tuple[bytes, ...] | None = None
    """Of what may be there after a power loss; None: to be worked out."""

    def all_images(self) -> tuple[bytes, ...]:
        if self.images is None:
            self.images = images(self.durable, self.pending)
        return self.images


class _Model:
    """What is durable, and what is pending."""

    def __init__(self, base: Mapping[str, bytes], sampling: Sampling) -> None:
        self.names = {path: number for number, path in enumerate(sorted(base))}
        self.inodes = {number: _Inode(base[path]) for path, number in self.names.items()}
        self.pending: list[Step] = []
        self._sampling = sampling
        self._random = Random(sampling.seed)

    @property
    def files(self) -> Files:
        return {path: self.inodes[inode].durable for path, inode in self.names.items()}

    def take(self, step: Step) -> None:
        verb = step.verb
        if verb in NAMING:
            self.pending.append(step)
            if verb == "create":
                self.inodes[step.inode] = _Inode()
        elif verb == "sync":
            rest: list[Step] = []
            for change in self.pending:
                if folder_of(change.name) == step.name:
                    rename_in(self.names, change)
                else:
                    rest.append(change)
            self.pending = rest
        elif verb != "note":
            inode = self.inodes[step.inode]
            inode.images = None
            inode.pending.append(step)
            if verb == "fsync":
                for change in inode.pending[:-1]:
                    inode.durable = change_bytes(inode.durable, change)
                inode.pending.clear()

    def survivors(self, newest: int | None) -> Iterator[Files]:
        """Yield what may be left; with `newest`, only where that change was not lost."""
        for mask in self._masks(newest):
            names = self.names.copy()
            for number, change in enumerate(self.pending):
                if mask >> number & 1:
                    rename_in(names, change)
            yield from self._fill(names)

    def _masks(self, newest: int | None) -> Iterator[int]:
        n = len(self.pending)
        must = 0 if newest is None else 1 << newest
        if n <= self._sampling.max_pending:
            yield from (mask for mask in range(1 << n) if mask & must == must)
            return
        every = (1 << n) - 1
        chosen = [every, must]
        chosen += [every & ~(1 << number) for number in range(n)]
        chosen += [1 << number for number in range(n)]
        chosen += [self._random.getrandbits(n) for _ in range(self._sampling.n_subsets)]
        yield from dict.fromkeys(mask | must for mask in chosen)

    def _fill(self, names: dict[str, int]) -> Iterator[Files]:
        files = {path: self.inodes[inode].durable for path, inode in names.items()}
        paths = [path for path, inode in names.items() if self.inodes[inode].pending]
        if not paths:
            yield files
            return
        found = {names[path]: self.inodes[names[path]].all_images() for path in paths}
        numbers = list(found)
        for chosen in self._combinations(list(found.values())):
            of = dict(zip(numbers, chosen, strict=True))
            yield files | {path: of[names[path]] for path in paths}

    def _combinations(self, found: list[tuple[bytes, ...]]) -> Iterator[tuple[bytes, ...]]:
        if prod(map(len, found)) <= self._sampling.max_images:
            yield from product(*found)
            return
        for ends in ([each[0] for each in found], [each[1] for each in found]):
            for number, each in enumerate(found):
                for image in each:
                    yield (*ends[:number], image, *ends[number + 1 :])
        for _ in range(self._sampling.max_images):
            yield tuple(self._random.choice(each) for each in found)


# --- the bytes of one file -----------------------------------------------------------------
def images(durable: bytes, pending: Sequence[Step]) -> tuple[bytes, ...]:
    """Return what a file may hold whose last changes were not synced: none of them first, all of
    them second, then each lost or there alone, and parts of the last."""
    full = durable
    stages = [durable]
    for step in pending:
        full = change_bytes(full, step)
        stages.append(full)
    found = [durable, full, *stages]
    if len(pending) > 1:
        for number in range(len(pending)):
            found.append(_after(durable, (*pending[:number], *pending[number + 1 :])))
            found.append(_after(durable, pending[number : number + 1]))
    found += _parts(durable, full)
    return tuple(dict.fromkeys(found))


def _after(data: bytes, steps: Sequence[Step]) -> bytes:
    for step in steps:
        data = change_bytes(data, step)
    return data


def _parts(before: bytes, after: bytes) -> Iterator[bytes]:
    """Yield what of a write may be there: a part kept, torn at a sector or a page, zeros or
    garbage in place of the rest, blocks out of order."""
    low = _first_difference(before, after)
    end = len(after)
    if low >= end:
        return
    middle = (low + end) // 2
    cuts = [low + 1, middle, end - 1]
    for size in (SECTOR, PAGE):
        marks = range((low // size + 1) * size, end, size)
        cuts += [marks[0], marks[-1]] if marks else []
    for cut in cuts:
        yield after[:cut] + before[cut:]
    for cut in (low, middle):
        yield after[:cut] + bytes(end - cut)
    yield after[:middle] + _garbage(end - middle)
    yield after[:low] + _garbage(end - low)
    for size in (SECTOR, PAGE):
        yield from _out_of_order(after, low, size)


def _first_difference(a: bytes, b: bytes) -> int:
    n = min(len(a), len(b))
    if a[:n] == b[:n]:
        return n
    return next(at for at in range(n) if a[at] != b[at])


def _out_of_order(after: bytes, low: int, size: int) -> Iterator[bytes]:
    """Yield the bytes with later blocks there and earlier ones not yet."""
    end = len(after)
    starts = [low, *range((low // size + 1) * size, end, size)]
    if len(starts) == 1:
        starts.append((low + end) // 2)
    for lost in (starts[0::2], starts[1::2][:-1] or starts[:1], starts[:-1]):
        data = bytearray(after)
        for start in lost:
            stop = next((other for other in starts if other > start), end)
            data[start:stop] = bytes(stop - start)
        yield bytes(data)


def _garbage(n: int) -> bytes:
    return Random(n).randbytes(n)
