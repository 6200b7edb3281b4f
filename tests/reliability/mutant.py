"""Mutants: known wrong versions of the product, each of which a program must find out.

A mutant is a switch of this harness alone: it replaces functions of the product while it is on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    """In snake case: `one_dir_sync`."""
    wrong: str
    """What is wrong with it, in a few words."""
    switched: Callable[[], AbstractContextManager[None]]
    """While it is entered, the product is wrong. Usually `unittest.mock.patch.object`."""
    search: Callable[[], None]
    """The smallest part of a program that must raise Violation while the mutant is on, and must
    not while it is off."""
