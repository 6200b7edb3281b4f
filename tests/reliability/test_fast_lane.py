"""The fast lane finds no broken promise. `make rel-fast` runs it alone."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.timeout(600)
def test_the_fast_lane_finds_no_broken_promise() -> None:
    command = [sys.executable, "-m", "tests.reliability.run", "fast"]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
