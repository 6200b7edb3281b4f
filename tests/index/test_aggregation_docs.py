"""docs/aggregations.md is true: its examples parse, and it names every type and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from index.query.parse_aggregations import KINDS
from index.query.parse_json import parse_search

PAGE = (Path(__file__).parents[2] / "docs" / "aggregations.md").read_text()


def test_every_json_body_of_the_page_is_understood() -> None:
    bodies = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert bodies
    for body in bodies:
        assert parse_search(json.loads(body)).aggregations


def test_the_page_names_every_type_and_no_other() -> None:
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"\w+", cell)} == {*KINDS, "top_hits"}
