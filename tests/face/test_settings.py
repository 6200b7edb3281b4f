from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from index.errors import InvalidRequestError
from tailrace.settings import ConfigError, Loaded, format_entry, format_value, load_settings

KAFKA = '[indexes.articles.source]\ntype = "kafka"\nbootstrap = "k:9092"\n'


class Layers:
    """A configuration file in a temporary directory, and what may stand above it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "tailrace.toml"

    def load(
        self, toml: str = "", environ: Mapping[str, str] | None = None, **flags: Any
    ) -> Loaded:
        self.file.write_text(toml, encoding="utf-8")
        return load_settings(self.file, flags=flags, environ=environ or {})

    def error(self, toml: str = "", environ: Mapping[str, str] | None = None, **flags: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(toml, environ, **flags)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    return Layers(tmp_path)


def test_without_anything_the_defaults_of_the_contract_hold() -> None:
    settings = load_settings(environ={}).settings
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7400)
    assert settings.storage.data == Path("tailrace-data")
    assert settings.indexes == {}


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(layers: Layers) -> None:
    toml = "[server]\nport = 1\ndrain_s = 1\n[telemetry]\nsample_ratio = 0.5\n"
    environ = {"TAILRACE_SERVER__PORT": "2", "TAILRACE_SERVER__DRAIN_S": "2"}
    loaded = layers.load(toml, environ, port=(("server", "port"), "3"))
    origins = {".".join(path): origin for path, _, origin in loaded.entries()}
    assert (loaded.settings.server.port, origins["server.port"]) == (3, "flag port")
    assert loaded.settings.server.drain_s == 2.0
    assert origins["server.drain_s"] == "variable TAILRACE_SERVER__DRAIN_S"
    assert (loaded.settings.telemetry.sample_ratio, origins["telemetry.sample_ratio"]) == (
        0.5,
        str(layers.file),
    )
    assert origins["server.host"] == "default"


def test_the_example_of_the_contract_is_understood(layers: Layers) -> None:
    loaded = layers.load(
        KAFKA
        + 'topics = ["articles"]\ngroup = "readers"\n'
        + "[indexes.articles.mapping.properties]\n"
        + 'title = { type = "text", analyzer = "english" }\n'
    )
    index = loaded.settings.indexes["articles"]
    assert index.source.topics == ["articles"]
    assert index.mapping == {"properties": {"title": {"type": "text", "analyzer": "english"}}}


def test_a_variable_reaches_into_an_index(layers: Layers) -> None:
    environ = {
        "TAILRACE_INDEXES__ARTICLES__SOURCE__TOPICS": "a, b",
        "TAILRACE_INDEXES__ARTICLES__MAPPING": '{"dynamic": "strict"}',
    }
    index = layers.load(KAFKA, environ).settings.indexes["articles"]
    assert index.source.topics == ["a", "b"]
    assert index.source.bootstrap == "k:9092"
    assert index.mapping == {"dynamic": "strict"}


def test_a_flag_may_set_part_of_what_the_file_describes(layers: Layers) -> None:
    source = {"type": "kafka", "bootstrap": "other:1"}
    loaded = layers.load(KAFKA + 'group = "g"\n', kafka=(("indexes", "articles", "source"), source))
    assert loaded.settings.indexes["articles"].source.bootstrap == "other:1"
    assert loaded.settings.indexes["articles"].source.group == "g"


def test_variables_without_a_section_are_not_ours(layers: Layers) -> None:
    environ = {"TAILRACE_TEST_REQUIRE": "all", "TAILRACE_PORT": "tcp://10.0.0.1:7400"}
    assert layers.load(environ=environ).settings.server.port == 7400


def test_the_collector_of_opentelemetry_is_found(layers: Layers) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}
    assert layers.load(environ=environ).settings.telemetry.otlp_endpoint == "http://c:4318"
    environ["TAILRACE_TELEMETRY__OTLP_ENDPOINT"] = "http://d:4318"
    assert layers.load(environ=environ).settings.telemetry.otlp_endpoint == "http://d:4318"


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[server]\nprot = 1", "unknown key server.prot; did you mean port?"),
        ("[serve]\nport = 1", "unknown key serve; did you mean server?"),
        ("[indexes.a.source]\nkind = 1", "unknown key indexes.a.source.kind"),
        ("[server]\nport = 'x'", "server.port: expected a whole number, found 'x'"),
        ("[server]\nport = true", "server.port: expected a number, found True"),
        ("[server]\nport = 1.5", "server.port: expected a whole number, found 1.5"),
        ("[server]\nport = 99999", "server.port: expected a number of at most 65535"),
        ("server = 3", "server: expected a table, found 3"),
        ("[storage]\nzstd_level = 0", "storage.zstd_level: expected a number of at least 1"),
        ("[limits]\nwait_s = 0", "limits.wait_s: expected a number above 0"),
        ("[telemetry]\nlog_level = 'loud'", "expected one of 'debug', 'info'"),
        ("[indexes.Articles]", "indexes.Articles: expected an index name"),
        ("[indexes.a.source]\ntype = 'kafka'", 'expected bootstrap = "HOST:PORT"'),
        ("[indexes.a.source]\ntopics = ['a']", 'expected type = "kafka"'),
        (KAFKA + "topics = []", "indexes.articles.source.topics: expected at least 1"),
        (KAFKA + "security_protocol = 'SASL_SSL'", "expected sasl_username"),
        ("[indexes.a]\nmapping = 3", "indexes.a.mapping: expected a table, found 3"),
        (
            "[indexes.a.analysis.analyzer]\nmine = {tokenizer = 'nope'}",
            "indexes.a.analysis: expected analyzers that can be made (analyzer [mine]: failed",
        ),
        (
            "[indexes.a.mapping.properties]\nt = {type = 'txt'}",
            "indexes.a.mapping: expected a mapping that can be used (no handler for type [txt]",
        ),
        ("port = [", "expected TOML"),
    ],
)
def test_an_error_names_file_key_and_expectation(layers: Layers, toml: str, said: str) -> None:
    message = layers.error(toml)
    assert message.startswith(f"{layers.file}: ")
    assert said in message


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"TAILRACE_SERVER__PORT": "x"}, "server.port: expected a whole number, found 'x'"),
        ({"TAILRACE_SERVER__PROT": "1"}, "unknown key server.prot; did you mean port?"),
        ({"TAILRACE_INDEXES__A__MAPPING": "{x"}, "one JSON object in a variable"),
    ],
)
def test_an_error_in_the_environment_names_the_variable(
    layers: Layers, environ: dict[str, str], said: str
) -> None:
    message = layers.error(environ=environ)
    assert message.startswith(f"variable {next(iter(environ))}: ")
    assert said in message


def test_an_error_in_a_flag_names_the_flag(layers: Layers) -> None:
    assert layers.error(port=(("server", "port"), "x")).startswith("flag port: server.port: ")


def test_every_problem_is_told_at_once(layers: Layers) -> None:
    message = layers.error("[server]\nport = 'x'\n[telemetry]\nsample_ratio = 2")
    assert "server.port" in message
    assert "telemetry.sample_ratio" in message


def test_a_value_where_another_layer_has_a_table_is_an_error(layers: Layers) -> None:
    message = layers.error('server = "x"', {"TAILRACE_SERVER__PORT": "1"})
    assert message == f"{layers.file}: server: variable TAILRACE_SERVER__PORT needs a table here"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        load_settings(tmp_path / "none.toml", environ={})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_open_door_is_refused_unless_wanted(layers: Layers, host: str) -> None:
    message = layers.error(f'[server]\nhost = "{host}"')
    assert "insecure = true" in message
    wanted = layers.load(f'[server]\nhost = "{host}"\ninsecure = true')
    assert wanted.settings.server.host == host


def test_a_secret_is_read_from_its_file_and_never_printed(layers: Layers, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    toml = KAFKA + f'sasl_password = "file:{tmp_path}/password"\n'
    loaded = layers.load(toml)
    password = loaded.settings.indexes["articles"].source.sasl_password
    assert password is not None
    assert password.get_secret_value() == "s3cret"
    printed = "\n".join(format_entry(*entry) for entry in loaded.entries())
    assert "s3cret" not in printed
    assert 'sasl_password = "********"' in printed


def test_a_secret_that_cannot_be_read_names_key_and_path(layers: Layers) -> None:
    message = layers.error(KAFKA + 'sasl_password = "file:/none/at/all"\n')
    assert "indexes.articles.source.sasl_password" in message
    assert "/none/at/all" in message


@pytest.mark.parametrize(
    ("value", "toml"),
    [
        (True, "true"),
        (5, "5"),
        (0.5, "0.5"),
        ('a "b"', '"a \\"b\\""'),
        (["a", 1], '["a", 1]'),
        ({}, "{}"),
        ({"a": {"b": False}}, '{ "a" = { "b" = false } }'),
    ],
)
def test_values_are_printed_as_toml(value: object, toml: str) -> None:
    assert format_value(value) == toml


@pytest.mark.parametrize(
    "name",
    ["a", "ä", "a.b", "a-b_c", "0", "A", "-a", "_a", "+a", ".a", "..", "a*", "a b", "a#", "a:b"],
)
def test_index_names_are_those_that_the_node_takes(layers: Layers, name: str) -> None:
    from pipeline.index_store import check_index_name

    section = {"type": "kafka", "bootstrap": "k:1"}
    flags = {"topic": (("indexes", name, "source"), section)}
    try:
        check_index_name(name)
    except InvalidRequestError:
        assert "expected an index name" in layers.error(**flags)
    else:
        assert list(layers.load(**flags).settings.indexes) == [name]


@pytest.mark.parametrize("bootstrap", ["k", "k:9092,other", "k:0", "k:99999", ":9092", "::1"])
def test_a_kafka_server_without_a_port_is_refused(layers: Layers, bootstrap: str) -> None:
    toml = f'[indexes.a.source]\ntype = "kafka"\nbootstrap = "{bootstrap}"\n'
    assert "indexes.a.source.bootstrap" in layers.error(toml)


def test_kafka_servers_may_be_several_and_ipv6(layers: Layers) -> None:
    toml = '[indexes.a.source]\ntype = "kafka"\nbootstrap = "k-1.x:9092, [::1]:9093"\n'
    layers.load(toml)
