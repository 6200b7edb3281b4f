"""Kernels that only other kernels call: compiled when one of these is, never loaded for themselves.

A kernel with a signature is compiled, or loaded from the cache, when its module is imported: some
milliseconds each. One that is linked into its callers needs none of that once they are cached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def inner(signature: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """As `numba.njit(signature, nogil=True)`, but compiled when it is called for the first time or
    a kernel that calls it is compiled."""

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(nogil=True, **options)(function)
        template = kernel.get_call_template

        def compile_once() -> None:
            if not kernel.overloads:
                kernel.compile(signature)
                kernel.disable_compile()

        def get_call_template(arguments: Any, names: Any) -> Any:
            compile_once()
            return template(arguments, names)

        def entry_point(*_: Any) -> Any:
            compile_once()
            (compiled,) = kernel.overloads.values()
            return compiled.entry_point

        kernel.get_call_template = get_call_template
        kernel._compile_for_args = entry_point
        return kernel

    return decorate
