"""Documents and queries for the benchmarks: real text, multiplied without repeating itself.

    python -m bench.corpus N_DOCS [FOLDER]

prints the documents, a key and the JSON on each line, for a process that must stay small.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

BUNDLED = Path(__file__).parent.parent / "tailrace" / "data" / "packages.ndjson.zst"
FIELDS = ("title", "text", "section", "tags", "size")
SENTENCES = "debian-tldr.queries.tsv"
SEED = 20

MAPPING: dict[str, Any] = {
    "properties": {
        "title": {"type": "text"},
        "text": {"type": "text"},
        "section": {"type": "keyword"},
        "tags": {"type": "keyword"},
        "size": {"type": "long"},
    }
}


class Item(NamedTuple):
    """One document, in the forms that both engines start from."""

    key: bytes
    source: bytes
    fields: dict[str, Any]


class Corpus:
    """`n_docs` documents of debian-en, or of the bundled subset; every pass after the first has
    other ids and shuffled words. The same arguments give the same documents."""

    def __init__(self, folder: Path | None, n_docs: int) -> None:
        path = folder / "debian-en.ndjson.zst" if folder is not None else BUNDLED
        self.name = "debian-en" if folder is not None else "the bundled subset of debian-en"
        self.folder = folder
        self.n_docs = n_docs
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            self._originals = [json.loads(line) for line in lines]

    def items(self, first: int = 0, last: int | None = None) -> Iterator[Item]:
        for number in range(first, self.n_docs if last is None else last):
            yield self._item(number)

    def _item(self, number: int) -> Item:
        round_no, place = divmod(number, len(self._originals))
        original = self._originals[place]
        fields = {name: original[name] for name in FIELDS if original.get(name)}
        key = original["id"]
        if round_no:
            key = f"{key}#{round_no}"
            words = original["text"].split()
            random.Random(number).shuffle(words)
            fields["text"] = " ".join(words)
        return Item(key.encode(), json.dumps(fields, ensure_ascii=False).encode(), fields)

    def queries(self, n_queries: int) -> list[str]:
        """Return words of the text, one to three a query, a third each often, seldom, rarely seen.

        They are plain ASCII words, so that both engines' analysers take them alike.
        """
        counts: Counter[str] = Counter()
        for original in self._originals[::5]:
            words = set(original["text"].lower().split())
            counts.update(word for word in words if word.isascii() and word.isalpha())
        ranked = [word for word, _ in counts.most_common() if 2 < len(word) < 20]
        bands = (ranked[20:200], ranked[200:2000], ranked[2000:12000])
        chance = random.Random(SEED)
        return [
            " ".join(chance.sample(bands[number % 3], 1 + number // 3 % 3))
            for number in range(n_queries)
        ]

    def sentences(self, n_queries: int) -> list[str]:
        """Return what people look for in one sentence (debian-tldr); nothing without the folder."""
        path = self.folder / SENTENCES if self.folder is not None else None
        if path is None or not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        chance = random.Random(SEED)
        chosen = [line.split("\t")[1] for line in chance.sample(lines, n_queries)]
        return [re.sub(r"\W+", " ", text).strip() for text in chosen]


def main() -> None:
    n_docs, *rest = sys.argv[1:]
    for item in Corpus(Path(rest[0]) if rest else None, int(n_docs)).items():
        sys.stdout.buffer.write(item.key + b"\t" + item.source + b"\n")


if __name__ == "__main__":
    main()
