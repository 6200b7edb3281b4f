"""`minimum_should_match`: how many optional clauses a document needs."""

from __future__ import annotations

import re

from index.errors import InvalidQueryError

_SIMPLE = re.compile(r"(-?\d{1,9})(%?)")
_CONDITIONAL = re.compile(r"(\d{1,9})<(-?\d{1,9}%?)")


def minimum_should_match(spec: str, n_clauses: int) -> int:
    """Return the number that `spec` asks of `n_clauses`, at most that many... and at least 0.

    `2`; `-1`: all but one; `75%` (rounded down); `-25%`: a quarter may miss; `2<75%`: over
    two clauses 75 %, else all; several of those, separated by blanks.
    Raises: InvalidQueryError.
    """
    chosen: str | None = None
    for part in re.sub(r"\s*<\s*", "<", spec.strip()).split():
        match = _CONDITIONAL.fullmatch(part)
        if match is None:
            if _SIMPLE.fullmatch(part) is None or "<" in spec:
                raise InvalidQueryError(f"bad minimum_should_match [{spec}]")
            return _simple(part, n_clauses)
        if n_clauses <= int(match[1]):
            break
        chosen = match[2]
    if "<" not in spec:
        raise InvalidQueryError(f"bad minimum_should_match [{spec}]")
    return n_clauses if chosen is None else _simple(chosen, n_clauses)


def _simple(part: str, n_clauses: int) -> int:
    match = _SIMPLE.fullmatch(part)
    if match is None:
        raise InvalidQueryError(f"bad minimum_should_match [{part}]")
    number = int(match[1])
    if match[2]:
        share = int(n_clauses * abs(number) / 100)
        number = share if number >= 0 else n_clauses - share
    elif number < 0:
        number += n_clauses
    return max(0, number)
