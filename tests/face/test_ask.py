from __future__ import annotations

import pytest

from tailrace.ask import WIDTH, format_line, print_hits, summarize


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({"title": "A bridge", "text": "long"}, "A bridge"),
        ({"text": "two\nlines\tand\x1b[31m colour"}, "two lines and [31m colour"),
        ({"n": 1}, '{"n":1}'),
        ({"title": 7, "message": "m"}, "m"),
        ({}, "{}"),
    ],
)
def test_a_source_becomes_one_harmless_line(source: dict[str, object], line: str) -> None:
    assert summarize(source) == line


def test_a_long_text_is_cut() -> None:
    assert len(summarize({"text": "x" * 1000})) == WIDTH


def test_a_hit_without_a_score_has_a_dash() -> None:
    assert format_line({"_id": "a", "_score": None, "_source": {"title": "t"}}) == "     -  a  t"


def test_a_lower_bound_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    total = {"value": 10_000, "relation": "gte"}
    print_hits({"took": 3, "hits": {"total": total, "hits": []}})
    assert capsys.readouterr().err == "at least 10000 hits in 3 ms\n"
