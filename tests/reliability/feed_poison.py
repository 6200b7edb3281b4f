"""The records that producers send by mistake or malice, and what must become of each.

A kind either becomes a dead letter that says why, or a document, or nothing. All that are JSON
name fields that the mapping has, so that they meet the kernel which reads plain documents.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

MAPPING: Final[dict[str, Any]] = {
    "properties": {
        "n": {"type": "long"},
        "i": {"type": "integer"},
        "f": {"type": "double"},
        "b": {"type": "boolean"},
        "when": {"type": "date"},
        "text": {"type": "text"},
        "s": {"type": "keyword"},
        "o": {"properties": {"n": {"type": "long"}}},
    }
}
OWN: Final = b"<own>"
"""Stands for a key that no other record has."""
THERE: Final = b"<there>"
"""Stands for the key of a document that is there."""

MALFORMED: Final = "mapper_parsing_exception"
ILLEGAL: Final = "illegal_argument_exception"
EXISTS: Final = "version_conflict_engine_exception"
MISSING: Final = "document_missing_exception"

Headers = tuple[tuple[str, bytes | None], ...]
Value = bytes | None


@dataclass(frozen=True, slots=True)
class Letter:
    """It ends in the dead letters."""

    type: str
    reason: str
    """Part of what the letter says."""
    is_omitted: bool = False
    """Whether the letter goes without the value, which is too large for the log of letters."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """It becomes a document, with the value as its source."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is neither: there was nothing to do, or a document to delete."""


@dataclass(frozen=True, slots=True)
class Poison:
    name: str
    make: Callable[[], Value]
    becomes: Letter | Indexed | Nothing
    key: bytes | None = OWN
    headers: Headers = ()
    is_heavy: bool = False
    """Whether it takes more than some milliseconds: then it comes more rarely."""


def _value(text: str | bytes | None) -> Callable[[], Value]:
    value = text.encode() if isinstance(text, str) else text
    return lambda: value


def _nested(depth: int) -> Value:
    return b'{"o":' * depth + b"1" + b"}" * depth


@cache
def _wide() -> Value:
    return b"{" + b",".join(b'"w%d":1' % n for n in range(100_000)) + b"}"


@cache
def _large(head: bytes, tail: bytes, n_bytes: int = 10 << 20) -> Value:
    words = b"some words that repeat "
    return head + words * (n_bytes // len(words)) + tail


NOT_JSON: Final = Letter(MALFORMED, "not json")
NO_OBJECT: Final = Letter(MALFORMED, "not a json object")

BROKEN_TEXTS: Final[dict[str, bytes]] = {
    "cut off": b'{"n": 1, "text": "a bri',
    "cut after the comma": b'{"n": 1, ',
    "no bytes": b"",
    "blanks": b"  \n\t ",
    "bytes that are no utf-8": b'{"text": "\xff\xfe"}',
    "utf-8 longer than need be": b'{"text": "\xc0\xaf"}',
    "a surrogate in utf-8": b'{"text": "\xed\xa0\x80"}',
    "utf-8 cut in a character": b'{"text": "\xe2\x82"}',
    "lone surrogate": b'{"text": "\\ud800"}',
    "low surrogate first": b'{"text": "\\udc00\\ud800"}',
    "NaN": b'{"f": NaN}',
    "Infinity": b'{"f": Infinity}',
    "minus Infinity": b'{"f": -Infinity}',
    "a double beyond all": b'{"f": 1e400}',
    "byte order mark": b'\xef\xbb\xbf{"n": 1}',
    "utf-16": '{"n": 1}'.encode("utf-16"),
    "NUL in a string": b'{"text": "a\x00b"}',
    "NUL behind the document": b'{"n": 1}\x00',
    "newline in a string": b'{"text": "a\nb"}',
    "two documents": b'{"n": 1}{"n": 2}',
    "rubbish behind": b'{"n": 1} x',
    "comma at the end": b'{"n": 1,}',
    "no comma": b'{"n": 1 "i": 2}',
    "leading zero": b'{"n": 01}',
    "leading plus": b'{"n": +1}',
    "no digit before the point": b'{"f": .5}',
    "no digit after the point": b'{"f": 1.}',
    "hexadecimal": b'{"n": 0x10}',
    "single quotes": b"{'n': 1}",
    "a comment": b'{"n": 1 /* one */}',
    "name without quotes": b"{n: 1}",
    "unknown escape": b'{"text": "\\x41"}',
    "escape cut off": b'{"text": "\\u12"}',
    "True as Python writes it": b'{"b": True}',
    "bracket of another kind": b'{"n": [1}',
    "gzip": gzip.compress(b'{"n": 1}', mtime=0),
}

MISFITS: Final[dict[str, tuple[bytes, str]]] = {
    "text for a long": (b'{"n": "three"}', "[n]"),
    "object for a long": (b'{"n": {"a": 1}}', "[n]"),
    "long beyond 64 bits": (b'{"n": 9223372036854775808}', "[n]"),
    "long of 40 digits": (b'{"n": 1234567890123456789012345678901234567890}', "[n]"),
    "long below 64 bits": (b'{"n": -9223372036854775809}', "[n]"),
    "integer beyond 32 bits": (b'{"i": 3000000000}', "[i]"),
    "digits with an underscore": (b'{"n": "1_000"}', "[n]"),
    "NaN in quotes": (b'{"f": "NaN"}', "[f]"),
    "truth for a long": (b'{"n": true}', "[n]"),
    "text for a truth": (b'{"b": "maybe"}', "[b]"),
    "object for a text": (b'{"text": {"a": 1}}', "[text]"),
    "number for an object": (b'{"o": 7}', "[o]"),
    "words for a date": (b'{"when": "tomorrow"}', "[when]"),
    "the 30th of February": (b'{"when": "2026-02-30"}', "[when]"),
    "a date beyond all": (b'{"when": 1e300}', "[when]"),
    "one bad value of many": (b'{"n": [1, 2, "three"]}', "[n]"),
    "nested deeper than is parsed": (_nested(40) or b"", "nested deeper"),
}

ODDITIES: Final[dict[str, bytes]] = {
    "empty object": b"{}",
    "null for a long": b'{"n": null}',
    "list of nothing": b'{"n": []}',
    "the same name twice": b'{"n": 1, "n": 2}',
    "NUL escaped": b'{"text": "a\\u0000b"}',
    "surrogate pair": b'{"text": "\\ud83d\\ude00"}',
    "smallest long": b'{"n": -9223372036854775808}',
    "largest long": b'{"n": 9223372036854775807}',
    "a double next to nothing": b'{"f": 1e-400}',
    "minus nought": b'{"n": -0, "f": -0.0}',
    "digits in quotes": b'{"n": "12"}',
    "blanks around": b' \r\n{"n" : 1 }\n ',
    "lists in lists": b'{"n": [[1], [[2, 3]]]}',
    "a name of 64 escapes": b'{"' + b"\\u0041" * 64 + b'": null}',
}

HEADERS: Final[dict[str, tuple[Headers, str]]] = {
    "unknown op": ((("op", b"replace"),), "header op"),
    "op in capitals": ((("op", b"UPSERT"),), "header op"),
    "op without value": ((("op", None),), "header op"),
    "op that is no utf-8": ((("op", b"\xff"),), "header op"),
    "version in words": ((("version", b"seven"),), "header version"),
    "version below nought": ((("version", b"-1"),), "header version"),
    "version beyond 64 bits": ((("version", b"9223372036854775808"),), "header version"),
    "version of 1,000 digits": ((("version", b"9" * 1000),), "header version"),
    "version without value": ((("version", None),), "header version"),
    "version with a blank": ((("version", b" 5"),), "header version"),
    "version in other digits": ((("version", "\u0665".encode()),), "header version"),
}

GOOD: Final = b'{"n": 1, "text": "a bridge"}'
UPDATE: Final = ("op", b"update")
CREATE: Final = ("op", b"create")
DELETE: Final = ("op", b"delete")

POISON: Final[tuple[Poison, ...]] = (
    *(Poison(name, _value(text), NOT_JSON) for name, text in BROKEN_TEXTS.items()),
    *(
        Poison(name, _value(text), Letter(MALFORMED, reason))
        for name, (text, reason) in MISFITS.items()
    ),
    *(Poison(name, _value(text), Indexed()) for name, text in ODDITIES.items()),
    *(
        Poison(name, _value(GOOD), Letter(ILLEGAL, reason), headers=headers)
        for name, (headers, reason) in HEADERS.items()
    ),
    Poison("a list", _value('["a", "b"]'), NO_OBJECT),
    Poison("a string", _value('"text"'), NO_OBJECT),
    Poison("a number", _value("7"), NO_OBJECT),
    Poison("the word null", _value("null"), NO_OBJECT),
    Poison(
        "nested 100,000 deep",
        lambda: _nested(100_000),
        Letter(MALFORMED, "nested deeper"),
        is_heavy=True,
    ),
    Poison("100,000 fields", _wide, Letter(MALFORMED, "fields", is_omitted=True), is_heavy=True),
    Poison(
        "keyword of 1 MB",
        lambda: b'{"s": "%s"}' % (b"x" * (1 << 20)),
        Letter(MALFORMED, "[s]", is_omitted=True),
        is_heavy=True,
    ),
    Poison(
        "word of 1 MB", lambda: b'{"text": "%s"}' % (b"x" * (1 << 20)), Indexed(), is_heavy=True
    ),
    Poison("10 MiB of words", lambda: _large(b'{"text": "', b'"}'), Indexed(), is_heavy=True),
    Poison(
        "10 MiB cut off",
        lambda: _large(b'{"text": "', b""),
        Letter(MALFORMED, "not json", is_omitted=True),
        is_heavy=True,
    ),
    Poison(
        "10 MiB of brackets",
        lambda: b"[" * (10 << 20),
        Letter(MALFORMED, "nested deeper", is_omitted=True),
        is_heavy=True,
    ),
    Poison("no key", _value(GOOD), Indexed(), key=None),
    Poison("empty key", _value(GOOD), Letter(ILLEGAL, "empty"), key=b""),
    Poison("key of 10 kB", _value(GOOD), Letter(ILLEGAL, "10000 bytes"), key=b"k" * 10_000),
    Poison("key of 513 bytes", _value(GOOD), Letter(ILLEGAL, "513 bytes"), key=b"k" * 513),
    Poison("key that is no utf-8", _value(GOOD), Letter(ILLEGAL, "not utf-8"), key=b"\xff\xfe"),
    Poison(
        "neither key nor value", _value(None), Letter(ILLEGAL, "without a document id"), key=None
    ),
    Poison("delete of nothing", _value(None), Nothing()),
    Poison("delete with a value", _value(b"\xff"), Nothing(), headers=(DELETE,)),
    Poison(
        "delete without key",
        _value(GOOD),
        Letter(ILLEGAL, "without a document id"),
        key=None,
        headers=(DELETE,),
    ),
    Poison(
        "create of nothing", _value(None), Letter(ILLEGAL, "without a document"), headers=(CREATE,)
    ),
    Poison(
        "create of what exists",
        _value(GOOD),
        Letter(EXISTS, "already exists"),
        key=THERE,
        headers=(CREATE,),
    ),
    Poison(
        "update to nothing", _value(None), Letter(ILLEGAL, "without a document"), headers=(UPDATE,)
    ),
    Poison("update of nothing", _value(GOOD), Letter(MISSING, "missing"), headers=(UPDATE,)),
    Poison("update that is broken", _value('{"n": '), NOT_JSON, key=THERE, headers=(UPDATE,)),
    Poison(
        "update that does not fit",
        _value('{"n": "x"}'),
        Letter(MALFORMED, "[n]"),
        key=THERE,
        headers=(UPDATE,),
    ),
    Poison("update by no object", _value("[1]"), NO_OBJECT, key=THERE, headers=(UPDATE,)),
    Poison(
        "upsert header that is broken",
        _value(GOOD),
        NOT_JSON,
        headers=(UPDATE, ("upsert", b"{")),
    ),
    Poison(
        "header without value",
        _value(GOOD),
        Indexed(),
        headers=(("x", None), ("traceparent", None)),
    ),
    Poison(
        "traceparent of rubbish", _value(GOOD), Indexed(), headers=(("traceparent", b"\xff" * 55),)
    ),
    Poison("header of 100 kB", _value(GOOD), Indexed(), headers=(("x", b"x" * 100_000),)),
)

LIGHT: Final = tuple(poison for poison in POISON if not poison.is_heavy)
HEAVY: Final = tuple(poison for poison in POISON if poison.is_heavy)
