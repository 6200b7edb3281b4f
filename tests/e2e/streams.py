"""Two real histories of upserts and deletes, and what is left of them at the end."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import zstandard

ROOT = Path(__file__).parents[2]
FULL = ROOT.parent / "shared" / "data"
BUNDLED = ROOT / "tailrace" / "data" / "advisories.ndjson.zst"

N_LIVE = {"rustsec": 1_244, "pypa": 2_667}
FILES = {
    "rustsec": "stream-rustsec.ndjson.zst",
    "pypa": "stream-pypa-advisories.ndjson.zst",
}

Fields = dict[str, Any]


class Change(NamedTuple):
    """What becomes one record: `fields` is None for a delete."""

    id: str
    fields: Fields | None


class Stream(NamedTuple):
    name: str
    changes: list[Change]
    n_live: int | None
    """How many ids live at the end as is known from elsewhere; None for the bundled subset."""


@cache
def load(name: str) -> Stream:
    """Return a history; where the full one is absent, the one that comes with the demo."""
    path = FULL / FILES[name]
    if path.exists():
        return Stream(name, read(path), N_LIVE[name])
    return Stream(name, read(BUNDLED), None)


def read(path: Path) -> list[Change]:
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        return [to_change(orjson.loads(line)) for line in lines]


def to_change(event: Fields) -> Change:
    is_delete = event.pop("op") == "delete"
    return Change(event["id"], None if is_delete else event)


def fold(changes: Iterable[Change]) -> dict[str, Fields]:
    """Return the newest document of each id that lives."""
    live: dict[str, Fields] = {}
    for change in changes:
        if change.fields is None:
            live.pop(change.id, None)
        else:
            live[change.id] = change.fields
    return live


def split(changes: list[Change], n_parts: int) -> list[list[Change]]:
    """Cut a history into parts of about the same length."""
    bounds = [len(changes) * part // n_parts for part in range(n_parts + 1)]
    return [changes[first:end] for first, end in pairwise(bounds)]
