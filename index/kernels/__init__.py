"""Numba kernels: plain arrays in, plain arrays out; nothing here imports from the rest of us.

All kernels have explicit signatures, `nogil=True` and `cache=True`: they are compiled, or
loaded from the cache, when their module is imported, never inside the first query.

Numba keys its cache by the defining file alone, so that a kernel which calls one in another
file keeps the old code when only that other file changes. The cache therefore lives in a
folder named by a hash of all kernel sources: any change starts from an empty cache.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numba

_HERE = Path(__file__).parent


def source_hash() -> str:
    """Return a short hash of every kernel source and of the numba version."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(_HERE.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    """Return the first folder that can be written: beside the sources, or the user's own."""
    name = source_hash()
    candidates = [_HERE / "__pycache__", Path.home() / ".cache" / "tailrace"]
    for base in candidates:
        folder = base / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="tailrace-kernels-"))


CACHE_FOLDER = _cache_folder()
numba.config.CACHE_DIR = str(CACHE_FOLDER)  # type: ignore[attr-defined]
