"""How much memory an index keeps at rest, measured in a process that does nothing else.

python -m bench.memory N_DOCS TARGET [FOLDER]
"""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

from bench.corpus import Item
from bench.engines import TailraceEngine
from bench.goals import Scores
from bench.tables import Table
from bench.workspace import Workspace

CHUNK_DOCS = 2_000
MB = 1e6


def resident_bytes() -> tuple[int, int]:
    """Return what is resident: all, and what is not backed by a file."""
    status = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Rss")}
    anonymous = int(sizes["RssAnon"]) * 1024
    return anonymous + int(sizes["RssFile"]) * 1024, anonymous


def read_items(n_docs: int, folder: Path | None) -> Iterator[Item]:
    """Take the documents from another process, so that making them leaves nothing here."""
    rest = [str(folder)] if folder is not None else []
    command = [sys.executable, "-m", "bench.corpus", str(n_docs), *rest]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        for line in maker.stdout:
            key, source = line.rstrip(b"\n").split(b"\t", 1)
            yield Item(key, source, orjson.loads(source))


def measure(n_docs: int, target: Path, folder: Path | None) -> dict[str, int]:
    """Index, flush, rest; return the sizes in bytes."""
    engine = TailraceEngine(target)
    raw = 0
    gc.collect()
    before, _ = resident_bytes()
    items = read_items(n_docs, folder)
    while chunk := list(itertools.islice(items, CHUNK_DOCS)):
        raw += sum(len(item.source) for item in chunk)
        engine.take(chunk)
    del chunk
    engine.settle()
    gc.collect()
    resident, anonymous = resident_bytes()
    engine.close()
    disk = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return {
        "before": before,
        "resident": resident,
        "anonymous": anonymous,
        "raw": raw,
        "disk": disk,
    }


def run_memory(space: Workspace) -> list[Table]:
    """Return the table of memory, measured in a process of its own."""
    folder = space.corpus.folder
    rest = [str(folder)] if folder is not None else []
    command = [sys.executable, "-m", "bench.memory", str(space.corpus.n_docs)]
    command += [str(space.folder / "memory"), *rest]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [memory_table(json.loads(done.stdout), space.corpus.n_docs, space.scores)]


def memory_table(sizes: dict[str, int], n_docs: int, scores: Scores) -> Table:
    table = Table(
        "Memory and disk",
        f"A process of its own indexes {n_docs:,} documents, flushes and rests. Resident is all of "
        "the process: interpreter, libraries, compiled kernels, mapped segment pages.",
        ["", "bytes", "of the raw text"],
    )
    raw = sizes["raw"]
    table.add("raw documents (JSON)", f"{raw / MB:.0f} MB", "1")
    ratio = scores.judge("memory", sizes["resident"] / raw)
    table.add("resident at rest", f"{sizes['resident'] / MB:.0f} MB", ratio)
    share = f"{sizes['anonymous'] / raw:.2f}"
    table.add("of it not mapped from files", f"{sizes['anonymous'] / MB:.0f} MB", share)
    table.add("before the first document", f"{sizes['before'] / MB:.0f} MB", "")
    table.add("index on disk", f"{sizes['disk'] / MB:.0f} MB", f"{sizes['disk'] / raw:.2f}")
    return table


def main() -> None:
    n_docs, target, *rest = sys.argv[1:]
    folder = Path(rest[0]) if rest else None
    print(json.dumps(measure(int(n_docs), Path(target), folder)))


if __name__ == "__main__":
    main()
