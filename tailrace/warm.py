"""Compiles, or loads from the cache, every kernel before anything needs one."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import time

from index.kernels.cache import mark_complete

QUIET_S = 1.0  # a warm start says nothing


def warm_kernels() -> float:
    """Import every kernel module; return the seconds it took.

    A kernel is compiled when its module is imported and then cached on disk, so only the first
    start after an installation is slow: that one shows a progress line on stderr.
    """
    import index.kernels

    names = sorted(module.name for module in pkgutil.iter_modules(index.kernels.__path__))
    began = time.monotonic()
    is_shown = False
    for done, name in enumerate(names):
        if time.monotonic() - began > QUIET_S:
            is_shown = True
            _show(f"compiling kernels, once per installation: {done + 1}/{len(names)} ({name})")
        importlib.import_module(f"index.kernels.{name}")
        mark_complete(name)
    if is_shown:
        _show(f"kernels compiled in {time.monotonic() - began:.0f} s", end="\n")
    return time.monotonic() - began


def _show(text: str, end: str = "") -> None:
    is_terminal = sys.stderr.isatty()
    start, finish = ("\r\x1b[K", end) if is_terminal else ("", "\n")
    print(f"{start}{text}", end=finish, file=sys.stderr, flush=True)
