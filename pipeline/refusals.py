"""Well-formed writes that the index turns down: a create of what exists, an update of nothing.

Who wrote over HTTP into a log that only this node reads is told in the answer. A producer is told
nothing: its record goes to the dead letters, as everything else that did not become a document.
A version that is too low is no refusal: the newer document is what was wanted.
"""

from __future__ import annotations

from collections.abc import Callable

from index.document import DocumentEvent, Op, Outcome
from index.engine import Applied
from index.errors import DocumentNotFoundError, TailraceError, VersionConflictError
from pipeline.decoding import Decoded
from pipeline.events import Rejected

FindRefused = Callable[[Decoded, Applied], list[Rejected]]


def find_refused(decoded: Decoded, applied: Applied) -> list[Rejected]:
    """Return the records of refused writes. Costs nothing to speak of where there is none."""
    outcomes = applied.outcomes
    if Outcome.CONFLICT not in outcomes and Outcome.NOT_FOUND not in outcomes:
        return []
    refused = []
    for number, outcome in enumerate(outcomes):
        error = _to_error(decoded.events[number], outcome)
        if error is not None:
            refused.append(Rejected(decoded.records[number], error.type, str(error)))
    return refused


def refuse_by_answer(decoded: Decoded, applied: Applied) -> list[Rejected]:
    """Return nothing: every writer waits for an answer."""
    return []


def _to_error(event: DocumentEvent, outcome: Outcome) -> TailraceError | None:
    key = event.key.decode(errors="replace")
    if event.op is Op.CREATE and outcome is Outcome.CONFLICT:
        return VersionConflictError(f"[{key}]: version conflict, document already exists")
    if event.op is Op.UPDATE and outcome is Outcome.NOT_FOUND:
        return DocumentNotFoundError(f"[{key}]: document missing")
    return None
