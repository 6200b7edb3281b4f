"""`make bench`: Tailrace side by side with tantivy-py, in one run.

    python -m bench.run [--docs N] [--data FOLDER] [--only PART] [--out FILE]

Prints the tables and keeps them in docs/benchmarks.md, or with --only in no file unless told.
Figures of different runs or machines compare badly; the ratios within one run are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench.corpus import Corpus
from bench.goals import Scores
from bench.tables import Table

DEFAULT_DOCS = 500_000
DEFAULT_OUT = Path("docs/benchmarks.md")
PACKAGES = ("numba", "numpy", "tantivy", "aiokafka", "confluent-kafka", "orjson", "uvloop")
HEADING = """# Benchmarks

The last run of `make bench`. Ratios within one run are what counts: rates swing with the machine
and with what else it does. A ratio above 1 is Tailrace ahead.

"""

Part = Callable[[Corpus, Path, Scores], list[Table]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Tailrace beside tantivy-py.")
    parser.add_argument("--docs", type=int, default=DEFAULT_DOCS, metavar="N")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="holds debian-en.ndjson.zst")
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART")
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    corpus = Corpus(arguments.data, arguments.docs)
    began = time.monotonic()
    tables: list[Table] = []
    scores = Scores()
    for name in arguments.only or PARTS:
        with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as target:
            for table in PARTS[name](corpus, Path(target), scores):
                print(table.to_markdown(), flush=True)
                tables.append(table)
    print(scores.to_markdown())
    page = HEADING + _describe_run(corpus, time.monotonic() - began)
    page += f"\n## Goals\n\n{scores.to_markdown()}\n"
    page += "\n".join(table.to_markdown() for table in tables)
    out = arguments.out or (None if arguments.only else DEFAULT_OUT)
    if out is not None:
        out.write_text(page, encoding="utf-8")
        print(f"kept in {out}")
    return 0


def _run_queries(corpus: Corpus, target: Path, scores: Scores) -> list[Table]:
    from bench.searching import run_queries

    return run_queries(corpus, target, scores)


def _run_streaming(corpus: Corpus, target: Path, scores: Scores) -> list[Table]:
    from bench.streaming import run_streaming

    return run_streaming(corpus, target, scores)


def _run_memory(corpus: Corpus, target: Path, scores: Scores) -> list[Table]:
    from bench.memory import memory_table

    rest = [str(corpus.folder)] if corpus.folder is not None else []
    command = [sys.executable, "-m", "bench.memory", str(corpus.n_docs), str(target / "index")]
    done = subprocess.run([*command, *rest], stdout=subprocess.PIPE, text=True, check=True)
    return [memory_table(json.loads(done.stdout), corpus.n_docs, scores)]


PARTS: dict[str, Part] = {
    "queries": _run_queries,
    "streaming": _run_streaming,
    "memory": _run_memory,
}


def _describe_run(corpus: Corpus, seconds: float) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"- {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {seconds / 60:.0f} minutes",
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
