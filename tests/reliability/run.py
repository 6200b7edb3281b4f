"""The lanes: `python -m tests.reliability.run fast | deep | replay PROGRAM CASE`.

Every program runs in processes of its own, two at a time, and one that mostly waits beside them.
The exit code is 0 where no promise was broken. A violation prints its case and the one command
that replays it.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from tests.reliability.program import Program, Run, Violation
from tests.reliability.programs import MODULES, load

LANE_S = {"fast": 60, "deep": 1800}
"""What a lane may take on two cores."""
HANG_S = {"fast": 240, "deep": 2400}
"""A child that takes longer hangs: it prints its stacks and ends."""
N_SLOTS = 2
PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""


@dataclass(slots=True)
class Outcome:
    """What came out of a program, all parts together."""

    program: Program
    n_cases: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    took_s: float = 0.0
    skipped: str | None = None

    def add(self, told: dict[str, Any]) -> None:
        self.n_cases += told.get("n_cases", 0)
        self.took_s = max(self.took_s, told["took_s"])
        if "failure" in told:
            self.failures.append(told["failure"])
        for name, value in told.get("notes", {}).items():
            is_sum = isinstance(value, (int, float)) and name in self.notes
            self.notes[name] = self.notes[name] + value if is_sum else value


def run_child(name: str, run: Run) -> dict[str, Any]:
    """Run a part of a program in this process; return what is to be told of it."""
    started = time.monotonic()
    told: dict[str, Any] = {}
    try:
        tally = load(name).run(run)
        told = {"n_cases": tally.n_cases, "notes": tally.notes}
    except Violation as violation:
        told["failure"] = (
            f"{name}: {violation.reason}\n  seed {run.seed}, case {violation.case}\n"
            f'  replay: make rel-replay ARGS="{name} {violation.case}"'
        )
    told["took_s"] = time.monotonic() - started
    return told


def start_child(lane: str, name: str, run: Run) -> dict[str, Any]:
    """Run a part in a process of its own."""
    command = [
        sys.executable, "-m", "tests.reliability.run", "child", lane, name,
        str(run.size), str(run.seed), str(run.part), str(run.n_parts),
    ]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        told: dict[str, Any] = json.loads(lines[-1])
        return told
    tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])
    part = f"part {run.part} of {run.n_parts}, seed {run.seed}"
    failure = f"{name}: ended with {done.returncode}, {part}\n{tail}"
    return {"failure": failure, "took_s": time.monotonic() - started}


def run_lane(lane: str, names: Sequence[str], seed: int) -> int:
    """Run the programs, print a line for each, return the exit code."""
    is_deep = lane == "deep"
    started = time.monotonic()
    outcomes = {name: Outcome(load(name)) for name in names}
    jobs: list[tuple[str, Run]] = []
    for name, outcome in outcomes.items():
        program = outcome.program
        outcome.skipped = program.needs()
        if outcome.skipped is not None:
            continue
        n_parts = program.deep_parts if is_deep else 1
        size = program.deep if is_deep else program.fast
        if size == 0:
            continue  # it belongs to the other lane
        shares = [size // n_parts + (part < size % n_parts) for part in range(n_parts)]
        jobs += [
            (name, Run(share, seed, is_deep, part, n_parts)) for part, share in enumerate(shares)
        ]
    n_left = Counter(name for name, _ in jobs)
    for outcome in outcomes.values():
        if outcome.skipped is not None:
            print_outcome(outcome, is_deep)
    with ThreadPoolExecutor(N_SLOTS) as slots, ThreadPoolExecutor(1) as beside:
        running = {}
        for name, run in jobs:
            slot = beside if outcomes[name].program.is_mostly_waiting else slots
            running[slot.submit(start_child, lane, name, run)] = name
        for done in as_completed(running):
            name = running[done]
            outcomes[name].add(done.result())
            n_left[name] -= 1
            if n_left[name] == 0:
                print_outcome(outcomes[name], is_deep)
    took_s = time.monotonic() - started
    print(f"{lane} lane: seed {seed}, {took_s:.0f} s of {LANE_S[lane]} s")
    is_all = all(
        is_complete(outcome, outcome.program.deep if is_deep else outcome.program.fast)
        for outcome in outcomes.values()
    )
    return 0 if is_all else 1


def is_complete(outcome: Outcome, wanted: int) -> bool:
    """Return whether the figure was reached and no promise was broken."""
    if outcome.skipped is not None:
        return os.environ.get("TAILRACE_TEST_REQUIRE") != "all"
    return not outcome.failures and outcome.n_cases >= wanted


def print_outcome(outcome: Outcome, is_deep: bool) -> None:
    program = outcome.program
    wanted = program.deep if is_deep else program.fast
    if outcome.skipped is not None:
        print(f"{program.name:<12} skipped: {outcome.skipped}", flush=True)
        return
    notes = ", ".join(f"{name} {value}" for name, value in outcome.notes.items())
    verdict = f"{len(outcome.failures)} VIOLATIONS" if outcome.failures else "none broken"
    print(
        f"{program.name:<12} {outcome.n_cases:>9,} of {wanted:,} {program.counts}, "
        f"{verdict}, {outcome.took_s:.0f} s" + (f" ({notes})" if notes else ""),
        flush=True,
    )
    for failure in outcome.failures:
        print(failure, flush=True)


def end_with_parent() -> None:
    """Have the system end this process when the lane's ends, however that is. Linux alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "child":
        lane, name, *numbers = arguments[1:]
        size, seed, part, n_parts = map(int, numbers)
        end_with_parent()
        faulthandler.dump_traceback_later(HANG_S[lane], exit=True)
        told = run_child(name, Run(size, seed, lane == "deep", part, n_parts))
        print(json.dumps(told), flush=True)
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.run")
    lanes = parser.add_subparsers(dest="lane", required=True)
    for lane in LANE_S:
        chosen = lanes.add_parser(lane)
        chosen.add_argument("--only", nargs="+", choices=[*MODULES], default=[*MODULES])
        chosen.add_argument("--seed", type=int, default=None if lane == "deep" else 1)
    replay = lanes.add_parser("replay")
    replay.add_argument("program", choices=[*MODULES])
    replay.add_argument("case")
    asked = parser.parse_args(arguments)
    if asked.lane == "replay":
        load(asked.program).replay(asked.case)
        print(f"{asked.program} {asked.case}: none broken")
        return 0
    seed = asked.seed if asked.seed is not None else int.from_bytes(os.urandom(4))
    return run_lane(asked.lane, asked.only, seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
