"""Processes of ours that must not outlive us."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

STOP_TIMEOUT_S = 5.0


@contextmanager
def run_module(module: str, arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m module` and end it at the end.

    Its own session keeps a Ctrl-C of the terminal from it: we decide the order of stopping. Its
    standard input ends when this process does, however it does, and then it has to end too.
    """
    child = subprocess.Popen(  # noqa: S603 - our own modules, no shell
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        _stop(child)


def _stop(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
