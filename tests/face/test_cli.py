from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from tailrace.cli import cli, main

COMMANDS = ("serve", "demo", "load", "search", "tail", "verify", "config", "warm")


class Outcome:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> object:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        captured = capsys.readouterr()
        return Outcome(int(left.value.code or 0), captured.out, captured.err)

    return call


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "--debug" in result.output


def test_without_a_command_the_help_is_readable_and_exit_2(run) -> None:
    outcome = run()
    assert outcome.code == 2
    assert "\n  serve " in outcome.err


def test_a_file_that_is_not_there_is_named(run) -> None:
    outcome = run("load", "articles", "none.ndjson")
    assert outcome.code == 1
    assert outcome.err == "tailrace: none.ndjson: no such file or directory\n"


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert all(f"  {command} " in result.output for command in COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys; from click.testing import CliRunner; from tailrace.cli import cli; "
        "CliRunner().invoke(cli, ['--help']); "
        "print([m for m in ('numba', 'numpy', 'aiohttp', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "articles"], "Missing argument 'QUERY'"),
        (["sarch"], "No such command 'sarch'"),
        (["verify", "no-such-directory"], "no-such-directory: no such directory"),
        (["serve", "--topic", "a"], "--kafka and --topic need each other"),
        (["serve", "--kafka", "h:1", "--topic", ","], "--topic names no topic"),
        (["config", "--port", "x"], "flag --port: server.port: expected a whole number"),
        (["config", "--host", "0.0.0.0"], "insecure = true"),
        (["config", "--config", "none.toml"], "none.toml: no such file"),
        (["demo", "--rate", "0"], "--rate"),
        (["search", "a", "b", "--size", "-1"], "--size"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, arguments: list[str], said: str) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.startswith("tailrace: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", [["search", "a", "b"], ["tail", "a", "b"]])
def test_an_absent_server_is_one_line_and_exit_1(run, command: list[str]) -> None:
    outcome = run(*command, "--url", "http://127.0.0.1:1")
    assert outcome.code == 1
    assert outcome.err == "tailrace: http://127.0.0.1:1: no answer (connection refused)\n"


def test_debug_shows_the_traceback(run) -> None:
    outcome = run("search", "--debug", "a", "b", "--url", "http://127.0.0.1:1")
    assert outcome.code == 1
    assert "Traceback" in outcome.err


def test_config_prints_toml_with_the_origin_of_each_value(run, monkeypatch) -> None:
    monkeypatch.setenv("TAILRACE_SERVER__DRAIN_S", "3")
    outcome = run("config", "--port", "7555", "--kafka", "k:9092", "--topic", "articles,notes")
    assert outcome.code == 0
    printed = tomllib.loads(outcome.out)
    assert printed["server"] == {
        "host": "127.0.0.1",
        "port": 7555,
        "insecure": False,
        "drain_s": 3.0,
    }
    assert list(printed["indexes"]) == ["articles", "notes"]
    assert printed["indexes"]["notes"]["source"]["topics"] == ["notes"]
    assert "server.port = 7555  # flag --port" in outcome.out
    assert "server.drain_s = 3.0  # variable TAILRACE_SERVER__DRAIN_S" in outcome.out
    assert 'server.host = "127.0.0.1"  # default' in outcome.out


def test_the_configured_port_is_where_commands_ask(run, monkeypatch) -> None:
    monkeypatch.setenv("TAILRACE_SERVER__PORT", "1")
    assert "http://127.0.0.1:1: no answer" in run("search", "a", "b").err
