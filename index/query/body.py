"""A JSON object of a request, with its path, so that every error says where."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

from index.errors import InvalidQueryError
from index.query.ast import Scalar
from index.query.boosts import is_boost

T = TypeVar("T")


def fail(path: str, reason: str) -> InvalidQueryError:
    """Return the error to raise for what is wrong at `path`."""
    return InvalidQueryError(f"[{path}] {reason}")


def kind_of(value: object) -> str:
    """Return what JSON calls a value of this type."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def scalar(value: object, path: str) -> Scalar:
    """Return a string, number or boolean.

    Raises: InvalidQueryError for anything else, and for numbers that are not finite.
    """
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise fail(path, f"expected a string, number or boolean but got {kind_of(value)}")


def as_object(value: object, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise fail(path, f"expected an object but got {kind_of(value)}")


def as_list(value: object, path: str) -> list[Any]:
    if isinstance(value, list):
        return value
    raise fail(path, f"expected an array but got {kind_of(value)}")


def as_str(value: object, path: str) -> str:
    if isinstance(value, str):
        return value
    raise fail(path, f"expected a string but got {kind_of(value)}")


def as_number(value: object, path: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise fail(path, f"expected a number but got [{value}]") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail(path, f"expected a number but got {kind_of(value)}")
    if not math.isfinite(value):
        raise fail(path, "expected a finite number")
    return float(value)


def as_int(value: object, path: str) -> int:
    number = as_number(value, path)
    if number != int(number):
        raise fail(path, f"expected a whole number but got [{value}]")
    return int(number)


def as_bool(value: object, path: str) -> bool:
    words = {True: True, False: False, "true": True, "false": False}
    if isinstance(value, bool | str) and value in words:
        return words[value]
    raise fail(path, f"expected true or false but got {kind_of(value)}")


def checked_boost(boost: float, path: str) -> float:
    """Return `boost`. Raises: InvalidQueryError for one that scores cannot hold."""
    if boost < 0:
        raise fail(path, f"may not be negative but is [{boost}]")
    if not is_boost(boost):
        raise fail(path, f"boost [{boost}] is not a number that a 32-bit float holds")
    return boost


def only_entry(value: object, path: str) -> tuple[str, Any]:
    """Return the one entry of an object: the field, or the kind of query, and what it holds."""
    if type(value) is dict and len(value) == 1:
        ((key, inner),) = value.items()
        return key, inner
    return Body(value, path).only()


class Body:
    """One JSON object, its keys taken one by one; `done` refuses those nobody took."""

    __slots__ = ("_left", "path")

    def __init__(self, value: object, path: str) -> None:
        self._left = dict(as_object(value, path))
        self.path = path

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str, default: Any = None) -> Any:
        return self._left.pop(key, default)

    def has(self, key: str) -> bool:
        return key in self._left

    def need(self, key: str) -> Any:
        if key not in self._left:
            raise fail(self.path, f"needs [{key}]")
        return self._left.pop(key)

    def ignore(self, *keys: str) -> None:
        """Drop keys that other engines use as hints and that change no answer."""
        for key in keys:
            self._left.pop(key, None)

    def text(self, key: str, default: str) -> str:
        value = self._left.pop(key, None)
        return default if value is None else as_str(value, self.at(key))

    def opt_text(self, key: str) -> str | None:
        value = self._left.pop(key, None)
        return None if value is None else as_str(value, self.at(key))

    def number(self, key: str, default: float) -> float:
        value = self._left.pop(key, None)
        return default if value is None else as_number(value, self.at(key))

    def opt_number(self, key: str) -> float | None:
        value = self._left.pop(key, None)
        return None if value is None else as_number(value, self.at(key))

    def integer(self, key: str, default: int) -> int:
        value = self._left.pop(key, None)
        return default if value is None else as_int(value, self.at(key))

    def natural(self, key: str, default: int) -> int:
        number = self.integer(key, default)
        if number < 0:
            raise fail(self.at(key), f"may not be negative but is [{number}]")
        return number

    def flag(self, key: str) -> bool:
        value = self._left.pop(key, None)
        return value is not None and as_bool(value, self.at(key))

    def choice(self, key: str, choices: dict[str, T], default: T) -> T:
        value = self._left.pop(key, None)
        if value is None:
            return default
        word = as_str(value, self.at(key)).lower()
        if word not in choices:
            raise fail(self.at(key), f"expected one of {list(choices)} but got [{word}]")
        return choices[word]

    def boost(self) -> float:
        return checked_boost(self.number("boost", 1.0), self.at("boost"))

    def strings(self, key: str) -> tuple[str, ...]:
        """Take a string or an array of strings."""
        value = self._left.pop(key, None)
        return string_list(value, self.at(key))

    def items(self) -> Iterable[tuple[str, Any]]:
        """Take all that is left."""
        left, self._left = self._left, {}
        return left.items()

    def only(self) -> tuple[str, Any]:
        """Take the one key that is left: the field, or the kind of query."""
        if len(self._left) != 1:
            reason = "is empty" if not self._left else f"has several keys {list(self._left)}"
            raise fail(self.path, f"{reason}, expected exactly one")
        return self._left.popitem()

    def done(self) -> None:
        for key in self._left:
            raise fail(self.path or "body", f"unknown key [{key}]")


def string_list(value: object, path: str) -> tuple[str, ...]:
    """Return a string or an array of strings as a tuple; None: empty."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return tuple(as_str(item, path) for item in as_list(value, path))
