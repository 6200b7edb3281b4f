"""Turns what a validator found into one line that names place, key and expectation."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

KeyPath = tuple[str, ...]

# pydantic's error type -> what was expected; `{...}` come from the error's own context
EXPECTATIONS: Mapping[str, str] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_parsing": "a number",
    "float_type": "a number",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "less_than_equal": "a number of at most {le}",
    "list_type": "a list, or names with commas between",
    "literal_error": "one of {expected}",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "path_type": "a path",
    "string_type": "a text",
    "too_short": "at least {min_length} of them",
    "value_error": "{error}",
}


def describe_problems(
    error: ValidationError, model: type[BaseModel], origin_of: Callable[[KeyPath], str]
) -> str:
    """Return every problem of `error` as one line; `origin_of` tells where a key was set."""
    lines = []
    for problem in error.errors(include_url=False):
        path = tuple(str(part) for part in problem["loc"] if part != "[key]")
        lines.append(f"{origin_of(path)}: {_describe(problem, path, model)}")
    return "; ".join(dict.fromkeys(lines))


def _describe(problem: Any, path: KeyPath, model: type[BaseModel]) -> str:
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}; {_known_keys(path, model)}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    template = EXPECTATIONS.get(problem["type"])
    context = problem.get("ctx", {})
    expected = template.format(**context) if template else problem["msg"].lower()
    if not key:
        return expected
    if context.get("hidden") or isinstance(problem["input"], dict | list):
        return f"{key}: expected {expected}"
    return f"{key}: expected {expected}, found {_shorten(problem['input'])}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(path: KeyPath, model: type[BaseModel]) -> str:
    known = sorted(fields_at(path[:-1], model))
    near = difflib.get_close_matches(path[-1], known, n=1)
    if near:
        return f"did you mean {near[0]}? known here: {', '.join(known)}"
    return f"known here: {', '.join(known)}"


def fields_at(path: Sequence[str], model: type[BaseModel]) -> Mapping[str, Any]:
    """Return the fields of the model found by walking `path` down from `model`."""
    current: type[BaseModel] = model
    parts = list(path)
    while parts:
        annotation: Any = current.model_fields[parts.pop(0)].annotation
        if get_origin(annotation) is dict:  # a table of named things: the name is one step
            if not parts:
                return {}
            parts.pop(0)
            annotation = get_args(annotation)[1]
        current = annotation
    return current.model_fields
