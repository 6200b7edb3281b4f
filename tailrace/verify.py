"""`tailrace verify`: every shard and every log below a directory, checked, nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import click
import orjson

from consumers.log_file import (
    FILE_HEADER,
    BadFrameError,
    base_offset_of,
    check_header,
    decode_records,
    is_known_durable,
    read_frames,
)
from index.check import verify
from index.directory import FsDirectory
from index.errors import CorruptionError, TailraceError
from pipeline.index_store import FILE_NAME, IndexStore

LOG_FOLDERS = ("log", "dlq")


class Finding(NamedTuple):
    """One thing that is wrong."""

    file: str
    offset: int
    reason: str


@dataclass(slots=True)
class Checked:
    """What was looked at, and what was found."""

    directory: str
    n_shards: int = 0
    n_log_partitions: int = 0
    n_docs: int = 0
    n_records: int = 0
    findings: list[Finding] = field(default_factory=list)


def run_verify(directory: Path, printer: Callable[[Checked], None]) -> int:
    """Check and print; return 0 where all is sound, else 1.

    Raises: TailraceError where there is nothing to check.
    """
    checked = check_directory(directory)
    printer(checked)
    return 1 if checked.findings else 0


def print_lines(checked: Checked) -> None:
    for finding in checked.findings:
        click.echo(f"{finding.file} at byte {finding.offset}: {finding.reason}")
    verdict = f"{len(checked.findings)} findings" if checked.findings else "sound"
    click.echo(
        f"{checked.directory}: {verdict}; {checked.n_shards} shards with {checked.n_docs} "
        f"documents, {checked.n_log_partitions} log partitions with {checked.n_records} records"
    )


def print_json(checked: Checked) -> None:
    findings = [finding._asdict() for finding in checked.findings]
    summary = {name: getattr(checked, name) for name in checked.__slots__ if name != "findings"}
    body = {**summary, "sound": not findings, "findings": findings}
    click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2))


def check_directory(directory: Path) -> Checked:
    """Check a data directory, the folder of one index, or that of one shard."""
    checked = Checked(str(directory))
    indexes = [path.parent for path in sorted(directory.rglob(FILE_NAME))]
    for index in indexes:
        _check_index(index, checked)
    if not indexes:
        if not any(directory.glob("manifest*")):
            raise TailraceError(f"{directory}: neither a data directory nor an index or shard")
        _check_shard(directory, checked)
    return checked


def _check_index(index: Path, checked: Checked) -> None:
    try:
        IndexStore(index).load()
    except TailraceError as error:
        checked.findings.append(_to_finding(index / FILE_NAME, error))
    for shard in _folders(index / "shards"):
        _check_shard(shard, checked)
    for name in LOG_FOLDERS:
        for partition in _folders(index / name):
            _check_log(partition, checked)


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def _check_log(partition: Path, checked: Checked) -> None:
    """Read every frame of every file; a torn end of the last one is no damage."""
    checked.n_log_partitions += 1
    bases = sorted(
        base for path in partition.iterdir() if (base := base_offset_of(path.name)) is not None
    )
    next_offset = bases[0] if bases else 0
    for base in bases:
        path = partition / f"{base:020d}.log"
        if base != next_offset:
            reason = f"begins at offset {base}, the file before it ends at {next_offset}"
            checked.findings.append(Finding(str(path), 0, reason))
        try:
            next_offset = _check_log_file(path, base, is_last=base == bases[-1])
        except CorruptionError as error:
            checked.findings.append(_to_finding(path, error))
            return
        checked.n_records += next_offset - base


def _check_log_file(path: Path, base_offset: int, *, is_last: bool) -> int:
    """Return the offset behind the last record. Raises: CorruptionError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if is_last and size <= FILE_HEADER.size:
            return base_offset  # a crash may tear the header before anything is acknowledged
        check_header(path, fd, base_offset)
        next_offset = base_offset
        try:
            for frame in read_frames(fd, FILE_HEADER.size, size):
                if frame.base_offset != next_offset:
                    reason = f"offset {next_offset} is missing, {frame.base_offset} follows"
                    raise CorruptionError(path.name, frame.position, reason)
                decode_records(path.name, frame)
                next_offset = frame.next_offset
        except BadFrameError as error:
            if not is_last or is_known_durable(fd, error.position, size):
                raise CorruptionError(path.name, error.position, error.reason) from error
        return next_offset
    finally:
        os.close(fd)


def _to_finding(path: Path, error: TailraceError) -> Finding:
    if isinstance(error, CorruptionError):
        return Finding(str(path), error.offset, error.reason)
    return Finding(str(path), 0, str(error))
