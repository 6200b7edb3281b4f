from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.face.process import free_port, is_open, run, start


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def demo_folders(temporary: Path) -> list[Path]:
    return list(temporary.glob("tailrace-demo-*"))


def test_the_demo_serves_a_changing_index_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with start("demo", "--rate", "400", cwd=tmp_path) as demo:

        def count() -> int:
            return int(demo.call("GET", "/packages/_count?q=library")["count"])

        demo.wait_until(lambda: count() > 0)
        first = count()
        demo.wait_until(lambda: count() > first)
        demo.wait_until(lambda: demo.call("GET", "/advisories/_count")["count"] > 0)
        children = children_of(demo.process.pid)
        assert len(children) == 2
        assert len(demo_folders(tmp_path)) == 1
        assert demo.stop(signal.SIGINT) == 0
        assert demo.process.stdout is not None
        printed = demo.process.stdout.read()
    assert not is_open(demo.port)
    assert not any(is_alive(child) for child in children)
    assert demo_folders(tmp_path) == []
    assert f"{demo.url}/" in printed
    assert re.search(r"curl '\S+/packages/_search\?q=\w+", printed)
    assert re.search(r"tail --url \S+ packages \w+", printed)


def test_the_printed_search_and_tail_work(tmp_path: Path) -> None:
    with start("demo", "--rate", "400", cwd=tmp_path) as demo:
        demo.wait_until(lambda: demo.call("GET", "/packages/_count?q=python")["count"] > 0)
        found = run("search", "packages", "python", "--url", demo.url, cwd=tmp_path)
        assert found.returncode == 0
        assert found.stdout
        assert demo.stop(signal.SIGTERM) == 0


def test_killed_the_demo_takes_its_children_along(tmp_path: Path) -> None:
    with start("demo", cwd=tmp_path) as demo:
        demo.wait_until(lambda: demo.call("GET", "/packages/_count")["count"] > 0)
        children = children_of(demo.process.pid)
        demo.process.kill()
        demo.process.wait()
        for child in children:
            wait_gone(child)


def wait_gone(pid: int) -> None:
    import time

    deadline = time.monotonic() + 15
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.05)


def test_a_taken_port_says_so_before_anything_starts(tmp_path: Path) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = run("demo", cwd=tmp_path, TAILRACE_SERVER__PORT=str(port))
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "TAILRACE_SERVER__PORT" in done.stderr


def test_the_port_may_come_from_the_environment(tmp_path: Path) -> None:
    done = run("demo", cwd=tmp_path, TAILRACE_SERVER__PORT="x")
    assert done.returncode == 2
    assert "variable TAILRACE_SERVER__PORT: server.port" in done.stderr


def test_an_interrupt_while_it_starts_is_clean(tmp_path: Path) -> None:
    with start("demo", cwd=tmp_path, port=free_port()) as demo:
        while not demo_folders(tmp_path) and demo.process.poll() is None:
            pass
        assert demo.stop(signal.SIGINT) == 0
    assert demo_folders(tmp_path) == []
