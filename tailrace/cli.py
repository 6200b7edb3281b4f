"""The command line: parses, calls, and turns errors into one line and an exit code.

Exit codes: 0 done, 1 failed, 2 usage. What a command needs is imported when it runs, so that
`--help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Flags = dict[str, tuple[tuple[str, ...], Any]]
"""Flag -> the key that it sets, and the value."""

F = TypeVar("F", bound=Callable[..., Any])


def _set_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.find_root().ensure_object(dict)["debug"] = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error.",
)


def config_option(command: F) -> F:
    return click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file to read."
    )(command)


def serve_options(command: F) -> F:
    """Add what overrides the configuration file."""
    for decorate in (
        click.option("--topic", metavar="T[,T]", help="Topics to read, each into its own index."),
        click.option("--kafka", metavar="HOST:PORT", help="Kafka cluster to read from."),
        click.option("--port", metavar="PORT", help="Port to listen on. [default: 7400]"),
        click.option("--host", metavar="ADDRESS", help="Address to listen on."),
        click.option("--data", metavar="DIR", help="Directory of everything that is kept."),
    ):
        command = decorate(command)
    return config_option(command)


def url_option(command: F) -> F:
    return click.option(
        "--url", metavar="URL", help="Server to ask. [default: the configured host and port]"
    )(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tailrace", prog_name="tailrace")
@debug_option
def cli() -> None:
    """Tail a Kafka topic, search it live, trace every document."""


@cli.command()
@serve_options
@debug_option
def serve(**options: Any) -> int:
    """Serve indexes over HTTP and WebSocket; fed by Kafka or by HTTP itself."""
    file, flags = _flags_of(options)
    from tailrace.settings import load_settings

    settings = load_settings(file, flags=flags).settings
    from tailrace.listener import listen
    from tailrace.warm import warm_kernels

    with listen(settings.server.host, settings.server.port) as listener:
        warm_kernels()  # before what imports the kernels without a word
        from tailrace.app import serve as run

        return run(settings, listener)


@cli.command()
@click.option("--port", metavar="PORT", help="Port to listen on. [default: 7400]")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    default=500.0,
    show_default=True,
    metavar="DOCS_PER_S",
    help="Documents a second that the producer sends.",
)
@debug_option
def demo(port: str | None, rate: float) -> int:
    """Show it: a Kafka broker, two real change streams, and a page to search them live."""
    from tailrace.demo import run_demo

    return run_demo(port=port, rate=rate)


@cli.command()
@click.argument("index")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--id", "id_field", metavar="FIELD", help="Field that is the document id.")
@click.option(
    "--batch", type=click.IntRange(1, 10_000), default=1_000, show_default=True, help="Docs a call."
)
@click.option("--restart", is_flag=True, help="Begin again, also where an earlier load stopped.")
@url_option
@config_option
@debug_option
def load(
    index: str,
    files: tuple[str, ...],
    id_field: str | None,
    batch: int,
    restart: bool,
    url: str | None,
    config: Path | None,
) -> int:
    """Load NDJSON files (plain, .gz, .zst; - is stdin) into INDEX.

    The id of a document is its `_id`, else its `id`, else FILE:LINE. A load that was
    interrupted goes on where it stopped when the same command is given again.
    """
    from tailrace.load import LoadPlan, run_load

    plan = LoadPlan(index, files, id_field=id_field, batch_docs=batch, is_restart=restart)
    return run_load(_url_of(url, config), plan)


@cli.command()
@click.argument("index")
@click.argument("query")
@click.option("--size", type=click.IntRange(0, 10_000), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer as it is.")
@url_option
@config_option
@debug_option
def search(
    index: str, query: str, size: int, as_json: bool, url: str | None, config: Path | None
) -> int:
    """Search INDEX once, with the query-string syntax."""
    from tailrace.ask import print_answer, print_hits, run_search

    printer = print_answer if as_json else print_hits
    return run_search(_url_of(url, config), index, query, size, printer)


@cli.command()
@click.argument("index")
@click.argument("query")
@click.option("--json", "as_json", is_flag=True, help="Print each message as it is.")
@url_option
@config_option
@debug_option
def tail(index: str, query: str, as_json: bool, url: str | None, config: Path | None) -> int:
    """Print each document of INDEX that matches QUERY as it becomes searchable."""
    from tailrace.tail import format_hit, format_message, run_tail

    return run_tail(_url_of(url, config), index, query, format_message if as_json else format_hit)


@cli.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@debug_option
def verify(directory: Path, as_json: bool) -> int:
    """Check every checksum and invariant of a data directory: exit 0 sound, 1 damaged."""
    if not directory.is_dir():
        raise click.UsageError(f"{directory}: no such directory")
    from tailrace.verify import NothingToCheckError, print_json, print_lines, run_verify

    try:
        return run_verify(directory, print_json if as_json else print_lines)
    except NothingToCheckError as error:
        raise click.UsageError(str(error)) from error


@cli.command()
@serve_options
@debug_option
def config(**options: Any) -> int:
    """Print the effective configuration and where each value came from."""
    file, flags = _flags_of(options)
    from tailrace.settings import format_entry, load_settings

    for entry in load_settings(file, flags=flags).entries():
        click.echo(format_entry(*entry))
    return 0


@cli.command()
@debug_option
def warm() -> int:
    """Compile the kernels now, so that no later start has to."""
    from tailrace.warm import warm_kernels

    seconds = warm_kernels()
    click.echo(f"kernels ready after {seconds:.1f} s")
    return 0


def _flags_of(options: dict[str, Any]) -> tuple[Path | None, Flags]:
    """Return the configuration file, and each flag with the key that it sets."""
    topic, kafka = options["topic"], options["kafka"]
    if (topic is None) != (kafka is None):
        raise click.UsageError("--kafka and --topic need each other")
    flags: Flags = {
        "--host": (("server", "host"), options["host"]),
        "--port": (("server", "port"), options["port"]),
        "--data": (("storage", "data"), options["data"]),
    }
    topics = [name.strip() for name in (topic or "").split(",") if name.strip()]
    if topic is not None and not topics:
        raise click.UsageError("--topic names no topic")
    for name in topics:
        source = {"type": "kafka", "bootstrap": kafka, "topics": [name]}
        flags[f"--topic {name}"] = (("indexes", name, "source"), source)
    return options["config"], flags


def _url_of(url: str | None, config: Path | None) -> str:
    if url is not None:
        return url.rstrip("/")
    from tailrace.settings import load_settings

    server = load_settings(config).settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"http://{host}:{server.port}"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    state: dict[str, bool] = {}
    try:
        code = cli.main(arguments, prog_name="tailrace", standalone_mode=False, obj=state)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        _report(error, error.format_message(), state)
        sys.exit(EXIT_USAGE)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; there is nobody to tell
        sys.exit(EXIT_FAILED)
    except Exception as error:
        _report(error, _describe(error), state)
        sys.exit(EXIT_USAGE if _is_usage(error) else EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)


def _is_usage(error: Exception) -> bool:
    from tailrace.settings import ConfigError

    return isinstance(error, ConfigError)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error) or type(error).__name__


def _report(error: Exception, message: str, state: dict[str, bool]) -> None:
    if state.get("debug"):
        traceback.print_exception(error)
    click.echo(f"tailrace: {' '.join(message.split())}", err=True)
