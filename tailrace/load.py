"""`tailrace load`: files into an index through `_bulk`, with a bar, resumable."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import click
import orjson
from rich.progress import Progress, TextColumn

from tailrace.bar import byte_bar
from tailrace.ndjson import Line, NdjsonFile
from tailrace.remote import AnswerError, UnreachableError, describe, open_session, read_answer

ATTEMPTS = 8
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 10.0
MAX_BATCH_BYTES = 8 << 20
SHOWN_FAILURES = 10
STATE = Path(".local/state/tailrace")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What goes where."""

    index: str
    files: tuple[str, ...]
    id_field: str | None
    batch_docs: int
    is_restart: bool


@dataclass(slots=True)
class Tally:
    """What has been loaded so far."""

    n_docs: int = 0
    n_skipped: int = 0
    failures: list[str] = field(default_factory=list)
    n_failures: int = 0

    def fail(self, place: str, reason: str) -> None:
        self.n_failures += 1
        if len(self.failures) < SHOWN_FAILURES:
            self.failures.append(f"{place}: {reason}")


class Progressed:
    """Remembers how many lines of one file a server has acknowledged.

    Kept below the home directory, for the file as it is now (size and time of change): another
    file of the same name begins at the top. Where it cannot be written, loading goes on without.
    """

    def __init__(self, url: str, index: str, file: NdjsonFile) -> None:
        self._path: Path | None = None
        if file.is_stdin:
            return
        path = Path(file.name).resolve()
        status = path.stat()
        key = f"{url}\n{index}\n{path}\n{status.st_size}\n{status.st_mtime_ns}"
        digest = hashlib.sha256(key.encode()).hexdigest()[:24]
        self._path = Path.home() / STATE / f"load-{digest}"

    def read(self) -> int:
        try:
            return int(self._path.read_text()) if self._path else 0
        except (OSError, ValueError):
            return 0

    def write(self, line_number: int) -> None:
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(".tmp")
            temporary.write_text(str(line_number))
            temporary.replace(self._path)
        except OSError:
            self._path = None

    def clear(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def run_load(url: str, plan: LoadPlan) -> int:
    """Load every file; return 0 where every document was taken, else 1."""
    files = [NdjsonFile(name) for name in plan.files]
    began = time.monotonic()
    tally = Tally()
    try:
        with byte_bar(TextColumn("{task.fields[docs]:,} docs")) as bar:
            asyncio.run(_load(url, plan, files, tally, bar))
    except KeyboardInterrupt:
        click.echo(
            f"tailrace: interrupted after {tally.n_docs} documents; "
            "give the same command again to go on",
            err=True,
        )
        raise
    elapsed = max(time.monotonic() - began, 1e-9)
    for failure in tally.failures:
        click.echo(f"tailrace: {failure}", err=True)
    skipped = f", {tally.n_skipped} lines loaded before" if tally.n_skipped else ""
    click.echo(
        f"{tally.n_docs} documents in {elapsed:.1f} s ({tally.n_docs / elapsed:,.0f} docs/s), "
        f"{tally.n_failures} failures{skipped}"
    )
    return 1 if tally.n_failures else 0


async def _load(
    url: str, plan: LoadPlan, files: list[NdjsonFile], tally: Tally, bar: Progress
) -> None:
    async with open_session(url) as session:
        for file in files:
            task = bar.add_task(file.name, total=file.n_bytes, docs=tally.n_docs)
            await _load_file(
                session, plan, file, Progressed(url, plan.index, file), tally, bar, task
            )


async def _load_file(
    session: aiohttp.ClientSession,
    plan: LoadPlan,
    file: NdjsonFile,
    progress: Progressed,
    tally: Tally,
    bar: Progress,
    task: Any,
) -> None:
    after = 0 if plan.is_restart else progress.read()
    tally.n_skipped += after
    for batch in _batches(file, after, plan):
        for line in batch:
            if line.error is not None:
                tally.fail(f"{file.name}:{line.number}", line.error)
        documents = [line for line in batch if line.document is not None]
        if documents:
            answer = await _send(session, plan, _encode(file, documents, plan.id_field))
            _count(file, documents, answer, tally)
        progress.write(batch[-1].number)
        bar.update(task, completed=file.position, docs=tally.n_docs)
    progress.clear()


def _batches(file: NdjsonFile, after: int, plan: LoadPlan) -> Iterator[list[Line]]:
    batch: list[Line] = []
    for line in file.lines(after=after):
        batch.append(line)
        if len(batch) >= plan.batch_docs:
            yield batch
            batch = []
    if batch:
        yield batch


def _encode(file: NdjsonFile, lines: list[Line], id_field: str | None) -> bytes:
    parts: list[bytes] = []
    for line in lines:
        document = dict(line.document or {})
        key = _take_id(document, id_field)
        if key is None and not file.is_stdin:
            # the same line has the same id again, so loading a file twice changes nothing
            key = f"{Path(file.name).name}:{line.number}"
        parts.append(orjson.dumps({"index": {} if key is None else {"_id": key}}))
        parts.append(orjson.dumps(document))
    parts.append(b"")
    return b"\n".join(parts)


def _take_id(document: dict[str, Any], id_field: str | None) -> str | None:
    """Return the id of a document; `_id` is no field of it and is taken out."""
    if id_field is not None:
        value = document.get(id_field)
    else:
        value = document.pop("_id", None)
        value = document.get("id") if value is None else value
    return str(value) if isinstance(value, str | int) and value != "" else None


async def _send(session: aiohttp.ClientSession, plan: LoadPlan, body: bytes) -> Any:
    """Send one bulk; try again while the server is busy or away."""
    path = f"{quote(plan.index, safe='')}/_bulk"
    headers = {"Content-Type": "application/x-ndjson"}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with session.post(path, data=body, headers=headers) as response:
                answer = await read_answer(response)
                if not _is_refused(answer) or attempt == ATTEMPTS:
                    return answer
        except AnswerError as error:
            if error.status not in (429, 502, 503) or attempt == ATTEMPTS:
                raise
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            if attempt == ATTEMPTS:
                reason = f"{describe(error)}; give the same command again to go on"
                raise UnreachableError(f"no answer after {ATTEMPTS} attempts ({reason})") from error
        await asyncio.sleep(min(MAX_PAUSE_S, FIRST_PAUSE_S * 2**attempt))
    raise AssertionError("the last attempt returns or raises")


def _is_refused(answer: Any) -> bool:
    """Return whether nothing was taken, for now: the disk is full, or too much is under way."""
    items = answer["items"]
    return bool(items) and all(next(iter(item.values()))["status"] == 429 for item in items)


def _count(file: NdjsonFile, lines: list[Line], answer: Any, tally: Tally) -> None:
    for line, item in zip(lines, answer["items"], strict=True):
        result = next(iter(item.values()))
        if result["status"] < 300:
            tally.n_docs += 1
        else:
            error = result.get("error", {})
            tally.fail(f"{file.name}:{line.number}", f"{error.get('type')}: {error.get('reason')}")
