"""docs/configuration.md says what the settings are: every key, with its default, and no other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tailrace.sections import IndexSection
from tailrace.settings import Settings, format_value, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([a-zA-Z_.]+\.[a-z_.]+)` \| (?:`([^`]*)`|not set) \| (.+) \|$", re.M)


def keys_of(model: type[BaseModel], path: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        key = f"{path}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys_of(field.annotation, f"{key}.")
        elif key != "indexes":
            yield key, field.default


def test_every_key_is_documented_with_its_default() -> None:
    keys = [*keys_of(Settings, ""), *keys_of(IndexSection, "indexes.NAME.")]
    expected = {key: "" if default is None else format_value(default) for key, default in keys}
    documented = {key: default for key, default, _ in ROW.findall(PAGE.read_text())}
    assert documented == expected


def test_every_key_has_an_effect_described() -> None:
    assert all(len(effect.strip()) > 10 for _, _, effect in ROW.findall(PAGE.read_text()))


def test_the_example_is_valid(tmp_path: Path) -> None:
    example = re.findall(r"```toml\n(.+?)```", PAGE.read_text(), re.S)[0]
    file = tmp_path / "example.toml"
    file.write_text(example)
    settings = load_settings(file, environ={}).settings
    assert list(settings.indexes) == list(tomllib.loads(example)["indexes"]) == ["articles"]
