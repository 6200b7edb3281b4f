"""What the engine is to reach, and whether it did.

A ratio is always the peer's cost over ours (or our rate over the peer's): above 1 Tailrace is
ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Sense = Literal[">=", "<=", "<", ">"]


@dataclass(frozen=True, slots=True)
class Goal:
    what: str
    sense: Sense
    bound: float
    unit: str = ""

    def is_met(self, value: float) -> bool:
        if self.sense == ">=":
            return value >= self.bound
        if self.sense == ">":
            return value > self.bound
        return value <= self.bound if self.sense == "<=" else value < self.bound

    def wanted(self) -> str:
        return f"{self.sense} {in_unit(self.bound, self.unit)}"

    def verdict(self, value: float) -> str:
        """Return the value with what was wanted and whether it is reached."""
        word = "met" if self.is_met(value) else "missed"
        return f"{in_unit(value, self.unit)} ({self.wanted()}: {word})"


GOALS: dict[str, Goal] = {
    "index wall 1": Goal("append + flush, wall time, against its one writer", ">=", 3.0, "x"),
    "index wall n": Goal("append + flush, wall time, its default threads", ">=", 1.5, "x"),
    "index cpu": Goal("append + flush, CPU time", ">=", 3.0, "x"),
    "visible rate": Goal("visible every 500 documents, throughput", ">=", 15.0, "x"),
    "visible p99": Goal("visible every 500 documents, p99 of a batch", "<", 5.0, "ms"),
    "merge": Goal("merge, documents per CPU second", ">=", 2.0, "x"),
    "size": Goal("postings, positions and dictionary, bytes over the peer's", "<=", 0.95, "x"),
    "size whole": Goal("whole index over the raw text, without sources", "<=", 0.4, "x"),
    "query p50": Goal("p50 of the worst query class", ">", 1.0, "x"),
    "query p99": Goal("p99 of the worst query class", ">", 1.0, "x"),
    "query mean p50": Goal("geometric mean of the classes' p50", ">=", 1.5, "x"),
    "query mean p99": Goal("geometric mean of the classes' p99", ">=", 3.0, "x"),
    "query ms": Goal("p99 of the slowest class but phrases", "<", 2.0, "ms"),
    "phrase ms": Goal("p99 of the slowest class of phrases", "<", 5.0, "ms"),
    "count p50": Goal("exact totals: p50 of the worst class", ">", 1.0, "x"),
    "count p99": Goal("exact totals: p99 of the worst class", ">", 1.0, "x"),
    "python us": Goal("Python's cost of a single term", "<", 5.0, "us"),
    "utf8": Goal("indexing rate of the nine-language mix over ASCII's", ">=", 1 / 3, "x"),
    "threads": Goal("queries of 2 threads over 1, while indexing", ">=", 1.6, "x"),
    "lag": Goal("p99 of the event loop's lag, while indexing", "<", 2.0, "ms"),
    "growth": Goal("cost of a document at the end over the beginning", "<=", 1.25, "x"),
    "scifact": Goal("nDCG@10 on scifact, distance to the reference", "<=", 0.005),
    "debian-tldr": Goal("MRR@10 on debian-tldr, distance to the reference", "<=", 0.005),
    "kafka": Goal("Kafka record to searchable document", ">=", 30_000.0, "/s"),
    "durability": Goal("Kafka to durable, over the same without fsync and checks", ">=", 0.95, "x"),
    "fresh": Goal("p99 from sent to searchable at 5,000/s", "<", 50.0, "ms"),
    "verify": Goal("verify, megabytes per CPU second", ">=", 100.0, "MB/s"),
    "recovery": Goal("opening 1 GB, to the first answer", "<", 2_000.0, "ms"),
    "memory": Goal("resident memory at rest over the raw documents", "<=", 1.5, "x"),
}


def in_unit(value: float, unit: str) -> str:
    if unit == "MB/s":
        return f"{value:,.0f} MB/s"
    if unit == "/s":
        return f"{value:,.0f}/s"
    if unit in ("ms", "us"):
        return f"{value:.2f} {unit}"
    return f"{value:.2f}x" if unit == "x" else f"{value:.4f}"


@dataclass
class Scores:
    """The goals that a run measured, in its order."""

    rows: list[tuple[str, Goal, float]] = field(default_factory=list)
    """(where, goal, value)."""

    def judge(self, name: str, value: float, where: str = "") -> str:
        """Record what was reached; return it with the verdict, for a cell of a table."""
        goal = GOALS[name]
        self.rows.append((where, goal, value))
        return goal.verdict(value)

    def to_markdown(self) -> str:
        lines = ["| goal | wanted | measured | |", "| --- | --- | --- | --- |"]
        for where, goal, value in self.rows:
            what = f"{goal.what}; {where}" if where else goal.what
            word = "met" if goal.is_met(value) else "**missed**"
            cells = (what, goal.wanted(), in_unit(value, goal.unit), word)
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"
