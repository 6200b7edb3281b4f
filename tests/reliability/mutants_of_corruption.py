"""Checks of bytes that are missing or wrong: each must be found out by the corruption program."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from pyroaring import BitMap

import index.manifest
import index.segment
import index.stored
import pipeline.index_store
from consumers import log_check, log_file
from index.errors import CorruptionError
from index.format import Sections, checksum
from index.part import clear_docs
from tests.reliability import corruption, corruption_world, forgery
from tests.reliability.mutant import Mutant
from tests.reliability.program import Tally

FORGERIES = range(1, 230)


def _examine(cases: Iterable[str]) -> None:
    corruption.sound()
    with tempfile.TemporaryDirectory() as folder:
        examiner = corruption.Examiner(Path(folder))
        for case in cases:
            examiner.run(case)


def flips() -> None:
    _examine(islice(corruption.flips(None), 0, None, 29))


def cuts() -> None:
    _examine(islice(corruption.cuts(), 0, None, 61))


def junk() -> None:
    _examine(islice(corruption.junk(), 0, None, 3))


def opens() -> None:
    _examine(corruption.opens(60, 1))


def forgeries() -> None:
    corruption.sound()
    forgery.ask(0)
    forgery.run_chunk(FORGERIES, Tally())


class _Equal:
    """Whatever checksum it is compared with."""

    def __ne__(self, other: object) -> bool:
        return False


def _switch(target: Any, name: str, wrong: Any) -> Callable[[], AbstractContextManager[None]]:
    return lambda: mock.patch.object(target, name, wrong)


def _no_damages(self: Sections, pace: Any = None) -> Iterator[CorruptionError]:
    return iter(())


def _damages_but_of_padding(self: Sections, pace: Any = None) -> Iterator[CorruptionError]:
    for entry in self._entries.values():
        data = self.data[entry.offset : entry.offset + entry.length]
        if checksum(bytes(-entry.length % 64), checksum(data)) != entry.crc:
            yield CorruptionError(self.name, entry.offset, "checksum is wrong")


def _decode_longer(name: str, data: bytes) -> Any:
    """Read as much as the first line says, and no more."""
    head = index.manifest._HEAD.match(data)
    if head is None:
        raise CorruptionError(name, 0, "not the first line of a manifest")
    end = head.end() + int(head[2])
    return index.manifest.decode_manifest(name, data[:end] + b"\n")


def _believe_deletes(deletes: bytes | None, n_docs: int, segment: str) -> Any:
    if deletes is None:
        return None
    return clear_docs(None, n_docs, np.array(BitMap.deserialize(deletes).to_array(), np.uint32))


def _tables() -> AbstractContextManager[None]:
    options = replace(corruption_world.OPTIONS, check_on_open="tables")
    return mock.patch.object(corruption_world, "OPTIONS", options)


MUTANTS: list[Mutant] = [
    Mutant(
        "crc_of_sections_skipped",
        "no section is compared with its checksum",
        _switch(Sections, "damages", _no_damages),
        flips,
    ),
    Mutant(
        "crc_without_padding",
        "the checksum is taken over too short a range",
        _switch(Sections, "damages", _damages_but_of_padding),
        flips,
    ),
    Mutant(
        "crc_of_manifests_skipped",
        "no manifest is compared with its checksum",
        _switch(index.manifest, "checksum", lambda data: _Equal()),
        flips,
    ),
    Mutant(
        "crc_of_frames_skipped",
        "no frame of the log is compared with its checksum",
        _switch(log_file, "google_crc32c", mock.Mock(value=lambda data: _Equal())),
        flips,
    ),
    Mutant(
        "crc_of_settings_skipped",
        "index.json is not compared with its checksum",
        _switch(pipeline.index_store, "_is_checked", lambda data: True),
        flips,
    ),
    Mutant(
        "length_of_manifests_unchecked",
        "what follows a manifest is not looked at",
        _switch(corruption, "decode_manifest", _decode_longer),
        junk,
    ),
    Mutant(
        "seal_unchecked",
        "the end of a log that was closed is not looked at",
        _switch(log_check, "read_seal", lambda directory: None),
        cuts,
    ),
    Mutant(
        "tables_alone_before_serving",
        "a shard serves before its sections were compared with their checksums",
        _tables,
        opens,
    ),
    Mutant(
        "deletes_believed",
        "deletes of a manifest are not looked at",
        _switch(forgery, "decode_deletes", _believe_deletes),
        forgeries,
    ),
    Mutant(
        "ordinals_believed",
        "starts and ordinals of columns are not looked at",
        _switch(index.segment, "check_column", lambda *arguments: None),
        forgeries,
    ),
    Mutant(
        "blocks_of_sources_believed",
        "the table of the blocks of sources is not looked at",
        _switch(index.stored, "_rise", lambda numbers: True),
        forgeries,
    ),
]
