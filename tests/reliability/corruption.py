"""Bytes that are not the bytes we wrote: found, named, never served.

A case damages one file of a small data directory (or swaps two). By the verify path each damage
must be found, naming the file, or change nothing at all; opened with all that is searched, it
ends in an error that names the file, or in the right answers. A case is its name:

    flip:FILE:BYTE:MASK   cut:FILE:LENGTH   junk:FILE:LENGTH   swap:FILE:OTHER
    open/<one of these>   forge:NUMBER (forgery.py: the checksums are right again)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from consumers.log_check import LogHeld, check_log
from consumers.log_file import StoredRecord
from consumers.log_partition import PartitionFiles
from consumers.log_seal import NAME as SEAL
from index.check import Report, _check_file
from index.errors import CorruptionError, TailraceError
from index.manifest import Manifest, decode_manifest, generation_of
from index.schema import Schema
from pipeline.index_store import FILE_NAME, IndexMeta, IndexStore
from tests.index.storage_world import MemoryDirectory
from tests.reliability import forgery
from tests.reliability.corruption_world import (
    LOG,
    Files,
    answers,
    open_engine,
    shard_directory,
    sound_files,
)
from tests.reliability.program import Program, Run, Tally, Violation

N_OPENS = 500
N_FAST = 60_500
"""Each byte of about 60 kB, and the opens; there are some more."""
N_FORGED = 20_000
MAX_JUNK = 64
MASKS = (1, 2, 4, 8, 16, 32, 64, 128)


class Sound(NamedTuple):
    """What the damaged is compared with."""

    files: Files
    newest: Manifest
    answers: list[Any]
    log: LogHeld
    records: list[StoredRecord]


@cache
def sound() -> Sound:
    files = dict(sound_files())
    newest = max(path for path in files if generation_of(Path(path).name) is not None)
    manifest = decode_manifest(Path(newest).name, files[newest])
    engine = open_engine(shard_directory(files), _schema(files))
    log = check_log(_log_directory(files))
    assert log is not None
    assert not log.damages
    return Sound(files, manifest, answers(engine), log, _records(files))


def _schema(files: Files) -> Schema:
    """Raises: TailraceError."""
    with tempfile.TemporaryDirectory() as folder:
        return _load(Path(folder), files[FILE_NAME])[1]


def _load(folder: Path, data: bytes) -> Any:
    (folder / FILE_NAME).write_bytes(data)
    return IndexStore(folder).load()


def _said(meta: IndexMeta, schema: Schema) -> tuple[Any, ...]:
    return meta.name, meta.uuid, meta.created_ms, meta.settings, schema


def _log_directory(files: Files) -> MemoryDirectory:
    of_log = {path.removeprefix(LOG): files[path] for path in files if path.startswith(LOG)}
    return MemoryDirectory(of_log)


def _records(files: Files) -> list[StoredRecord]:
    """Open the log and read it to its end. Raises: TailraceError."""
    log = PartitionFiles(_log_directory(files), 1 << 30)
    reader = log.reader(log.start_offset)
    found: list[StoredRecord] = []
    while part := reader.read(1 << 20):
        found += part
    return found


# --- damaging ------------------------------------------------------------------------------
def damaged(case: str) -> dict[str, bytes]:
    """Return the files that a case changes, changed."""
    kind, path, *more = case.split(":")
    data = sound().files[path]
    if kind == "flip":
        at, mask = map(int, more)
        return {path: data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]}
    if kind == "cut":
        return {path: data[: int(more[0])]}
    if kind == "junk":
        return {path: data + Random(case).randbytes(int(more[0]))}
    assert kind == "swap", case
    return {path: sound().files[more[0]], more[0]: data}


def flips(masks: tuple[int, ...] | None) -> Iterator[str]:
    """Yield a flip for every byte: of each mask, or of a single bit that moves on."""
    for path, data in sound().files.items():
        for at in range(len(data)):
            for mask in masks or (MASKS[at % 8],):
                yield f"flip:{path}:{at}:{mask}"


def cuts() -> Iterator[str]:
    for path, data in sound().files.items():
        for length in range(len(data)):
            yield f"cut:{path}:{length}"


def junk() -> Iterator[str]:
    for path in sound().files:
        for length in range(1, MAX_JUNK + 1):
            yield f"junk:{path}:{length}"


def swaps() -> Iterator[str]:
    for path, other in permutations(sound().files, 2):
        if path < other:
            yield f"swap:{path}:{other}"


def opens(n: int, seed: int) -> Iterator[str]:
    """Yield damages of all kinds to be opened."""
    chance = Random(seed)
    for _ in range(n):
        path = chance.choice([*sound().files])
        size = len(sound().files[path])
        kind = chance.choice(["flip", "flip", "flip", "cut", "junk", "swap"])
        if kind == "flip":
            yield f"open/flip:{path}:{chance.randrange(size)}:{chance.randrange(1, 256)}"
        elif kind == "swap":
            other = chance.choice([name for name in sound().files if name != path])
            yield f"open/swap:{path}:{other}"
        else:
            length = chance.randrange(size) if kind == "cut" else chance.randrange(1, 5_000)
            yield f"open/{kind}:{path}:{length}"


# --- examining -----------------------------------------------------------------------------
class Examiner:
    """Runs cases; says what it counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tally = Tally()

    def run(self, case: str) -> None:
        """Raises: Violation."""
        self.tally.n_cases += 1
        if case.startswith("open/"):
            self._open(case)
            return
        changed = damaged(case)
        for path, data in changed.items():
            self._look(case, path, data)

    # by the verify path: the files that were not touched are known to be sound
    def _look(self, case: str, path: str, data: bytes) -> None:
        if path == FILE_NAME:
            found = self._look_at_settings(data)
        elif path.startswith(LOG):
            found = self._look_at_log(path, data)
        elif generation_of(Path(path).name) is not None:
            found = self._look_at_manifest(path, data)
        else:
            found = self._look_at_segment(path, data)
        if found is None:
            raise Violation(case, f"{path} is taken for sound, and is not")
        self.tally.note(found)

    def _look_at_settings(self, data: bytes) -> str | None:
        before = _load(self._folder, sound().files[FILE_NAME])
        try:
            after = _load(self._folder, data)
        except TailraceError:
            return "found"
        return "harmless" if _said(*after) == _said(*before) else None

    def _look_at_manifest(self, path: str, data: bytes) -> str | None:
        name = Path(path).name
        try:
            decode_manifest(name, data)
        except TailraceError as error:
            return "found" if name in str(error) else None
        return None

    def _look_at_segment(self, path: str, data: bytes) -> str | None:
        name, report = Path(path).name, Report()
        (entry,) = (entry for entry in sound().newest.segments if entry.meta.name == name)
        _check_file(MemoryDirectory({name: data}), entry, report)
        return "found" if name in {finding.file for finding in report.findings} else None

    def _look_at_log(self, path: str, data: bytes) -> str | None:
        held = check_log(_log_directory({**sound().files, path: data}))
        if held is None:
            return None
        if held.damages:
            return "found" if path.endswith(held.damages[0].name) else None
        # Without its seal a log is as after a crash: nothing in it is another.
        return "harmless" if path == LOG + SEAL and held == sound().log else None

    # with all that is searched
    def _open(self, case: str) -> None:
        changed = damaged(case.removeprefix("open/"))
        files = {**sound().files, **changed}
        try:
            records = _records(files)
            engine = open_engine(shard_directory(files), _schema(files))
            found = answers(engine), records
        except CorruptionError as error:
            if not any(Path(path).name == Path(error.name).name for path in changed):
                raise Violation(case, f"does not name the file: {error}") from error
            self.tally.note("opens refused")
            return
        except TailraceError:
            self.tally.note("opens refused")
            return
        except Exception as error:
            raise Violation(case, f"no error of ours: {error!r}") from error
        if found != (sound().answers, sound().records):
            raise Violation(case, "wrong answers")
        self.tally.note("opens answered")


# --- the program ---------------------------------------------------------------------------
def _cases(run: Run) -> Iterator[str]:
    if not run.is_deep:
        yield from flips(None)
        yield from opens(N_OPENS, run.seed)
        return
    yield from flips(MASKS)
    yield from cuts()
    yield from junk()
    yield from swaps()
    yield from opens(10 * N_OPENS, run.seed)


def _share(cases: list[str], run: Run, size: int) -> list[str]:
    """Return the cases of a part: all of them in a lane, else evenly some."""
    mine = cases[run.part :: run.n_parts]
    if len(mine) <= size or run.size * run.n_parts >= N_FAST - run.n_parts:
        return mine
    return [mine[number * len(mine) // size] for number in range(size)]


def run(run: Run) -> Tally:
    """Go through the damages, then in the deep lane through the forgeries."""
    n_forged = N_FORGED // run.n_parts if run.is_deep else 0
    with tempfile.TemporaryDirectory(prefix="tailrace-corruption-") as folder:
        examiner = Examiner(Path(folder))
        for case in _share([*_cases(run)], run, run.size - n_forged):
            examiner.run(case)
    if n_forged:
        forgery.run(n_forged, run, examiner.tally)
    return examiner.tally


def replay(case: str) -> None:
    if case.startswith("forge:"):
        forgery.replay(case)
        return
    with tempfile.TemporaryDirectory(prefix="tailrace-corruption-") as folder:
        Examiner(Path(folder)).run(case)


PROGRAM = Program(
    name="corruption",
    counts="damages",
    fast=N_FAST,
    deep=580_000,
    run=run,
    replay=replay,
)
