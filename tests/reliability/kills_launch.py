"""Two ways to make a process that is `tailrace serve`.

`launch_new` starts one from nothing, as users do. `launch_fork` forks it from a process that has
loaded the kernels, which spares two seconds of processor time a start; from then on the two are
the same: processes of their own, on a data directory of their own.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import subprocess
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Protocol

from tests.face.process import ROOT, command, environment

PRELOAD = Path(__file__).parent / "preload"


class Process(Protocol):
    """What is used of `subprocess.Popen`."""

    returncode: int | None

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Launch(Protocol):
    def __call__(self, arguments: list[str], log: Path, variables: dict[str, str]) -> Process:
        """Start `tailrace` with these arguments in the log's folder."""
        ...


def launch_new(arguments: list[str], log: Path, variables: dict[str, str]) -> Process:
    python_path = os.pathsep.join([str(PRELOAD), str(ROOT)])
    with log.open("a") as errors:
        return subprocess.Popen(
            command(*arguments),
            cwd=log.parent,
            env=environment(PYTHONPATH=python_path, PYTHONFAULTHANDLER="1", **variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


class LaunchMixed:
    """Starts one of three from nothing: the deep lane has more starts than it has time for."""

    def __init__(self) -> None:
        self._n_starts = 0

    def __call__(self, arguments: list[str], log: Path, variables: dict[str, str]) -> Process:
        self._n_starts += 1
        launch = launch_new if self._n_starts % 3 == 0 else launch_fork
        return launch(arguments, log, variables)


def launch_fork(arguments: list[str], log: Path, variables: dict[str, str]) -> Process:
    child = _nursery().Process(target=_serve, args=(arguments, log, variables))
    child.start()
    return _Forked(child)


def _nursery() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.reliability.kills_nursery"])
    return context


def _serve(arguments: list[str], log: Path, variables: dict[str, str]) -> None:
    """Be `tailrace` from here on."""
    os.setsid()
    os.chdir(log.parent)
    os.environ.update(variables)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDWR)
    for taken, number in ((nothing, 0), (nothing, 1), (errors, 2)):
        os.dup2(taken, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.enable()
    from tests.reliability import kills_points

    kills_points.install()
    from tailrace.cli import main

    main(arguments)


class _Forked:
    """A child of the fork server, seen as a `subprocess.Popen`."""

    def __init__(self, child: ForkServerProcess) -> None:
        self._child = child
        assert child.pid is not None
        self.pid = child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.exitcode

    def poll(self) -> int | None:
        return self._child.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._child.join(timeout)
        code = self._child.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("tailrace serve", timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        if self._child.exitcode is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self._child.kill()
