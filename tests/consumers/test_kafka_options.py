from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from consumers.kafka import KafkaOptions, KafkaSecurity, KafkaSource


def test_a_secure_cluster_is_spoken_to_with_names_checked() -> None:
    security = KafkaSecurity("SASL_SSL", None, "SCRAM-SHA-512", "me", "secret")
    arguments = KafkaOptions(security=security).consumer_arguments()
    context = arguments["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert arguments["sasl_mechanism"] == "SCRAM-SHA-512"
    assert arguments["sasl_plain_password"] == "secret"


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(KafkaOptions(security=KafkaSecurity(sasl_password="secret")))


def test_offsets_are_never_committed_or_reset_by_the_client() -> None:
    arguments = KafkaOptions().consumer_arguments()
    assert arguments["enable_auto_commit"] is False
    assert arguments["auto_offset_reset"] == "none"


def test_missing_certificates_are_told_before_anything_runs(tmp_path: Path) -> None:
    options = KafkaOptions(security=KafkaSecurity("SSL", tmp_path / "absent.pem"))
    with pytest.raises(FileNotFoundError):
        KafkaSource("localhost:1", ["t"], "g", options=options)
