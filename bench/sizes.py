"""What an index takes on disk, section by section."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from bench.layouts import Layout
from bench.tables import Table
from bench.workspace import Workspace
from index.format import NO_FIELD, Kind, Sections

MB = 1e6
POSTINGS, POSITIONS, DICTIONARY = "postings", "positions", "dictionary"
NORMS, COLUMNS, KEYS, SOURCES, OTHER = "lengths", "columns", "ids", "sources", "other"
GROUPS = (POSTINGS, POSITIONS, DICTIONARY, NORMS, COLUMNS, KEYS, SOURCES, OTHER)

KINDS: dict[str, str] = {
    "TERMS": DICTIONARY,
    "TERM_BLOCKS": DICTIONARY,
    "TERM_PREFIXES": DICTIONARY,
    "RECORDS": DICTIONARY,
    "LAST_DOCS": POSTINGS,
    "DOC_METAS": POSTINGS,
    "POSTINGS": POSTINGS,
    "POS_METAS": POSITIONS,
    "POSITIONS": POSITIONS,
    "LENGTHS": NORMS,
    "NORMS": NORMS,
    "PRESENT": COLUMNS,
    "VALUES": COLUMNS,
    "VALUE_STARTS": COLUMNS,
    "ZONES": COLUMNS,
    "KEY_SLOTS": KEYS,
    "KEY_STARTS": KEYS,
    "KEYS": KEYS,
    "SOURCES": SOURCES,
    "SOURCE_BLOCKS": SOURCES,
    "SOURCE_DOCS": SOURCES,
}
SUFFIXES = {
    "idx": POSTINGS,
    "pos": POSITIONS,
    "term": DICTIONARY,
    "fieldnorm": NORMS,
    "fast": COLUMNS,
    "store": SOURCES,
}


def run_sizes(space: Workspace) -> list[Table]:
    """Return the table of sizes of one segment."""
    layout = space.single
    raw = text = 0
    for item in space.corpus.items():
        raw += len(item.source)
        text += len(item.fields.get("text", "").encode())
    return [size_table(layout, raw, text, space)]


def size_table(layout: Layout, raw: int, text: int, space: Workspace) -> Table:
    ours = our_sizes(space.folder / "single")
    theirs = their_sizes(space.folder / "single-peer")
    table = Table(
        "Sizes",
        f"{space.corpus.n_docs:,} documents in one segment: {raw / MB:.1f} MB of JSON, of it "
        f"{text / MB:.1f} MB of text. Ids are only stored in tantivy-py here (with the sources), "
        "so that its dictionary and postings hold the same fields as ours.",
        ["section", "Tailrace", "tantivy-py", "Tailrace / tantivy-py"],
    )
    for group in GROUPS:
        _add(table, group, ours[group], theirs[group])
    inverted = [sum(sizes[g] for g in GROUPS[:3]) for sizes in (ours, theirs)]
    ratio = space.scores.judge("size", inverted[0] / inverted[1])
    table.add(
        "**postings, positions, dictionary**",
        f"{inverted[0] / MB:.1f} MB",
        f"{inverted[1] / MB:.1f} MB",
        ratio,
    )
    whole = [sum(sizes.values()) for sizes in (ours, theirs)]
    _add(table, "whole index", *whole)
    bare = [total - sizes[SOURCES] for total, sizes in zip(whole, (ours, theirs), strict=True)]
    _add(table, "without sources", *bare)
    table.add("whole index over JSON", *(f"{total / raw:.3f}" for total in whole), "")
    judged = space.scores.judge("size whole", bare[0] / text)
    table.add("without sources over text", judged, f"{bare[1] / text:.3f}", "")
    return table


def _add(table: Table, name: str, ours: int, theirs: int) -> None:
    ratio = f"{ours / theirs:.2f}" if theirs else ""
    table.add(name, f"{ours / MB:.1f} MB", f"{theirs / MB:.1f} MB" if theirs else "", ratio)


def our_sizes(folder: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        if path.suffix == ".seg":
            sizes += section_sizes(path)
        else:
            sizes[OTHER] += path.stat().st_size
    return sizes


def section_sizes(path: Path) -> Counter[str]:
    """Return the bytes of a segment by group, padding and frame under `other`."""
    data = np.memmap(path, np.uint8, mode="r")
    sections = Sections(path.name, data)
    sizes: Counter[str] = Counter()
    for kind in Kind:
        for field in (NO_FIELD, *range(64)):
            if sections.has(kind, field):
                size = len(sections.array(kind, np.uint8, field))
                sizes[KINDS.get(kind.name, OTHER)] += size
    sizes[OTHER] += len(data) - sum(sizes.values())
    return sizes


def their_sizes(folder: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for path in folder.rglob("*"):
        if path.is_file():
            sizes[SUFFIXES.get(path.suffix[1:], OTHER)] += path.stat().st_size
    return sizes
