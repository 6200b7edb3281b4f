"""No query leaves its arrays, whatever the bytes of a segment are.

With NUMBA_BOUNDSCHECK=1 in the environment every kernel checks each access; without it only
what ends the process is seen, and what is raised that is no error of ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SEGMENTS = 40


@pytest.mark.parametrize("seed", [1, 2])
def test_queries_on_damaged_segments_end_in_an_answer_or_an_error_of_ours(seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.index.hostile_child",
         str(seed), str(SEGMENTS)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
