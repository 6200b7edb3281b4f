"""docs/query-syntax.md is true: its examples parse, and find what they say they find."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from index.query.clauses import CLAUSES
from index.query.parse_json import parse_search
from index.query.parse_string import parse_query_string
from index.query.rewrite import Rewriter
from index.query.statistics import Statistics
from index.schema import Schema

PAGE = (Path(__file__).parents[2] / "docs" / "query-syntax.md").read_text()
STRINGS = PAGE.split("## The query string")[1].split("## JSON")[0]
EXAMPLES = re.findall(r"^\| `(.+?)` \|", STRINGS, re.MULTILINE)
SCHEMA = Schema.from_mapping(
    {
        "properties": {
            "title": {"type": "text"},
            "tag": {"type": "keyword"},
            "size": {"type": "long"},
            "date": {"type": "date"},
        }
    }
)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_query_string_of_the_page_is_understood(text: str) -> None:
    query = parse_query_string(text.replace("\\|", "|"))
    Rewriter(SCHEMA, Statistics(()), 0).plan(query)


def test_the_page_has_the_examples() -> None:
    assert len(EXAMPLES) > 25


def test_every_json_body_of_the_page_is_understood() -> None:
    bodies = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert bodies
    for body in bodies:
        parse_search(json.loads(body))


def test_every_query_is_on_the_page() -> None:
    assert set(CLAUSES) == {name for name in CLAUSES if f"`{name}`" in PAGE}
