from __future__ import annotations

from typing import Any

import pytest

from server.answers import filter_paths

ANSWER: dict[str, Any] = {
    "took": 3,
    "hits": {"total": {"value": 2}, "hits": [{"_id": "1", "_source": {"a": 1, "b": None}}]},
}


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        (["took"], {"took": 3}),
        (["hits.hits._id"], {"hits": {"hits": [{"_id": "1"}]}}),
        (["hits.total"], {"hits": {"total": {"value": 2}}}),
        (["**._id"], {"hits": {"hits": [{"_id": "1"}]}}),
        (["h*.t*", "took"], {"took": 3, "hits": {"total": {"value": 2}}}),
        (["hits.hits._source.b"], {"hits": {"hits": [{"_source": {"b": None}}]}}),
        (["nothing"], {}),
        (["-hits"], {"took": 3}),
        (["hits", "-hits.hits"], {"hits": {"total": {"value": 2}}}),
    ],
)
def test_filter_path_keeps_and_drops_dotted_names(patterns: list[str], kept: object) -> None:
    assert filter_paths(ANSWER, patterns) == kept
