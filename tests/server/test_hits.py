from __future__ import annotations

from typing import Any

import pytest

from index.query.request import FieldRequest
from server.hits import field_values, filter_fields

SOURCE: dict[str, Any] = {
    "id": 1,
    "user": {"name": "ann", "address": {"town": "x", "code": 5}},
    "tags": ["a", "b"],
    "notes": [{"by": "ann", "text": "one"}, {"by": "bob"}],
    "empty": {},
}


@pytest.mark.parametrize(
    ("includes", "excludes", "kept"),
    [
        (["id"], [], {"id": 1}),
        (["user"], ["user.address"], {"user": {"name": "ann"}}),
        (["user.address.town"], [], {"user": {"address": {"town": "x"}}}),
        (["*.name", "tags"], [], {"user": {"name": "ann"}, "tags": ["a", "b"]}),
        (["notes.text"], [], {"notes": [{"text": "one"}]}),
        (["empty"], [], {"empty": {}}),
        (["nothing"], [], {}),
        ([], ["user", "notes", "empty", "tags"], {"id": 1}),
    ],
)
def test_source_filters_keep_what_they_name(
    includes: list[str], excludes: list[str], kept: object
) -> None:
    assert filter_fields(SOURCE, includes, excludes) == kept


def test_fields_are_lists_under_dotted_names() -> None:
    wanted = [FieldRequest("user.*"), FieldRequest("tags"), FieldRequest("notes.by")]
    assert field_values(SOURCE, wanted) == {
        "user.name": ["ann"],
        "user.address.town": ["x"],
        "user.address.code": [5],
        "tags": ["a", "b"],
        "notes.by": ["ann", "bob"],
    }
