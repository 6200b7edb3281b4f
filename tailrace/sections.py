"""What a user can set: every key with its type, its default and its effect.

`docs/configuration.md` lists the same keys; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    create_model,
    model_validator,
)

from index.analysis.definitions import read_settings
from index.errors import InvalidRequestError, MappingError
from index.options import CheckOnOpen, IndexOptions
from index.schema import Schema
from pipeline.options import PipelineOptions
from server.limits import Limits

BOUNDS: Mapping[str, tuple[int, int | None]] = {
    "memtable_bytes": (1 << 20, None),
    "merge_factor": (2, 64),
    "stored_block_bytes": (1 << 10, 1 << 24),
    "zstd_level": (1, 19),
    "max_batch_bytes": (1 << 10, None),
    "query_threads": (1, 64),
    "merge_cpu_share": (0, 1),
    "disk_merge_share": (0, 1),
    "disk_pause_share": (0, 1),
    "disk_read_only_share": (0, 1),
    "disk_hysteresis_share": (0, 1),
    "disk_headroom_bytes": (0, None),
    "disk_reserve_bytes": (1, None),
}
"""Least and most of a key, where they are not 1 and anything."""

WORDS: Mapping[str, Any] = {"check_on_open": CheckOnOpen}
"""What a key takes that is no number."""

SET_ELSEWHERE = frozenset({"drain_s", "otlp_endpoint", "sample_ratio"})
"""Options of the pipeline whose keys stand in another section."""

INDEX_NAME = re.compile(r"^[^-_+.A-Z\\/*?\"<>| ,#:][^A-Z\\/*?\"<>| ,#:]*$")

HOST_PORT = re.compile(r"(?:[^\s:\[\]]+|\[[0-9A-Fa-f:.%]+\]):([0-9]{1,5})")


def _refuse_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


def _split_commas(value: Any) -> Any:
    """Let `a,b` of a variable or a flag stand for a list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _parse_json(value: Any) -> Any:
    """Let a variable hold a table as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError("a table, or one JSON object in a variable") from error


def _check_analysis(value: dict[str, Any]) -> dict[str, Any]:
    try:
        return read_settings(value)
    except InvalidRequestError as error:
        raise ValueError(f"analyzers that can be made ({error})") from error


def _check_mapping(value: dict[str, Any], section: ValidationInfo) -> dict[str, Any]:
    try:
        Schema.from_mapping(value, analysis=section.data.get("analysis"))
    except MappingError as error:
        raise ValueError(f"a mapping that can be used ({error})") from error
    return value


def _read_secret(value: Any) -> Any:
    """Replace `file:PATH` by what the file holds, without the newline at its end."""
    if not isinstance(value, str) or not value.startswith("file:"):
        return value
    try:
        return Path(value[5:]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError("file: and the path of a readable text file") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_bootstrap(value: str) -> str:
    for server in filter(None, value.split(",")):
        match = HOST_PORT.fullmatch(server.strip())
        if match is None or not 1 <= int(match[1]) <= 65535:
            raise ValueError(f"HOST:PORT[,HOST:PORT], not {server.strip()!r}")
    return value


def _check_index_name(name: str) -> str:
    if len(name.encode()) > 255 or not INDEX_NAME.match(name):
        raise ValueError(
            'an index name: lower case, without \\ / * ? " < > | , # : or blanks, '
            "not beginning with - _ + or ."
        )
    return name


Whole = Annotated[int, BeforeValidator(_refuse_bool)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Positive = Annotated[Whole, Field(ge=1)]
Names = Annotated[list[str], BeforeValidator(_split_commas), Field(min_length=1)]
Secret = Annotated[SecretStr, BeforeValidator(_read_secret)]
IndexAnalysis = Annotated[
    dict[str, Any], BeforeValidator(_parse_json), AfterValidator(_check_analysis)
]
IndexMapping = Annotated[
    dict[str, Any], BeforeValidator(_parse_json), AfterValidator(_check_mapping)
]
Bootstrap = Annotated[str, AfterValidator(_check_bootstrap)]
IndexName = Annotated[str, AfterValidator(_check_index_name)]


class Section(BaseModel):
    """A table of the file: knows its keys, cannot be changed, and takes no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSection(Section):
    host: str = "127.0.0.1"
    """Address to listen on. One that is not loopback needs `insecure = true`."""

    port: Annotated[Whole, Field(ge=0, le=65535)] = 7400
    """Port to listen on; 0 takes a free one."""

    insecure: bool = False
    """Serve a non-loopback address although nobody has to log in."""

    drain_s: Annotated[Number, Field(gt=0, le=600)] = 9.0
    """Longest wait for open requests, the last flush and the last commit at the end."""

    @model_validator(mode="after")
    def _refuse_open_doors(self) -> ServerSection:
        if not _is_loopback(self.host) and not self.insecure:
            raise ValueError(
                f"a loopback address for host, or insecure = true: {self.host} can be reached "
                "by others and there is no login"
            )
        return self


def _section_of(
    name: str, options: Any, *, without: frozenset[str] = frozenset(), **more: Any
) -> type[Section]:
    """Make a section with the keys and defaults of a frozen dataclass, and `more` before them.

    The dataclass holds what each key does; nothing is said twice.
    """
    keys: dict[str, Any] = dict(more)
    for option in fields(options):
        if option.name not in without:
            keys[option.name] = (_type_of(option.name, option.default), option.default)
    return create_model(name, __base__=Section, **keys)


def _type_of(name: str, default: Any) -> Any:
    if name in WORDS:
        return WORDS[name]
    least, most = BOUNDS.get(name, (None, None))
    if isinstance(default, int):
        return Annotated[Whole, Field(ge=least or 1, le=most)]
    return Annotated[Number, Field(gt=0, le=most)]


class SourceSection(Section):
    type: Literal["kafka", "log"] = "log"
    """`kafka`, or `log`: the embedded log, which documents reach over HTTP."""

    bootstrap: Bootstrap = ""
    """`HOST:PORT[,HOST:PORT]` of the Kafka cluster."""

    topics: Names | None = None
    """Topics to read; absent, the one with the index's name."""

    group: str | None = None
    """Consumer group; absent, `tailrace-NAME`: a group for each index, so that a rebalance of
    one does not stop another."""

    session_timeout_s: Annotated[Number, Field(ge=0.5, le=600)] = 45.0
    """How long the group waits for a server that does not answer any more, before the others, or
    the same one started again, get its partitions. Smaller than 6: the broker's
    `group.min.session.timeout.ms` has to allow it."""

    metadata_max_age_s: Annotated[Number, Field(ge=0.5, le=3600)] = 60.0
    """Partitions that are added to a topic are seen within this time."""

    on_data_gap: Literal["stop", "skip"] = "stop"
    """What to do where Kafka's retention has passed a shard, so that records are lost to the
    index: `stop` the partition, or `skip` to what is left and remember what was lost."""

    partitions: Annotated[Whole, Field(ge=1, le=1024)] = 1
    """Partitions, so shards, of the embedded log. Fixed once the index exists."""

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to speak to Kafka."""

    ssl_cafile: Path | None = None
    """Certificates to trust; absent, those of the system."""

    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How to log in to Kafka."""

    sasl_username: str | None = None
    """Who logs in to Kafka."""

    sasl_password: Secret | None = None
    """Password of `sasl_username`; `file:PATH` reads it from a file."""

    @model_validator(mode="after")
    def _require_a_cluster(self) -> SourceSection:
        if self.type == "kafka" and not self.bootstrap:
            raise ValueError('bootstrap = "HOST:PORT" for a source of type kafka')
        if self.type == "log" and (self.bootstrap or self.topics):
            raise ValueError('type = "kafka" for a source with bootstrap or topics')
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise ValueError(f"sasl_username for security_protocol {self.security_protocol}")
        return self


class IndexSection(Section):
    source: SourceSection = SourceSection()
    """Where documents come from."""

    analysis: IndexAnalysis = {}
    """Analyzers of the index's own, as OpenSearch's `settings.analysis`. Fixed once the index
    exists."""

    mapping: IndexMapping = {}
    """The mapping as OpenSearch writes it: `properties`, `dynamic`; absent = dynamic."""


class TelemetrySection(Section):
    otlp_endpoint: str = ""
    """URL of an OpenTelemetry collector; empty = no traces. Default: the variable
    `OTEL_EXPORTER_OTLP_ENDPOINT`."""

    sample_ratio: Annotated[Number, Field(ge=0, le=1)] = 0.001
    """Share of documents without a `traceparent` that get a trace."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged to stderr."""


StorageSection = _section_of("StorageSection", IndexOptions, data=(Path, Path("./tailrace-data")))
PipelineSection = _section_of("PipelineSection", PipelineOptions, without=SET_ELSEWHERE)
LimitsSection = _section_of("LimitsSection", Limits)
