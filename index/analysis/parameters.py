"""The parameters of one analyzer, tokenizer or filter, read with their types and ranges."""

from __future__ import annotations

import re
from typing import Any

from index.analysis.java_regex import FLAGS, as_python
from index.errors import InvalidRequestError

MAX_GRAM = 1_000
MAX_NGRAM_DIFF = 20
"""Above the default of OpenSearch, and not to be set: it multiplies the size of an index."""


class Parameters:
    """Each is to be read once; `finish` refuses those that nobody read."""

    def __init__(self, place: str, given: dict[str, Any]) -> None:
        self.place = place
        """Named in errors: `filter [my_stop]`."""
        self._given = {name: value for name, value in given.items() if value is not None}
        self._read = {"type"}

    def refuse(self, problem: str) -> InvalidRequestError:
        return InvalidRequestError(f"{self.place}: {problem}")

    def finish(self) -> None:
        """Raises: InvalidRequestError if a parameter was not read."""
        unknown = sorted(set(self._given) - self._read)
        if unknown:
            raise self.refuse(f"unknown parameter [{unknown[0]}]")

    def has(self, name: str) -> bool:
        return name in self._given

    def ignore(self, *names: str) -> None:
        """Accept parameters that change nothing."""
        self._read.update(names)

    def _take(self, name: str) -> Any:
        self._read.add(name)
        return self._given.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        value = self._take(name)
        if value is None:
            if default is None:
                raise self.refuse(f"[{name}] must be set")
            return default
        if isinstance(value, bool | list | dict):
            raise self.refuse(f"[{name}] must be a string")
        return str(value)

    def choice(self, name: str, default: str, choices: dict[str, Any]) -> Any:
        value = self.text(name, default)
        if value not in choices:
            raise self.refuse(f"[{name}] must be one of {', '.join(choices)}, not [{value}]")
        return choices[value]

    def char(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if len(value) != 1:
            raise self.refuse(f"[{name}] must be one character, not [{value}]")
        return value

    def number(self, name: str, default: int, least: int = 0, most: int = 1_000_000) -> int:
        value = self._take(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?\d{1,10}", str(value)):
            raise self.refuse(f"[{name}] must be an integer, not [{value}]")
        number = int(value)
        if not least <= number <= most:
            raise self.refuse(f"[{name}] must be between {least} and {most}, not [{number}]")
        return number

    def flag(self, name: str, default: bool) -> bool:
        value = self._take(name)
        if value is None:
            return default
        known = {"true": True, "false": False}.get(str(value).lower())
        if known is None:
            raise self.refuse(f"[{name}] must be true or false, not [{value}]")
        return known

    def words(self, name: str, default: list[str] | None = None) -> list[str]:
        """Return a list of strings; one string gives those between its commas."""
        value = self._take(name)
        if f"{name}_path" in self._given:
            raise self.refuse(f"[{name}_path] is not supported: give the list as [{name}]")
        if value is None:
            if default is None:
                raise self.refuse(f"[{name}] must be set")
            return default
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return self._strings(name, value)

    def lines(self, name: str) -> list[str]:
        """Return a list of strings, or the lines of one."""
        value = self._take(name)
        if f"{name}_path" in self._given:
            raise self.refuse(f"[{name}_path] is not supported: give the list as [{name}]")
        if value is None:
            raise self.refuse(f"[{name}] must be set")
        return value.splitlines() if isinstance(value, str) else self._strings(name, value)

    def _strings(self, name: str, value: Any) -> list[str]:
        if not isinstance(value, list) or any(isinstance(v, dict | list | bool) for v in value):
            raise self.refuse(f"[{name}] must be a list of strings")
        return [str(each) for each in value]

    def part(self, name: str) -> str | dict[str, Any]:
        """Return the definition of a part of a chain."""
        value = self._take(name)
        if not isinstance(value, str | dict):
            raise self.refuse(f"[{name}] must be set" if value is None else f"[{name}] is no name")
        return value

    def parts(self, name: str) -> list[str | dict[str, Any]]:
        """Return the definitions of parts of a chain; one string names those between its commas."""
        value = self._take(name)
        if value is None:
            return []
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | dict) for each in values):
            raise self.refuse(f"[{name}] must be a list of names")
        return values

    def pattern(self, name: str, default: str | None = None) -> re.Pattern[str]:
        """Return a regular expression in Java's notation, with [flags]."""
        source = self.text(name, default)
        flags = 0
        for flag in filter(None, self.text("flags", "").split("|")):
            if flag not in FLAGS:
                raise self.refuse(f"unknown regex flag [{flag}]")
            flags |= FLAGS[flag]
        if not flags & re.UNICODE:
            flags |= re.ASCII
        try:
            return re.compile(as_python(source), flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.refuse(f"[{name}] is not a regular expression: {error}") from error

    def replacement(self, name: str, default: str, pattern: re.Pattern[str]) -> str:
        """Return a replacement in Java's notation ($1, ${name}) as Python's."""
        value = self.text(name, default)
        out = re.sub(
            r"\\(.)|\$(?:(\d)|\{(\w+)\})|([\\$])",
            lambda m: _escaped(m[1]) if m[1] else f"\\g<{m[2] or m[3]}>" if m[2] or m[3] else "!!",
            value,
            flags=re.DOTALL,
        )
        try:
            re.sub(pattern.pattern + "|", out, "", flags=pattern.flags)
        except (re.error, IndexError) as error:
            raise self.refuse(f"[{name}] is not a replacement: {error}") from error
        return out


def _escaped(char: str) -> str:
    return "\\\\" if char == "\\" else char


def gram_sizes(p: Parameters, *, is_edge: bool) -> tuple[int, int]:
    low = p.number("min_gram", 1, 1, MAX_GRAM)
    high = p.number("max_gram", max(2, low), 1, MAX_GRAM)
    if low > high:
        raise p.refuse(f"[min_gram] of {low} is above [max_gram] of {high}")
    if not is_edge and high - low > MAX_NGRAM_DIFF:
        raise p.refuse(
            f"the difference between [max_gram] and [min_gram] must be at most {MAX_NGRAM_DIFF}, "
            f"not {high - low}"
        )
    return low, high
