"""A mix of nine languages: how fast text outside ASCII is indexed, and some real queries."""

from __future__ import annotations

import gc
import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import orjson
import zstandard

from bench.corpus import Item, questions
from bench.engines import TailraceEngine, TantivyEngine, plain
from bench.layouts import Layout
from bench.progress import say
from bench.queries import Query, QueryClass
from bench.searching import Outcome, run_class
from bench.tables import Clock, Table, in_us, median
from bench.workspace import Workspace

SOURCES: dict[str, tuple[tuple[str, str | None], ...]] = {
    "English": (("debian-en", None), ("us-speeches", None)),
    "German": (("debian-de", None), ("tldr", "de")),
    "Spanish": (("tldr", "es"),),
    "French": (("tldr", "fr"),),
    "Russian": (("debian-ru", None), ("tldr", "ru")),
    "Hindi": (("tldr", "hi"),),
    "Japanese": (("debian-ja", None), ("tldr", "ja")),
    "Korean": (("tldr", "ko"),),
    "Chinese": (("poetry-zh", None), ("tidb-docs-zh", None), ("debian-zh_CN", None)),
}
"""Of each language (file, its `lang` if there are several)."""

CODES = ("en", "de", "es", "fr", "ru", "hi", "ja", "ko", "zh")
"""Of the queries of queries-miracl."""

ASCII, MIX = "ASCII", "mix of the nine"
GROUP_BYTES = 2_000_000
ROUNDS = 5
N_QUERIES = 25
"""Of each language."""

MAPPING: dict[str, Any] = {"properties": {"text": {"type": "text"}}}
MB = 1e6


def run_languages(space: Workspace) -> list[Table]:
    """Return the tables of indexing rates and of queries; nothing without the data."""
    data = space.corpus.folder
    if data is None:
        return []
    texts = {name: _texts(data, name) for name in SOURCES}
    plain_ascii = [text for text in texts["English"] if text.isascii()]
    groups = {ASCII: _cycled(plain_ascii, ASCII)}
    groups |= {name: _cycled(found, name) for name, found in texts.items()}
    mix = [
        item
        for name, found in texts.items()
        for item in _cycled(found, name, GROUP_BYTES // len(SOURCES))
    ]
    random.Random(7).shuffle(mix)
    groups[MIX] = mix
    folder = space.subfolder("languages")
    return [_rates(groups, folder, space), _queries(groups[MIX], folder, data)]


def _text_of(item: Item) -> str:
    text: str = item.fields["text"]
    return text


def _texts(data: Path, language: str) -> list[str]:
    found = []
    for file, code in SOURCES[language]:
        with zstandard.open(data / f"{file}.ndjson.zst", "rt", encoding="utf-8") as lines:
            for line in lines:
                document = orjson.loads(line)
                if document["text"] and (code is None or document["lang"] == code):
                    found.append(document["text"])
    random.Random(7).shuffle(found)
    return found


def _cycled(texts: list[str], name: str, n_bytes: int = GROUP_BYTES) -> list[Item]:
    """Repeat texts under other ids until they are so many bytes."""
    items: list[Item] = []
    for number, text in enumerate(itertools.cycle(texts)):
        if n_bytes <= 0:
            break
        fields = {"text": text}
        items.append(Item(f"{name}-{number}".encode(), orjson.dumps(fields), fields))
        n_bytes -= len(text.encode())
    return items


def _rates(groups: dict[str, list[Item]], folder: Path, space: Workspace) -> Table:
    ours: dict[str, list[float]] = {name: [] for name in groups}
    theirs: dict[str, list[float]] = {name: [] for name in groups}
    n_bytes = {
        name: sum(len(_text_of(item).encode()) for item in items) for name, items in groups.items()
    }
    gc.collect()
    gc.freeze()
    for round_no in range(-1, ROUNDS):
        for name, items in groups.items():
            seconds = _our_cpu_s(items, folder / "index"), _their_cpu_s(items, folder / "peer")
            if round_no >= 0:
                ours[name].append(n_bytes[name] / MB / seconds[0])
                theirs[name].append(n_bytes[name] / MB / seconds[1])
        say(f"languages, round {round_no + 1} of {ROUNDS}")
    gc.unfreeze()
    table = Table(
        "Languages: append + flush",
        f"{GROUP_BYTES / MB:.0f} MB of text each, the `standard` analyzer, source stored; bytes "
        f"per CPU second of all threads, medians of {ROUNDS} rounds. English, German, Russian, "
        "Japanese: Debian's package descriptions; Chinese: poems, a manual, Debian; the others: "
        "tldr pages. tantivy-py's `default` takes a run of Chinese or Japanese as one word.",
        ["", "Tailrace", "of its ASCII rate", "tantivy-py", "Tailrace / tantivy-py"],
    )
    ascii_rate = median(ours[ASCII])
    for name in groups:
        rate, peer = median(ours[name]), median(theirs[name])
        share = f"{rate / ascii_rate:.2f}"
        if name == MIX:
            share = space.scores.judge("utf8", rate / ascii_rate)
        table.add(name, f"{rate:.1f} MB/s", share, f"{peer:.1f} MB/s", f"{rate / peer:.2f}")
    return table


def _our_cpu_s(items: list[Item], path: Path) -> float:
    clock, engine = Clock(), TailraceEngine(path, MAPPING)
    with clock.running():
        engine.take(items, merges="never")
        engine.flush()
    engine.close()
    shutil.rmtree(path)
    return clock.cpu_s


def _their_cpu_s(items: list[Item], path: Path) -> float:
    clock, engine = Clock(), TantivyEngine(path, MAPPING)
    with clock.running():
        engine.take(items)
        engine.commit()
    engine.wait()
    shutil.rmtree(path)
    return clock.cpu_s


def _queries(items: list[Item], folder: Path, data: Path) -> Table:
    ours = TailraceEngine(folder / "queries", MAPPING)
    theirs = TantivyEngine(folder / "queries-peer", MAPPING)
    ours.take(items)
    theirs.take(items)
    ours.merge_all()
    theirs.settle()
    theirs.prepare()
    layout = Layout("languages", "", ours, theirs)
    table = Table(
        "Languages: queries",
        f"`match` top-10 of {N_QUERIES} questions each (queries-miracl) over the mix, "
        f"{len(items):,} documents in one segment; p50 / p99. tantivy-py: words between spaces.",
        ["", "queries", "Tailrace", "tantivy-py", "ratio p50", "ratio p99", "as many hits"],
    )
    for language, code in zip(SOURCES, CODES, strict=True):
        asked = questions(data, N_QUERIES, "queries-miracl.tsv.zst", code)
        queries = [Query("text", (plain(text),)) for text in asked]
        outcome = run_class(QueryClass(language, queries), layout, "top 10")
        if outcome is not None:
            table.add(*_cells(outcome))
    ours.close()
    return table


def _cells(outcome: Outcome) -> list[str]:
    return [
        outcome.name,
        str(outcome.n_queries),
        f"{in_us(outcome.ours.p50)} / {in_us(outcome.ours.p99)}",
        f"{in_us(outcome.theirs.p50)} / {in_us(outcome.theirs.p99)}",
        f"{outcome.p50:.2f}",
        f"{outcome.p99:.2f}",
        f"{outcome.agreed:.0%}",
    ]
