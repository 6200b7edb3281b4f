"""Telling a search to end: a cell that whoever asked may set while the search runs.

The cell is an array of one integer, 0: go on, so that kernels can poll it without the
interpreter. Python polls it between steps; what has been found by then is the answer.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Stop: TypeAlias = npt.NDArray[np.int64]
"""i64[1]; anything but 0: end as soon as you can."""


class StoppedError(Exception):
    """The search was told to end before it had found anything. Never leaves the searcher."""


def new_stop() -> Stop:
    return np.zeros(1, np.int64)


NEVER: Stop = new_stop()
"""Nobody sets this one."""
NEVER.flags.writeable = False


def check_stop(stop: Stop) -> None:
    """Raises: StoppedError where the cell is set."""
    if stop[0]:
        raise StoppedError
