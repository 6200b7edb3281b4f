from __future__ import annotations

from bench.page import with_growth, with_main


def test_a_new_run_keeps_what_was_run_by_hand() -> None:
    page = with_growth("# First\n", "## Growth\n")
    assert with_main(page, "# Second\n").splitlines()[::2] == [
        "# Second",
        page.splitlines()[2],
        "## Growth",
    ]


def test_another_run_by_hand_replaces_the_one_before() -> None:
    page = with_growth(with_growth("# First\n", "## Old\n"), "## New\n")
    assert page == with_growth("# First\n", "## New\n")
    assert "Old" not in page


def test_without_growth_there_is_no_mark() -> None:
    assert with_main("", "# First\n") == "# First\n"
