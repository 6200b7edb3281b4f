"""Cost and latency as the index grows: run by hand, `--only growth --docs 10000000`."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.corpus import Item, mapping_of
from bench.engines import NUMBER, TailraceEngine, TantivyEngine
from bench.peer_threads import wait_until_quiet
from bench.progress import say
from bench.queries import QueryClass, choose_words, make_classes
from bench.tables import Clock, Table, in_us, median, per_second, percentile, undisturbed_s
from bench.workspace import Workspace

N_STEPS = 10
CHUNK_DOCS = 10_000
WORD_DOCS = 20_000
N_QUERIES = 100
ROUNDS = 3
CLASSES = ("term high", "term mid", "or h+m+l", "and h+m", "phrase 2", "range + term mid")
PLOTS = Path("docs")
MB = 1e6


class Step(NamedTuple):
    """What is measured when the index has reached a size."""

    n_docs: int
    n_segments: int
    wall_s: float
    """Since the beginning, like the next."""
    cpu_s: float
    step_cpu_s: float
    """Of this step alone."""
    n_bytes: int
    latency: dict[str, tuple[float, float]]
    """(p50, p99) by class."""


def run_growth(space: Workspace) -> list[Table]:
    """Return the tables of cost and of latency over index size; keep the plots in docs/."""
    mapping = mapping_of(space.corpus.names)
    ours = TailraceEngine(space.subfolder("growth"), mapping)
    theirs = TantivyEngine(space.subfolder("growth-peer"), mapping)
    names = {"Tailrace": ours, "tantivy-py": theirs}
    clocks = {name: Clock() for name in names}
    steps: dict[str, list[Step]] = {name: [] for name in names}
    n_step = space.corpus.n_docs // N_STEPS
    for number in range(N_STEPS):
        before = {name: clock.cpu_s for name, clock in clocks.items()}
        # Each finishes what it has begun before it is the other's turn.
        for items in _chunks(space, number * n_step, (number + 1) * n_step):
            with clocks["Tailrace"].running():
                ours.take(items)
        with clocks["Tailrace"].running():
            ours.wait()
        for items in _chunks(space, number * n_step, (number + 1) * n_step):
            with clocks["tantivy-py"].running():
                theirs.take(items)
        with clocks["tantivy-py"].running():
            theirs.commit()
            wait_until_quiet()
        theirs.index.reload()
        theirs.prepare()
        classes = _classes(space, ours, (number + 1) * n_step)
        for name, engine in names.items():
            step = Step(
                (number + 1) * n_step,
                engine.n_segments,
                clocks[name].wall_s,
                clocks[name].cpu_s,
                clocks[name].cpu_s - before[name],
                _folder_bytes(space.folder / ("growth" if engine is ours else "growth-peer")),
                {each.name: _latency(each, engine) for each in classes},
            )
            steps[name].append(step)
            say(
                f"growth: {name}: {step.n_docs:,} documents, {step.n_segments} segments, "
                f"{step.cpu_s / step.n_docs * 1e6:.1f} us of CPU each"
            )
    ours.close()
    _plot(steps)
    return [_cost_table(steps, space), _latency_table(steps)]


def _chunks(space: Workspace, first: int, last: int) -> Iterator[list[Item]]:
    for at in range(first, last, CHUNK_DOCS):
        yield list(space.corpus.items(at, min(at + CHUNK_DOCS, last)))


def _classes(space: Workspace, ours: TailraceEngine, n_docs: int) -> list[QueryClass]:
    items = list(space.corpus.items(0, WORD_DOCS))
    texts = [item.fields.get("text", "") for item in items]
    numbers = [item.fields[NUMBER] for item in items if NUMBER in item.fields]
    words = choose_words(texts, numbers, n_docs, ours.doc_freq)
    return [each for each in make_classes(words, N_QUERIES) if each.name in CLASSES]


def _latency(query_class: QueryClass, engine: Any) -> tuple[float, float]:
    works = [engine.prepared(query, False) for query in query_class.queries]
    gc.collect()
    for work in works:
        work()
    medians = [median([undisturbed_s(work) for _ in range(ROUNDS)]) for work in works]
    return percentile(medians, 0.5), percentile(medians, 0.99)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cost_table(steps: dict[str, list[Step]], space: Workspace) -> Table:
    table = Table(
        "Growth: cost",
        f"{space.corpus.n_docs:,} documents into one index with default options, flushes and "
        "merges as they come; tantivy-py with one writer thread and a commit at each row. CPU of "
        "all threads per document, merges included: since the beginning, and of the step alone.",
        ["documents", "Tailrace", "of the step", "segments", "bytes", "tantivy-py", "segments"],
    )
    for mine, peers in zip(steps["Tailrace"], steps["tantivy-py"], strict=True):
        table.add(
            f"{mine.n_docs:,}",
            f"{mine.cpu_s / mine.n_docs * 1e6:.1f} us",
            f"{mine.step_cpu_s / steps['Tailrace'][0].n_docs * 1e6:.1f} us",
            str(mine.n_segments),
            f"{mine.n_bytes / MB:,.0f} MB",
            f"{peers.cpu_s / peers.n_docs * 1e6:.1f} us",
            str(peers.n_segments),
        )
    first, last = steps["Tailrace"][0], steps["Tailrace"][-1]
    grown = (last.cpu_s / last.n_docs) / (first.cpu_s / first.n_docs)
    where = f"{first.n_docs:,} to {last.n_docs:,} documents"
    table.add("**growth**", space.scores.judge("growth", grown, where), *[""] * 5)
    last_peer = steps["tantivy-py"][-1]
    table.add(
        "wall",
        per_second(last.n_docs, last.wall_s),
        *[""] * 3,
        per_second(last.n_docs, last_peer.wall_s),
        "",
    )
    return table


def _latency_table(steps: dict[str, list[Step]]) -> Table:
    table = Table(
        "Growth: latency",
        f"Top-10 without counting, p50 / p99 over {N_QUERIES} queries a class, each the median of "
        f"{ROUNDS}: Tailrace, whose queries here profit from what earlier ones worked out. The "
        "same words may be of another class in a larger index, so each row draws its own. "
        "tantivy-py's is in the plot.",
        ["documents", *CLASSES],
    )
    for step in steps["Tailrace"]:
        cells = [" / ".join(map(in_us, step.latency[name])) for name in CLASSES]
        table.add(f"{step.n_docs:,}", *cells)
    return table


def _plot(steps: dict[str, list[Step]]) -> None:
    """Keep docs/benchmarks-throughput.png and docs/benchmarks-latency.png."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    colours = {"Tailrace": "#0f766e", "tantivy-py": "#b45309"}
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, seen in steps.items():
        millions = [step.n_docs / 1e6 for step in seen]
        rates = [step.n_docs / step.cpu_s / 1e3 for step in seen]
        axes.plot(millions, rates, marker="o", label=name, color=colours[name])
    axes.set(xlabel="million documents", ylabel="thousand documents per CPU second", ylim=(0, None))
    axes.set_title("Indexing, merges included, from empty to this size")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(PLOTS / "benchmarks-throughput.png", dpi=120)
    n_columns = 3
    figure, grid = pyplot.subplots(
        math.ceil(len(CLASSES) / n_columns), n_columns, figsize=(11, 6), layout="constrained"
    )
    for axes, name in zip(grid.flat, CLASSES, strict=False):
        for engine, seen in steps.items():
            millions = [step.n_docs / 1e6 for step in seen]
            for at, style in ((0, "-"), (1, "--")):
                values = [step.latency[name][at] * 1e3 for step in seen]
                label = f"{engine} {('p50', 'p99')[at]}"
                axes.plot(millions, values, style, marker=".", label=label, color=colours[engine])
        axes.set(title=name, xlabel="million documents", ylabel="ms", yscale="log")
        axes.grid(alpha=0.3, which="both")
    grid.flat[0].legend(fontsize="small")
    figure.savefig(PLOTS / "benchmarks-latency.png", dpi=120)
    pyplot.close("all")
