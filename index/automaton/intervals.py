"""The numbers between two, as trees: `<1-100>` of regular expressions."""

from __future__ import annotations

from index.automaton.tree import Characters, Choice, Repeat, Sequence, Tree, character

_DIGIT = Characters(((48, 57),))


def read_interval(first: str, last: str) -> Tree:
    """Return the numbers from one to the other, in either order: written with as many digits as
    they have, if these are as many, else with any zeros before them."""
    low, high = sorted((int(first), int(last)))
    width = len(first)
    if width == len(last):
        return _numbers(f"{low:0{width}}", f"{high:0{width}}")
    least, most = str(low), str(high)
    lengths = [
        _numbers(
            least if size == len(least) else "1" + "0" * (size - 1),
            most if size == len(most) else "9" * size,
        )
        for size in range(len(least), len(most) + 1)
    ]
    return Sequence((Repeat(character("0"), 0, None), Choice(tuple(lengths))))


def _numbers(low: str, high: str) -> Tree:
    """Return the numbers between two of as many digits, written with so many."""
    if low == "0" * len(low) and high == "9" * len(high):
        return Repeat(_DIGIT, len(low), len(low))
    first, last = int(low[0]), int(high[0])
    size = len(low) - 1
    if first == last:
        return Sequence((character(low[0]), _numbers(low[1:], high[1:])))
    parts: list[Tree] = [
        Sequence((character(low[0]), _numbers(low[1:], "9" * size))),
        Sequence((character(high[0]), _numbers("0" * size, high[1:]))),
    ]
    if first + 1 < last:
        digits = Characters(((49 + first, 47 + last),))
        parts.append(Sequence((digits, Repeat(_DIGIT, size, size))))
    return Choice(tuple(parts))
