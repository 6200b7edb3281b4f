"""Memory that ends where it says: a read beyond either end kills the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

_PAGE = mmap.PAGESIZE
_NO_ACCESS = 0
_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(data: bytes) -> np.ndarray:
    """Return the bytes in a mapping of their own, between two pages that nobody may touch. The
    last byte lies right before the second; before the first there is less than a page."""
    n_pages = -(-len(data) // _PAGE)
    mapped = mmap.mmap(-1, (n_pages + 2) * _PAGE)
    whole = np.frombuffer(mapped, np.uint8)
    for page in (0, n_pages + 1):
        if _mprotect(whole.ctypes.data + page * _PAGE, _PAGE, _NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
    end = (n_pages + 1) * _PAGE
    part: Any = whole[end - len(data) : end]
    part[:] = np.frombuffer(data, np.uint8)
    return np.asarray(part)
