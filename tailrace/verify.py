"""`tailrace verify`: every shard and every log below a directory, checked, nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import msgspec
import orjson

from consumers.log_check import LogHeld, check_log
from consumers.log_file import SUFFIX as LOG_SUFFIX
from index.check import Finding, verify
from index.directory import FsDirectory
from index.errors import CorruptionError, TailraceError
from index.format import SUFFIX as SEGMENT_SUFFIX
from index.schema import Schema
from pipeline.index_store import FILE_NAME, IndexStore
from tailrace.bar import byte_bar

LOG_FOLDERS = ("log", "dlq")

Pace = Callable[[int], None]
"""Called with the bytes that were looked at since its last call."""


@dataclass(slots=True)
class Checked:
    """What was looked at, and what was found."""

    directory: str
    n_shards: int = 0
    n_log_partitions: int = 0
    n_docs: int = 0
    n_records: int = 0
    n_bytes: int = 0
    """Of segments."""
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is not wrong, but worth knowing."""


class NothingToCheckError(TailraceError):
    """A directory that is none of ours."""


def run_verify(directory: Path, printer: Callable[[Checked], None]) -> int:
    """Check and print; return 0 where all is sound, else 1.

    Raises: NothingToCheckError.
    """
    with byte_bar() as bar:
        task = bar.add_task("verify", total=_n_bytes(directory))
        checked = check_directory(directory, lambda n_bytes: bar.advance(task, n_bytes))
    printer(checked)
    return 1 if checked.findings else 0


def _n_bytes(directory: Path) -> int:
    files = (path for path in directory.rglob("*") if path.suffix in (SEGMENT_SUFFIX, LOG_SUFFIX))
    return sum(path.stat().st_size for path in files if path.is_file())


def print_lines(checked: Checked) -> None:
    for finding in checked.findings:
        click.echo(str(finding))
    for note in checked.notes:
        click.echo(f"note: {note}")
    verdict = f"{len(checked.findings)} findings" if checked.findings else "sound"
    click.echo(
        f"{checked.directory}: {verdict}; {checked.n_shards} shards with {checked.n_docs} "
        f"documents, {checked.n_log_partitions} log partitions with {checked.n_records} records"
    )


def print_json(checked: Checked) -> None:
    body = {**asdict(checked), "sound": not checked.findings}
    body["findings"] = [msgspec.to_builtins(finding) for finding in checked.findings]
    click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2))


def check_directory(directory: Path, pace: Pace = lambda n_bytes: None) -> Checked:
    """Check a data directory, the folder of one index, or that of one shard.

    Raises: NothingToCheckError.
    """
    checked = Checked(str(directory))
    indexes = [path.parent for path in sorted(directory.rglob(FILE_NAME))]
    for index in indexes:
        _check_index(index, checked, pace)
    for index in _folders(directory / "indexes"):
        # An empty one may lack it after a crash; what is being deleted begins with a dot.
        is_live = not index.name.startswith(".") and any(index.glob("shards/*/manifest*"))
        if is_live and not (index / FILE_NAME).exists():
            reason = f"is missing, the server would not open the index {index.name}"
            checked.findings.append(Finding(str(index / FILE_NAME), 0, reason))
    if not indexes and not (directory / "indexes").is_dir():
        if not any(directory.glob("manifest*")):
            raise NothingToCheckError(
                f"{directory}: neither a data directory nor an index or shard"
            )
        _check_shard(directory, checked, None, pace)
    return checked


def _check_index(index: Path, checked: Checked, pace: Pace) -> None:
    schema: Schema | None = None
    try:
        loaded = IndexStore(index).load()
        schema = loaded[1] if loaded is not None else None
    except TailraceError as error:
        checked.findings.append(_to_finding(index / FILE_NAME, error))
    checkpoints = {
        shard.name: _check_shard(shard, checked, schema, pace)
        for shard in _folders(index / "shards")
    }
    for name in LOG_FOLDERS:
        for partition in _folders(index / name):
            held = _check_log(partition, checked, pace)
            if name == "log" and held is not None:
                _check_checkpoint(partition, held, checkpoints.get(partition.name, -1), checked)


def _check_shard(path: Path, checked: Checked, schema: Schema | None, pace: Pace) -> int:
    """Return the checkpoint, -1 where there is none."""
    checked.n_shards += 1
    report = verify(FsDirectory(path), schema.fields if schema is not None else None, pace)
    checked.n_bytes += report.n_bytes
    checked.n_docs += report.n_live
    checked.findings += [
        msgspec.structs.replace(finding, file=str(path / finding.file))
        for finding in report.findings
    ]
    checked.notes += [f"{path}/{note}" for note in report.notes]
    return report.next_offset


def _check_checkpoint(partition: Path, held: LogHeld, checkpoint: int, checked: Checked) -> None:
    """The log must hold all that the shard's checkpoint does not cover."""
    needed = max(checkpoint, 0)
    if held.start <= needed <= held.end:
        return
    reason = f"holds offsets {held.start} to {held.end}, the shard goes on at {needed}"
    if held.torn is not None:
        path, torn = partition / held.torn.name, held.torn
        checked.findings.append(Finding(str(path), torn.offset, f"{torn.reason}; {reason}"))
    else:
        checked.findings.append(Finding(str(partition), 0, reason))


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []


def _check_log(partition: Path, checked: Checked, pace: Pace) -> LogHeld | None:
    """Return what a partition holds, None where that is not known."""
    checked.n_log_partitions += 1
    held = check_log(FsDirectory(partition), pace)
    if held is None:
        return None
    checked.n_records += held.end - held.start
    checked.findings += [_to_finding(partition / damage.name, damage) for damage in held.damages]
    if held.torn is not None:
        checked.notes.append(f"{partition}/{held.torn}: cut off there at the next start")
    return held if not held.damages else None


def _to_finding(path: Path, error: TailraceError) -> Finding:
    if isinstance(error, CorruptionError):
        return Finding(str(path), error.offset, error.reason)
    return Finding(str(path), 0, str(error))
