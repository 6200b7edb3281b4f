"""`make bench`: Tailrace side by side with tantivy-py, in one run.

    python -m bench.run [--docs N] [--data FOLDER] [--only PART] [--out FILE]

Prints the tables and keeps them in docs/benchmarks.md, or with --only in no file unless told.
`--only growth` takes long and is no part of a usual run; what it found stays on the page.
Figures of different runs or machines compare badly; the ratios within one run are what counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench.corpus import Corpus
from bench.durability import run_durability
from bench.growth import run_growth
from bench.indexing import run_indexing
from bench.languages import run_languages
from bench.memory import run_memory
from bench.merging import run_merging
from bench.page import with_growth, with_main
from bench.progress import say
from bench.ranking import run_ranking
from bench.recovery import run_recovery
from bench.searching import run_queries
from bench.sizes import run_sizes
from bench.streaming import run_streaming
from bench.tables import Table
from bench.threads import run_threads
from bench.visible import run_visible
from bench.workspace import Workspace

DEFAULT_DOCS = 500_000
DEFAULT_OUT = Path("docs/benchmarks.md")
PACKAGES = (
    "numba",
    "numpy",
    "tantivy",
    "bm25s",
    "aiokafka",
    "confluent-kafka",
    "orjson",
    "uvloop",
    "zstandard",
)
HEADING = """# Benchmarks

The last run of `make bench`. Ratios within one run are what counts: rates swing with the machine
and with what else it does. A ratio above 1 is Tailrace ahead.

"""

Part = Callable[[Workspace], list[Table]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Tailrace beside tantivy-py.")
    parser.add_argument("--docs", type=int, default=DEFAULT_DOCS, metavar="N")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="holds debian-en.ndjson.zst")
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART")
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    names = arguments.only or DEFAULT_PARTS
    result = _run(names, arguments.data, arguments.docs)
    out: Path = arguments.out or DEFAULT_OUT
    page = out.read_text(encoding="utf-8") if out.exists() else ""
    if names == list(BY_HAND):
        page = with_growth(page, f"## Growth\n\n{result}")
    elif arguments.out or not arguments.only:
        page = with_main(page, HEADING + result)
    else:
        return 0
    out.write_text(page, encoding="utf-8")
    print(f"kept in {out}")
    return 0


def _run(names: list[str], data: Path | None, n_docs: int) -> str:
    """Run the parts; return what was run, the goals and the tables as Markdown."""
    began, load = time.monotonic(), os.getloadavg()[0]
    tables: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        space = Workspace.of(data, n_docs, Path(folder))
        for name in names:
            say(f"--- {name}")
            for table in PARTS[name](space):
                tables.append(table.to_markdown())
                print(tables[-1], flush=True)
    scores = space.scores.to_markdown()
    print(scores)
    about = _describe_run(space.corpus, time.monotonic() - began, load)
    return "\n".join([about, f"## Goals\n\n{scores}", *tables])


PARTS: dict[str, Part] = {
    "queries": run_queries,
    "sizes": run_sizes,
    "indexing": run_indexing,
    "visible": run_visible,
    "merge": run_merging,
    "languages": run_languages,
    "threads": run_threads,
    "ranking": run_ranking,
    "streaming": run_streaming,
    "durability": run_durability,
    "recovery": run_recovery,
    "memory": run_memory,
    "growth": run_growth,
}
BY_HAND = ("growth",)
DEFAULT_PARTS = [name for name in PARTS if name not in BY_HAND]


def _describe_run(corpus: Corpus, seconds: float, load: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {seconds / 60:.0f} minutes, "
        f"load average before: {load:.1f}",
        f"- {corpus.n_docs:,} documents made of {corpus.name}: changed ids, sentences mixed",
        f"- {_processor()}, {len(os.sched_getaffinity(0))} cores, {_memory_gb():.0f} GB; "
        f"{platform.system()} {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}",
        f"- {packages}",
    ]
    return "\n".join(lines) + "\n"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


if __name__ == "__main__":
    raise SystemExit(main())
