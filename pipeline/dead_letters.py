"""Dead letters: the records that became no document, written where somebody may look at them.

No checkpoint passes a record that is in neither place, so a letter that its log will never take
would stop the shard for good. One that is too large goes without its value: the headers say where
in the log the record lies.
"""

from __future__ import annotations

import msgspec

from index.errors import InvalidRequestError
from pipeline.events import NewRecord
from pipeline.feed import Log

OMITTED = "tailrace.error.omitted"
OURS = "tailrace."


async def bury(log: Log, letters: list[NewRecord]) -> None:
    """Write `letters`, and take those out of the list that the log has: all of them, on return.

    Raises: what the log raises and another try, with what is left, may get over.
    """
    try:
        await log.append(letters)
    except InvalidRequestError:
        while letters:
            await _bury_one(log, letters[0])
            del letters[0]
    else:
        letters.clear()


async def _bury_one(log: Log, letter: NewRecord) -> None:
    try:
        await log.append([letter])
    except InvalidRequestError:
        without_value = _without_value(letter)
        try:
            await log.append([without_value])
        except InvalidRequestError:
            await log.append([_bare(without_value)])


def _without_value(letter: NewRecord) -> NewRecord:
    omitted = b"value of %d bytes is too large" % len(letter.value or b"")
    return msgspec.structs.replace(
        letter, value=None, headers=(*letter.headers, (OMITTED, omitted))
    )


def _bare(letter: NewRecord) -> NewRecord:
    """Return what we say of the record, without key and headers of its own."""
    ours = tuple(header for header in letter.headers if header[0].startswith(OURS))
    return msgspec.structs.replace(letter, key=None, headers=ours)
