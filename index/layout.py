"""What a schema means to the kernel that reads documents: see kernels/documents.py for the table.

The kernel takes what is plainly as mapped; this table says what that is. A name with dots in
a document is the path through objects that it spells, so every path has a node for each way to
spell it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from index.convert import string_limits
from index.dates import MAX_MS, MIN_MS
from index.field import FLOAT_LIMITS, INTEGER_RANGES, METADATA_FIELDS, Field
from index.kernels import documents as kernels
from index.options import IndexOptions
from index.reader import U8
from index.schema import Schema

ROOT = 0
_KINDS = {
    **dict.fromkeys(INTEGER_RANGES, kernels.INTEGER),
    **dict.fromkeys(FLOAT_LIMITS, kernels.FLOAT),
    "boolean": kernels.BOOLEAN,
    "date": kernels.CONVERTED,
}


class Layout:
    """One schema's table. Thread rule: one thread; `hints` and `stamps` are scratch."""

    def __init__(self, schema: Schema, options: IndexOptions) -> None:
        self._schema = schema
        self._options = options
        self._nodes: list[list[int]] = []
        self._outputs: list[tuple[int, int, int]] = []
        self._names = bytearray()
        self.fields: list[Field | None] = []
        """The field of each node."""
        paths = self._paths()
        first_spellings = self._add_all(paths)
        self.nodes = np.array(self._nodes, np.int64)
        self.nodes[:, kernels.STAMP] = first_spellings
        self.limits = np.array(
            [FLOAT_LIMITS.get(field.type, 0.0) if field else 0.0 for field in self.fields]
        )
        self.outputs = np.array(self._outputs or [(0, 0, 0)], np.int64)
        self.names = np.frombuffer(self._names + bytes(24), np.uint8)
        self.slots = self._enter(self.names)
        self.hints = np.zeros(2 * len(self.nodes), np.int64)
        self.stamps = np.zeros(len(self.nodes), np.int64)

    def _paths(self) -> dict[str, Field | None]:
        """Return what lies at each dotted path: a field, or None for an object."""
        schema = self._schema
        paths: dict[str, Field | None] = dict.fromkeys(schema.objects)
        paths.update({field.name: field for field in schema.fields if field.parent is None})
        return paths

    def _add_all(self, paths: dict[str, Field | None]) -> list[int]:
        """Add the root and a node for each spelling of each path; return the first of each."""
        self._add(-1, b"", kernels.OBJECT, None)
        firsts = [ROOT]
        node_of = {"": ROOT}
        # Objects before what is in them.
        for path in sorted(paths, key=lambda path: path.count(".")):
            field = paths[path]
            for above, name in _spellings(path):
                if above not in node_of or _is_metadata(name if above == "" else "", field):
                    continue
                node = self._add(node_of[above], name.encode(), self._kind(path, field), field)
                firsts.append(node_of.setdefault(path, node))
        return firsts

    def _kind(self, path: str, field: Field | None) -> int:
        if field is None:
            return kernels.SKIPPED if path in self._schema.disabled else kernels.OBJECT
        subs = self._schema.multi_fields.get(path, ())
        if any(one.normalizer is not None for one in (field, *subs)):
            return kernels.SLOW if subs else kernels.CONVERTED
        if all(one.type in ("text", "keyword") for one in (field, *subs)):
            return kernels.STRING
        return kernels.SLOW if subs else _KINDS.get(field.type, kernels.SLOW)

    def _add(self, parent: int, name: bytes, kind: int, field: Field | None) -> int:
        low, high = 1, 0
        if field is not None and field.type in INTEGER_RANGES:
            low, high = INTEGER_RANGES[field.type]
        elif field is not None and field.type == "date" and field.format is None:
            low, high = MIN_MS, MAX_MS
        first = len(self._outputs)
        if field is not None:
            self._outputs += self._outputs_of(kind, field)
        padded = name.ljust(16, b"\0")
        k0, k1 = (int.from_bytes(padded[at : at + 8], "little", signed=True) for at in (0, 8))
        self._nodes.append(
            [
                parent, k0, k1, len(name), len(self._names), kind, 0,
                first, len(self._outputs) - first, low, high,
            ]
        )  # fmt: skip
        self._names += name
        self.fields.append(field)
        return len(self._nodes) - 1

    def _outputs_of(self, kind: int, field: Field) -> Iterator[tuple[int, int, int]]:
        if kind != kernels.STRING:
            yield field.no, -1, -1
            return
        for one in (field, *self._schema.multi_fields.get(field.name, ())):
            limits = string_limits(one, self._options, self._schema.index_analyzer(one))
            if limits is not None:
                bounds = (-1 if bound is None else bound for bound in limits)
                max_bytes, max_chars = bounds
                yield one.no, max_bytes, max_chars

    def _enter(self, names: U8) -> np.ndarray:
        slots = np.zeros(1 << (2 * len(self._nodes)).bit_length(), np.int32)
        mask = len(slots) - 1
        for node, (parent, k0, k1, length, *_) in enumerate(self._nodes):
            if node == ROOT:
                continue
            first, second = np.uint64(k0 & (1 << 64) - 1), np.uint64(k1 & (1 << 64) - 1)
            slot = int(kernels.hash_name(parent, first, second, length)) & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = node + 1
        return slots


def _spellings(path: str) -> Iterator[tuple[str, str]]:
    """Yield (object, name in it) for each way to spell a path, the one without dots first."""
    parts = path.split(".")
    for n_above in range(len(parts) - 1, -1, -1):
        yield ".".join(parts[:n_above]), ".".join(parts[n_above:])


def _is_metadata(name: str, field: Field | None) -> bool:
    """Return whether a name at the top may stand there only because it is stored already."""
    first, dot, _ = name.partition(".")
    return first in METADATA_FIELDS and (bool(dot) or field is None)
