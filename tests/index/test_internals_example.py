"""docs/internals.md is true: the bytes and numbers of its example are those that the code gives.

A block of the page that begins with ```text NAME is compared, line by line what stands before
`|`, with what `Example` says under that name.
"""

from __future__ import annotations

import ctypes
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import zstandard

from index.batch import sources_of
from index.bm25 import average_length, idf
from index.document import DocumentEvent, Op
from index.engine import Engine
from index.extract import Extractor
from index.format import NO_FIELD, SUFFIX, Kind, Sections
from index.kernels import lookup
from index.kernels import operations as op
from index.kernels.postings import POS_METAS, bound_of
from index.kernels.rows import ROW_WIDTH, SIZE
from index.memtable import Memtable
from index.options import IndexOptions
from index.query import ast
from index.query.leaves import TermLeaf
from index.query.parse_string import parse_query_string
from index.query.program import Program
from index.query.request import SearchRequest
from index.query.rewrite import Rewriter
from index.query.statistics import Statistics
from index.reader import I64
from index.reading import DocumentReader
from index.schema import Schema, SchemaRef
from index.searcher import Searcher
from index.vocabulary import Terms
from tests.index.storage_world import MemoryDirectory

PAGE = (Path(__file__).parents[2] / "docs" / "internals.md").read_text()
BLOCKS = re.findall(r"^```text ([^\n]+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

TITLE = 0
OPERATIONS = {getattr(op, name): name for name in ("CLEAR", "OR", "AND", "NOT", "LIMIT")}
MAPPING = {
    "properties": {
        "title": {"type": "text"},
        "tag": {"type": "keyword"},
        "size": {"type": "long"},
    }
}
FIRST = [
    b'{"title":"A fox"}',
    b'{"title":"The fox, the den","tag":"b","size":7}',
    b'{"title":"Fox den, fox farm","tag":"a","size":9}',
]
LATER = b'{"title":"A fox in the wood"}'
"""The new version of the first one."""


def event(offset: int, key: bytes, source: bytes) -> DocumentEvent:
    return DocumentEvent(offset, Op.UPSERT, key, source, None)


class Example:
    """Three documents, flushed; then a new version of the first one in the memtable."""

    def __init__(self) -> None:
        schema = SchemaRef(Schema.from_mapping(MAPPING))
        options = IndexOptions()
        events = [event(i, b"k%d" % i, source) for i, source in enumerate(FIRST)]
        reader = DocumentReader(schema, options, Extractor(schema, options))
        self.values = reader.read(sources_of(events)).values
        self.terms = _terms_of(schema, options, events)
        directory = MemoryDirectory()
        engine = Engine.open(directory, schema, options)
        engine.apply(events, 3)
        job = engine.plan_flush()
        assert job is not None
        job.run()
        engine.install(job)
        name = next(name for name in directory.list() if name.endswith(SUFFIX))
        self.file = directory.map(name)
        self.sections = Sections(name, self.file)
        engine.apply([event(3, b"k0", LATER)], 4)
        self.views = engine.views()
        self.statistics = Statistics(self.views)
        self.searcher = Searcher(self.views, schema.current, 0)

    # --- memory --------------------------------------------------------------------------
    def rows(self) -> list[str]:
        return [" ".join(str(number) for number in row) for row in self.values.rows.tolist()]

    def records(self) -> list[str]:
        lines = []
        for term_id in range(self.terms.n):
            k0, k1, info, stands_for = self.terms.records[term_id].tolist()
            place = f"{info >> 32} {info >> 16 & 0xFFFF} {info & 0xFFFF}"
            lines.append(f"{term_id} {k0:x} {k1:x} {place} {stands_for >> 32} {stands_for & 0xFF}")
        return lines

    def pool(self) -> list[str]:
        """Each block of a chain that holds anything: where it begins, its words."""
        lines = []
        for term_id in self.terms.with_postings().tolist():
            at, size = self.terms.head(term_id), 4
            while at:
                words = self.terms.pool[at : at + size].tolist()
                lines.append(f"{term_id} {at} : {' '.join(map(str, words))}")
                at, size = words[-1], size * 2
        return lines

    # --- disk ----------------------------------------------------------------------------
    def section(self, kind: str, field: str = "") -> list[str]:
        """The bytes of a section in hex, on however many lines."""
        name = (Kind[kind], int(field) if field else NO_FIELD)
        return [self.sections.array(name[0], np.uint8, name[1]).tobytes().hex(" ")]

    def first_frame(self) -> list[str]:
        """The sources' only frame, unpacked."""
        frame = self.sections.array(Kind.SOURCES, np.uint8).tobytes()
        return [zstandard.ZstdDecompressor().decompress(frame).hex(" ")]

    def alive(self) -> list[str]:
        alive = self.views[0].alive
        assert alive is not None
        return [alive.tobytes().hex(" ")]

    # --- query ---------------------------------------------------------------------------
    @cached_property
    def _leaves(self) -> dict[bytes, I64]:
        leaves = {}
        for term in (b"fox", b"den"):
            rows = np.zeros((len(self.views), ROW_WIDTH), np.int64)
            text = np.frombuffer(bytearray(term), np.uint8)
            fields = self.statistics.text(TITLE).rows
            lookup.find_leaves(fields, text, 0, len(term), rows)
            leaves[term] = rows
        return leaves

    def statistics_of_title(self) -> list[str]:
        text = self.statistics.text(TITLE)
        slacks = " ".join(f"{slack:.5f}" for slack in text.slacks.tolist())
        return [
            f"N {text.stats.n_docs}",
            f"tokens {text.stats.total_length}",
            f"average {average_length(text.stats):.5f}",
            f"slack {slacks}",
        ]

    def lengths_table(self) -> list[str]:
        table = self.statistics.text(TITLE).table
        return [f"{norm} {table[norm]:.5f}" for norm in (2, 4, 5)]

    def leaf_kinds(self) -> list[str]:
        return [
            f"{term.decode()} {view_no} {row[0]} {row[SIZE]}"
            for term, rows in self._leaves.items()
            for view_no, row in enumerate(rows.tolist())
        ]

    def weights(self) -> list[str]:
        n_docs = self.statistics.field(TITLE).n_docs
        lines = []
        for term in (b"fox", b"den"):
            df = self.statistics.term(TITLE, term).doc_freq
            lines.append(f"{term.decode()} {df} {idf(df, n_docs):.5f}")
        return lines

    def bounds(self) -> list[str]:
        """Of the segment's only block of each term: the most that a document can score."""
        text = self.statistics.text(TITLE)
        lines = []
        for term, rows in self._leaves.items():
            meta = ctypes.c_uint64.from_address(int(rows[0, POS_METAS])).value
            df = self.statistics.term(TITLE, term).doc_freq
            weight = np.float32(idf(df, text.stats.n_docs))
            limit = bound_of(np.uint64(meta), weight, text.slacks[0], text.table)
            lines.append(f"{term.decode()} {limit:.5f}")
        return lines

    def hits(self) -> list[str]:
        return self._ranked(ast.Match("title", "fox den"))

    def program(self) -> list[str]:
        """The operations of a query that goes the general way."""
        query = parse_query_string("+title:den +title:(fox farm) -size:[0 TO 8]")
        plan = Rewriter(self.searcher.schema, self.statistics, 0).plan(query)
        program = Program(plan, scored=True)
        lines = []
        for code, register, leaf, source, _, _, _, jump in program.ops.tolist():
            what = f"register {source}" if source >= 0 else str(jump) if jump else ""
            if leaf >= 0:
                asked = program.leaves[leaf]
                what = asked.term.decode() if isinstance(asked, TermLeaf) else "range"
            lines.append(f"{OPERATIONS[code]} {register} {what}".strip())
        return lines

    def phrase_hits(self) -> list[str]:
        return self._ranked(ast.MatchPhrase("title", "fox den"))

    def _ranked(self, query: ast.Query) -> list[str]:
        result = self.searcher.search(SearchRequest(query=query))
        lines = [f"total {result.total}"]
        return lines + [f"{hit.view_no} {hit.doc_id} {hit.score:.5f}" for hit in result.hits]


def _terms_of(schema: SchemaRef, options: IndexOptions, events: list[DocumentEvent]) -> Terms:
    """Return the terms of a memtable with the documents of the events."""
    engine = Engine.open(MemoryDirectory(), schema, options)
    engine.apply(events, len(events))
    memtable = engine._memtable
    assert isinstance(memtable, Memtable)
    return memtable.reader().terms


@pytest.fixture(scope="module")
def example() -> Example:
    return Example()


def said(block: str) -> list[str]:
    return [" ".join(line.split("|")[0].split()) for line in block.splitlines()]


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_a_block_of_the_page_is_what_the_code_gives(
    example: Example, name: str, block: str
) -> None:
    what, *arguments = name.split()
    given: list[str] = getattr(example, what)(*arguments)
    lines = [line for line in said(block) if line]
    if len(given) == 1:
        lines = [" ".join(lines)]
    assert lines == given


def test_the_page_shows_memory_disk_and_query() -> None:
    shown = {name.split()[0] for name, _ in BLOCKS}
    assert shown >= {"rows", "records", "pool", "section", "alive", "weights", "bounds", "hits"}


def test_the_example_has_the_documents_of_the_page() -> None:
    assert all(source.decode() in PAGE for source in [*FIRST, LATER])
