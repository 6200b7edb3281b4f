from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from index.errors import CorruptionError, InvalidRequestError, StorageError
from index.schema import Schema, SchemaRef
from pipeline.index_store import (
    IndexMeta,
    IndexStore,
    InvalidIndexNameError,
    check_index_name,
    parse_index_body,
)

MAPPING = {"properties": {"title": {"type": "text"}}}


def meta(schema: Schema) -> IndexMeta:
    return IndexMeta("docs", "u1", 5, {"number_of_shards": 2}, msgspec.Raw(schema.to_json()))


def test_an_index_reads_back(tmp_path: Path) -> None:
    schema = Schema.from_mapping(MAPPING)
    IndexStore(tmp_path / "docs").save(meta(schema), schema)
    stored = IndexStore(tmp_path / "docs").load()
    assert stored is not None
    assert (stored[0].name, stored[0].settings) == ("docs", {"number_of_shards": 2})
    assert stored[1] == schema


def test_a_grown_schema_replaces_the_one_on_disk(tmp_path: Path) -> None:
    store, schema = IndexStore(tmp_path / "docs"), Schema.from_mapping(MAPPING)
    store.save(meta(schema), schema)
    grown = schema.merged({"properties": {"n": {"type": "long"}}})
    store.save_schema(meta(schema), SchemaRef(grown))
    stored = store.load()
    assert stored is not None
    assert stored[1].field("n") is not None


def test_an_unchanged_schema_is_not_written_again(tmp_path: Path) -> None:
    store, schema = IndexStore(tmp_path / "docs"), Schema.from_mapping(MAPPING)
    store.save(meta(schema), schema)
    before = (tmp_path / "docs" / "index.json").stat()
    store.save_schema(meta(schema), SchemaRef(schema))
    assert (tmp_path / "docs" / "index.json").stat().st_ino == before.st_ino


def test_who_had_to_wait_writes_the_schema_of_now(tmp_path: Path) -> None:
    """Else a slow writer would put an old schema over one that segments need."""
    store, schema = IndexStore(tmp_path / "docs"), Schema.from_mapping(MAPPING)
    store.save(meta(schema), schema)
    ref = SchemaRef(schema.merged({"properties": {"n": {"type": "long"}}}))
    waiting = Thread(target=store.save_schema, args=(meta(schema), ref))
    with store._lock:
        waiting.start()
        ref.current = ref.current.merged({"properties": {"m": {"type": "long"}}})
    waiting.join()
    stored = store.load()
    assert stored is not None
    assert stored[1].field("m") is not None


def test_a_full_disk_is_an_error_of_the_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(file: int) -> None:
        raise OSError(28, "no space left on device")

    schema = Schema.from_mapping(MAPPING)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="no space"):
        IndexStore(tmp_path / "docs").save(meta(schema), schema)


def test_a_folder_without_the_file_holds_no_index(tmp_path: Path) -> None:
    assert IndexStore(tmp_path).load() is None


def test_a_leftover_of_a_torn_write_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "index.json.tmp").write_text("{")
    assert IndexStore(tmp_path).load() is None


@pytest.mark.parametrize("data", ["", "{", "[]", '{"name":"docs"}', '{"format":9}'])
def test_a_damaged_file_is_named(tmp_path: Path, data: str) -> None:
    (tmp_path / "index.json").write_text(data)
    with pytest.raises(CorruptionError, match=r"index\.json at byte 0"):
        IndexStore(tmp_path).load()


@pytest.mark.parametrize("name", ["docs", "a.b-c_d", "1", "übung", "x" * 255])
def test_good_names_are_taken(name: str) -> None:
    assert check_index_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "Docs", "_all", "-x", "+x", ".x", "a b", "a,b", "a/b", "a*", "a:b", "a#"),
        *("x" * 256, "a\x00", "a\n", "é" * 128),
    ],
)
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidIndexNameError, match="invalid index name"):
        check_index_name(name)


def test_settings_come_nested_flat_or_dotted() -> None:
    shapes: list[dict[str, Any]] = [
        {"index": {"number_of_shards": 3}},
        {"index.number_of_shards": "3"},
        {"number_of_shards": 3},
    ]
    for settings in shapes:
        assert parse_index_body({"settings": settings}).settings["number_of_shards"] == 3


def test_an_empty_body_has_one_shard() -> None:
    assert parse_index_body(None).settings == {"number_of_shards": 1}


@pytest.mark.parametrize(
    "body",
    [
        {"aliases": {"a": {}}},
        {"mapping": {}},
        {"settings": []},
        {"mappings": "x"},
        {"settings": {"number_of_shards": 0}},
        {"settings": {"number_of_shards": True}},
        {"settings": {"number_of_shards": "²"}},
        {"settings": {"codec": "best"}},
    ],
)
def test_a_body_that_would_not_have_its_effect_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        parse_index_body(body)


def test_what_other_clients_send_and_needs_no_effect_is_taken() -> None:
    body = {"settings": {"number_of_replicas": 1, "refresh_interval": "30s"}, "aliases": {}}
    assert parse_index_body(body).settings["refresh_interval"] == "30s"
