"""The golden segment: a small one with every kind of section, which later versions must read.

`python -m tests.index.golden_world` writes it anew. That is for a new version of the format
only, under a new name; the ones that are there stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from index.directory import FsDirectory
from index.format import VERSION
from index.manifest import SegmentMeta
from tests.index import storage_world as world
from tests.index.storage_world import BODY, PRICE, SIZE, TAG, TITLE, Document, ListDraft

FOLDER = Path(__file__).parent / "golden"
FIRST_OFFSET = 1000


class Golden(msgspec.Struct, frozen=True):
    """What the segment was made from."""

    meta: SegmentMeta
    documents: list[dict[str, Any]]
    tombstones: dict[str, int]

    def draft(self) -> ListDraft:
        tombstones = {key.encode(): version for key, version in self.tombstones.items()}
        return ListDraft(self.docs(), FIRST_OFFSET, tombstones)

    def docs(self) -> list[Document]:
        return [_document(fields) for fields in self.documents]


def _document(fields: dict[str, Any]) -> Document:
    texts = {TITLE: fields.get("title"), BODY: fields.get("body")}
    values = {
        TAG: [tag.encode() for tag in fields.get("tags", [])],
        SIZE: fields.get("sizes", []),
        PRICE: [float(price) for price in fields.get("prices", [])],
    }
    return Document(
        key=fields["key"].encode(),
        version=fields["version"],
        source=fields["source"].encode(),
        texts={no: [w.encode() for w in text.split()] for no, text in texts.items() if text},
        values={no: some for no, some in values.items() if some},
    )


def _fields(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "key": f"k{number}",
        "version": FIRST_OFFSET + 10 * number + number % 2,
        "source": f'{{"n":{number}}}',
        "body": " ".join(["all", *["often"] * (number % 5), f"w{number % 7}", f"once{number}"]),
    }
    if number % 3 == 0:
        fields["title"] = "grün " * (number % 4 + 1) + "x" * (number + 1)
    if number % 4 < 3:
        fields["tags"] = [["red", "green", "blue"][number % 4], "all"][: number % 2 + 1]
        fields["sizes"] = [number * 1000 - 7]
    if number % 5 == 1:
        fields["prices"] = [number / 4, -0.5]
    return fields


def load(version: int) -> Golden:
    return msgspec.json.decode((FOLDER / f"version-{version}.json").read_bytes(), type=Golden)


def write() -> None:
    name = f"version-{VERSION}.seg"
    documents = [_fields(number) for number in range(150)]
    empty = Golden(SegmentMeta(name, 0, 0, 0, 0, 0), documents, {"gone": 7, "lost": 9})
    meta = world.write(FsDirectory(FOLDER), name, empty.draft())
    golden = msgspec.structs.replace(empty, meta=meta)
    text = msgspec.json.format(msgspec.json.encode(golden), indent=1)
    (FOLDER / f"version-{VERSION}.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    write()
