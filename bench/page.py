"""docs/benchmarks.md: one part that every run makes anew, and one for growth, run by hand."""

from __future__ import annotations

GROWTH = "<!-- What follows is kept from the last `--only growth`. -->\n"


def with_main(page: str, main: str) -> str:
    """Return the page with another main part; the part for growth stays."""
    return _joined(main, page.partition(GROWTH)[2])


def with_growth(page: str, growth: str) -> str:
    """Return the page with another part for growth."""
    return _joined(page.partition(GROWTH)[0], growth)


def _joined(main: str, growth: str) -> str:
    main = main.rstrip("\n") + "\n"
    return f"{main}\n{GROWTH}\n{growth.lstrip()}" if growth.strip() else main
