"""Where compiled kernels are kept, and when a kept one is still right.

Numba keys its cache by the defining file alone, so a kernel that calls one in another file keeps
the old code when only that other file changes. Here the key of a module is a hash of its source
and of all kernel modules it imports, directly or not: a change compiles what depends on it, and
nothing else. Each module has a folder of its own, named by that hash.

A folder beside the sources comes first: a wheel or an image can carry it. Where it cannot be
written, it is used if it was made complete for this processor (`mark_complete`); else the
user's cache folder, else a temporary one.
"""

from __future__ import annotations

import ast
import hashlib
import tempfile
from functools import cache
from pathlib import Path
from types import FunctionType

import numba
from numba.core import caching
from numba.core.registry import cpu_target

_HERE = Path(__file__).parent
_PACKAGE = "index.kernels"
_COMPLETE = "complete"


@cache
def source_hash(module: str) -> str:
    """Return a short hash of numba's version, a kernel module's source, and those it imports."""
    digest = hashlib.sha256(numba.__version__.encode())
    if numba.config.BOUNDSCHECK:  # type: ignore[attr-defined]
        digest.update(b"checks bounds")
    for name in sorted(_closure(module)):
        digest.update(name.encode())
        digest.update((_HERE / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    """Return the names of a module and of all kernel modules it depends on."""
    found: set[str] = set()
    open_ = [module]
    while open_:
        name = open_.pop()
        if name not in found and (_HERE / f"{name}.py").exists():
            found.add(name)
            open_ += _imports((_HERE / f"{name}.py").read_bytes())
    return found


@cache
def _imports(source: bytes) -> list[str]:
    """Return the kernel modules that a source imports. Parsed once, however many depend on it."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module == _PACKAGE:
                names += [alias.name for alias in node.names]
            elif node.module.startswith(f"{_PACKAGE}."):
                names.append(node.module.removeprefix(f"{_PACKAGE}."))
    return names


def _target() -> str:
    """Return what a compiled kernel is made for: triple, processor, its features."""
    return repr(cpu_target.target_context.codegen().magic_tuple())


@cache
def cache_folder(module: str) -> Path:
    """Return where a module's compiled kernels are, or will be written."""
    name = f"{module}-{source_hash(module)}"
    shipped = _HERE / "compiled" / name
    for folder in (shipped, Path.home() / ".cache" / "tailrace" / name):
        if _is_writable(folder):
            return folder
        if _is_complete(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix=f"tailrace-{name}-"))


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _is_complete(folder: Path) -> bool:
    try:
        return (folder / _COMPLETE).read_text() == _target()
    except OSError:
        return False


def mark_complete(module: str) -> None:
    """Note that all kernels of an imported module are in its folder, for this processor."""
    folder = cache_folder(module)
    if not _is_complete(folder):
        (folder / _COMPLETE).write_text(_target())


class KernelLocator(caching._CacheLocator):
    """Tells numba the folder of a kernel."""

    def __init__(self, module: str, line: int) -> None:
        self._module = module
        self._line = line

    def ensure_cache_path(self) -> None:
        """The folder is there (`cache_folder`), and need not be writable."""

    def get_cache_path(self) -> str:
        return str(cache_folder(self._module))

    def get_source_stamp(self) -> str:
        return source_hash(self._module)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: FunctionType, path: str) -> KernelLocator | None:
        if Path(path).parent != _HERE:
            return None
        return cls(Path(path).stem, function.__code__.co_firstlineno)


def install() -> None:
    """Let numba ask `KernelLocator` first."""
    if KernelLocator not in caching.CacheImpl._locator_classes:
        caching.CacheImpl._locator_classes.insert(0, KernelLocator)
