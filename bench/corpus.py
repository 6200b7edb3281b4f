"""Documents for the benchmarks: real text, multiplied without repeating itself.

    python -m bench.corpus N_DOCS [FOLDER]

prints the documents, a key and the JSON on each line, for a process that must stay small.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import zstandard

BUNDLED = Path(__file__).parent.parent / "tailrace" / "data" / "packages.ndjson.zst"
WHOLE = ("title", "text", "section", "tags", "size")
LEAN = ("text", "section", "size")
"""A text, a keyword and a number."""
SEED = 20
BLOCK_DOCS = 1 << 16
_SENTENCE_END = re.compile(r"(?<=[.!?;:])\s+|\n+")

_TYPES: dict[str, dict[str, str]] = {
    "title": {"type": "text"},
    "text": {"type": "text"},
    "section": {"type": "keyword"},
    "tags": {"type": "keyword"},
    "size": {"type": "long"},
}


def mapping_of(names: tuple[str, ...]) -> dict[str, Any]:
    return {"properties": {name: _TYPES[name] for name in names}}


MAPPING = mapping_of(WHOLE)


class Item(NamedTuple):
    """One document. Engines start from the key and the source."""

    key: bytes
    source: bytes
    fields: dict[str, Any]
    """The source parsed, to make queries of."""


class Corpus:
    """`n_docs` documents of debian-en, or of the bundled subset.

    Every pass after the first has other ids, and texts of as many sentences as the original, drawn
    from all documents, with a word that occurs nowhere else: phrases stay natural, the
    dictionary keeps growing. The same arguments give the same documents, and fewer documents
    are the beginning of more.
    """

    def __init__(self, folder: Path | None, n_docs: int, names: tuple[str, ...] = WHOLE) -> None:
        path = folder / "debian-en.ndjson.zst" if folder is not None else BUNDLED
        self.name = "debian-en" if folder is not None else "the bundled subset of debian-en"
        self.folder = folder
        self.n_docs = n_docs
        self.names = names
        with zstandard.open(path, "rt", encoding="utf-8") as lines:
            self._originals = [orjson.loads(line) for line in lines]
        cut = [_SENTENCE_END.split(original["text"]) for original in self._originals]
        self._sentences = [sentence for text in cut for sentence in text]
        self._n_sentences = np.array([len(text) for text in cut])

    def items(self, first: int = 0, last: int | None = None) -> Iterator[Item]:
        end = self.n_docs if last is None else min(last, self.n_docs)
        while first < end:
            stop = min(end, (first // BLOCK_DOCS + 1) * BLOCK_DOCS)
            yield from self._block(first, stop)
            first = stop

    def _block(self, first: int, stop: int) -> Iterator[Item]:
        """Yield documents that all lie in one block."""
        block = first // BLOCK_DOCS
        numbers = np.arange(block * BLOCK_DOCS, (block + 1) * BLOCK_DOCS)
        n_each = self._n_sentences[numbers % len(self._originals)]
        starts = [0, *np.cumsum(n_each).tolist()]
        chance = np.random.default_rng((SEED, block))
        drawn = chance.integers(0, len(self._sentences), starts[-1]).tolist()
        marks = chance.integers(0, 1 << 32, BLOCK_DOCS).tolist()
        for number in range(first, stop):
            at = number - block * BLOCK_DOCS
            picks = drawn[starts[at] : starts[at + 1]]
            yield self._item(number, picks, marks[at])

    def _item(self, number: int, picks: list[int], mark: int) -> Item:
        round_no, place = divmod(number, len(self._originals))
        original = self._originals[place]
        fields = {name: original[name] for name in self.names if original.get(name)}
        key = original["id"]
        if round_no:
            key = f"{key}#{round_no}"
            fields["text"] = f"{' '.join([self._sentences[n] for n in picks])} {mark:08x}"
        return Item(key.encode(), orjson.dumps(fields), fields)


def questions(
    folder: Path | None, n_queries: int, file: str = "queries-nq.tsv.zst", language: str = ""
) -> list[str]:
    """Return real queries of `file`, evenly spread over it; nothing without the folder.

    `language`: only those whose id begins with it.
    """
    path = folder / file if folder is not None else None
    if path is None or not path.exists():
        return []
    with zstandard.open(path, "rt", encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    texts = [row[1] for row in rows if not language or row[0].startswith(f"{language}-")]
    return texts[:: max(1, len(texts) // n_queries)][:n_queries]


def main() -> None:
    n_docs, *rest = sys.argv[1:]
    for item in Corpus(Path(rest[0]) if rest else None, int(n_docs)).items():
        sys.stdout.buffer.write(item.key + b"\t" + item.source + b"\n")


if __name__ == "__main__":
    main()
