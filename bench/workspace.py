"""What the parts of one run share: the corpus, a folder, and layouts that are built once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.corpus import LEAN, Corpus
from bench.goals import Scores
from bench.layouts import Layout, build_live, build_single


@dataclass
class Workspace:
    corpus: Corpus
    """Documents with a text, a keyword and a number."""
    folder: Path
    scores: Scores = field(default_factory=Scores)

    @classmethod
    def of(cls, data: Path | None, n_docs: int, folder: Path) -> Workspace:
        return cls(Corpus(data, n_docs, LEAN), folder)

    @cached_property
    def single(self) -> Layout:
        return build_single(self.corpus, self.folder)

    @cached_property
    def live(self) -> Layout:
        return build_live(self.corpus, self.folder)

    def subfolder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True)
        return path
