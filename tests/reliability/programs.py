"""The table of programs. Each is imported only when it runs: a child loads one."""

from __future__ import annotations

from importlib import import_module

from tests.reliability.program import Program

MODULES: dict[str, str] = {
    name: name
    for name in (
        "kills",
        "overload",
        "crash",
        "model",
        "simulation",
        "mutants",
        "corruption",
        "errors",
        "feed",
    )
}
"""Name -> the module whose `PROGRAM` it is, the longest first."""


def load(name: str) -> Program:
    """Raises: KeyError."""
    program: Program = import_module(f"tests.reliability.{MODULES[name]}").PROGRAM
    assert program.name == name
    return program
