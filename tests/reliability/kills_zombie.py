"""A server that was held while another took its data directory over, and that goes on then.

It is held by SIGSTOP, its lock file is taken away, a second process serves the directory; then it
goes on in the middle of what it did. It must find out before anything it does counts, and end.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from tests.reliability.kills_brokers import Broker
from tests.reliability.kills_checks import check_sound, check_union
from tests.reliability.kills_clients import producing
from tests.reliability.kills_journal import read_journal
from tests.reliability.kills_launch import Launch
from tests.reliability.kills_servers import Group, Member
from tests.reliability.kills_topic import Topic
from tests.reliability.program import Violation

PRODUCED_PER_S = 400
BUSY_S = 1.0
"""How long there is something to do before and after the change of owners."""
END_S = 20.0
QUIET_S = 60.0
AT_PLACE_S = 5.0
SEED = 1


PLACES = (
    "publish before",
    "write_manifest before",
    "write_file before",
    "sync_names before",
    "publish after",
    "delete before",
    "remove_orphans before",
    "install before",
    "take_over before",
    "take_over after",
    "require_owned after",
)
"""Where to hold it: between what it saw and what it does about it."""


async def play_zombie(
    case: str, folder: Path, broker: Broker, launch: Launch, place: str = ""
) -> None:
    """Hold the server anywhere, or at a place. Raises: Violation."""
    variables = {
        "TAILRACE_INDEXES__EVENTS__SOURCE__SESSION_TIMEOUT_S": str(broker.session_s),
        **broker.variables,
    }
    first = Member("first", folder / "first", launch, broker.bootstrap, **variables)
    second = Member(
        "second", folder / "second", launch, broker.bootstrap, data=first.data, **variables
    )
    try:
        async with AsyncExitStack() as stack:
            await broker.create_topic()
            journal = folder / "producer.journal"
            producer = await stack.enter_async_context(
                producing(broker.bootstrap, journal, SEED, PRODUCED_PER_S)
            )
            await producer.tell("go")
            first.start()
            await first.wait_answer()
            await asyncio.sleep(BUSY_S)
            await hold(first, place)
            (first.data / "node.lock").unlink()
            second.start()
            await second.wait_answer()
            first.send(signal.SIGCONT)
            code = await first.wait_end(END_S)
            check_last_words(code, first.errors())
            await asyncio.sleep(BUSY_S)
            await producer.tell("pause")
            topic = Topic(broker.bootstrap)
            await Group([second], lambda: case).wait_quiet(topic, broker.n_partitions, QUIET_S)
            topic.check_acknowledged(read_journal(journal))
            await check_union([second], topic.live.values())
        second.send(signal.SIGTERM)
        code = await second.wait_end(END_S)
        assert code == 0, f"the second server ended with {code}: {second.errors()}"
        check_sound(second.data)
    except Violation:
        raise
    except AssertionError as error:
        raise Violation(case, str(error)) from error
    finally:
        await first.kill()
        await second.kill()


async def hold(member: Member, place: str) -> None:
    """Stop a server, at the place where it comes by there."""
    if place.startswith("take_over"):
        await member.kill()
        member.start(f"{place} 2 hold")
    elif place:
        member.give_order(f"{place} 3 hold")
    if not place or not await member.wait_held(AT_PLACE_S):
        member.send(signal.SIGSTOP)
    member.order.unlink(missing_ok=True)


def check_last_words(code: int | None, errors: str) -> None:
    """Fail where a server that lost its directory goes on, or does not say why it ends."""
    assert code == 1, f"the first server ended with {code}: {errors}"
    last = errors.strip().splitlines()[-1]
    assert last.startswith("tailrace: "), f"its last line is {last}"
    assert "another process" in last or "another owner" in last, f"its last line is {last}"
    assert errors.count("\ntailrace: ") == 1, errors
