"""Logging to stderr: one line an event, the fields behind the message."""

from __future__ import annotations

import logging
import sys

ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
NOISY = ("aiokafka", "asyncio", "numba")


class FieldFormatter(logging.Formatter):
    """Writes `time level logger: message key=value ...`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        fields = (f"{name}={value}" for name, value in vars(record).items() if name not in ORDINARY)
        return " ".join([line, *fields])


def set_up_logging(level: str) -> None:
    """Send what is at least this severe to stderr; of chatty libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
