"""One act: a broker, three servers of a group, those who write to them, and rounds of faults."""

from __future__ import annotations

import asyncio
import signal
import statistics
import sys
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from tests.reliability.kills_brokers import ApacheBroker, Broker
from tests.reliability.kills_checks import check_hints, check_local, check_sound, check_union
from tests.reliability.kills_clients import Client, producing
from tests.reliability.kills_faults import N_MEMBERS, Fault
from tests.reliability.kills_journal import read_journal
from tests.reliability.kills_launch import Launch
from tests.reliability.kills_servers import WITH_LOCAL, Group, Member
from tests.reliability.kills_topic import EVENTS, GROUP, Topic
from tests.reliability.program import Tally, Violation

PRODUCED_PER_S = 150
WRITTEN_PER_S = 40
QUIET_S = 60.0
TRIES = 3
AT_POINT_S = 3.0
STORM = 8
"""Times that one more member comes and goes."""
SAMPLE_S = 0.5
AT_START = frozenset({"open_engine", "take_over", "on_assigned"})
"""Places that a server passes as it starts, and seldom again."""


class Act:
    """`run` once. Raises: Violation."""

    def __init__(
        self,
        name: str,
        folder: Path,
        broker: Broker,
        launch: Launch,
        tally: Tally,
        seed: int,
        *,
        quiet_s: float = QUIET_S,
    ) -> None:
        """`quiet_s`: how soon all must be quiet after a round."""
        self.name = name
        self._folder = folder
        self._broker = broker
        self._tally = tally
        self._seed = seed
        self._quiet_s = quiet_s
        self._round = 0
        self._began = time.monotonic()
        sessions = {"TAILRACE_INDEXES__EVENTS__SOURCE__SESSION_TIMEOUT_S": str(broker.session_s)}
        self.members = [
            Member(
                f"server {number}",
                folder / f"server-{number}",
                launch,
                broker.bootstrap,
                **WITH_LOCAL,
                **sessions,
                **broker.variables,
            )
            for number in range(N_MEMBERS)
        ]
        self._group = Group(self.members, self.case)
        self._topic = Topic(broker.bootstrap)
        self._clients = [
            Client(member, number, folder / f"client-{number}.journal", seed + number)
            for number, member in enumerate(self.members)
        ]
        self._pending: dict[Member, asyncio.Task[None]] = {}
        """What still happens to a member that was killed or is held."""
        self._answering: dict[Member, asyncio.Task[None]] = {}
        """Until a member that was started answers."""
        self.recoveries: list[float] = []
        self._answered: list[float] = []

    def say(self, text: str) -> None:
        """Tell what is done, for who looks at a violation."""
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def case(self) -> str:
        return f"{self.name}.{self._round}"

    async def run(self, rounds: list[list[Fault]]) -> None:
        try:
            async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
                await self._broker.create_topic()
                journal = self._folder / "producer.journal"
                self._producer = await stack.enter_async_context(
                    producing(self._broker.bootstrap, journal, self._seed, PRODUCED_PER_S)
                )
                for member in self.members:
                    member.start()
                await asyncio.gather(*(member.wait_answer() for member in self.members))
                self.say("all answer")
                beside = [tasks.create_task(c.run(WRITTEN_PER_S)) for c in self._clients]
                beside.append(tasks.create_task(self._sample()))
                for number, faults in enumerate(rounds):
                    self._round = number
                    await self._play(faults)
                for task in beside:
                    task.cancel()
            await self._end_in_order()
        except* AssertionError as errors:
            first = _first(errors)
            if isinstance(first, Violation):
                raise first from None
            raise Violation(self.case(), str(first)) from first
        finally:
            await self._group.end()

    async def _play(self, faults: list[Fault]) -> None:
        await self._producer.tell("go")
        for client in self._clients:
            client.go()
        for fault in faults:
            await asyncio.sleep(fault.delay_s)
            await self._do(fault)
        await asyncio.gather(*self._pending.values())
        await asyncio.gather(*self._answering.values())
        self._pending.clear()
        self.say("pausing")
        await asyncio.gather(*(client.pause() for client in self._clients))
        self.say("clients paused")
        await self._producer.tell("pause")
        await self._check()

    # -- faults ------------------------------------------------------------------------------

    async def _do(self, fault: Fault) -> None:
        self._group_alive()
        self.say(f"{fault.kind} {fault.member} {fault.order} away {fault.lasts_s:g}")
        member = self.members[fault.member]
        if fault.kind not in ("kill_all", "kill_broker", "hold_broker", "storm", "add_partition"):
            await self._wait_free(member)
        do = getattr(self, f"_do_{fault.kind}")
        await do(fault, member)
        self._tally.n_cases += fault.n_kills

    async def _do_kill(self, fault: Fault, member: Member) -> None:
        await self._kill(member)
        self._later(member, self._restart(member, fault.lasts_s))

    async def _do_kill_twice(self, fault: Fault, member: Member) -> None:
        await self._kill(member)
        member.start()
        await asyncio.sleep(fault.lasts_s / 2)
        await self._do_kill(fault, member)

    async def _do_kill_all(self, fault: Fault, member: Member) -> None:
        for each in self.members:
            await self._wait_free(each)
        for each in self.members:
            each.send(signal.SIGKILL)
        for each in self.members:
            await self._kill(each)
            self._later(each, self._restart(each, fault.lasts_s))

    async def _do_kill_at(self, fault: Fault, member: Member) -> None:
        point = fault.order.split()[0]
        if point in AT_START:
            await self._drain(member)
            member.start(f"{point} {fault.order.split()[1]} 1")
            await member.wait_answer()
        else:
            await self._wait_serving(member)
            member.give_order(fault.order)
            if point == "on_revoked":
                await self._storm(1)
            await member.wait_end(AT_POINT_S)
        hit = not member.is_alive
        self._tally.note("at a named place" if hit else "place not met")
        await self._do_kill(fault, member)

    async def _do_hold(self, fault: Fault, member: Member) -> None:
        """Hold it for longer than its session: the group goes on without it."""
        self._tally.note("held")
        member.send(signal.SIGSTOP)

        async def go_on() -> None:
            await asyncio.sleep(self._broker.session_s * 1.5 + fault.lasts_s)
            member.send(signal.SIGCONT)

        self._later(member, go_on())

    async def _do_drain(self, fault: Fault, member: Member) -> None:
        self._tally.note("drained")
        await self._drain(member)
        self._later(member, self._restart(member, fault.lasts_s))

    async def _do_storm(self, fault: Fault, member: Member) -> None:
        await self._storm(STORM)

    async def _do_kill_broker(self, fault: Fault, member: Member) -> None:
        self._tally.note("broker killed")
        await self._apache.kill()
        await asyncio.sleep(fault.lasts_s)
        await self._apache.start()

    async def _do_hold_broker(self, fault: Fault, member: Member) -> None:
        self._tally.note("broker held")
        self._apache.send(signal.SIGSTOP)
        await asyncio.sleep(1.0 + fault.lasts_s)
        self._apache.send(signal.SIGCONT)

    async def _do_add_partition(self, fault: Fault, member: Member) -> None:
        self._tally.note("partition added")
        await self._apache.add_partitions(1)

    @property
    def _apache(self) -> ApacheBroker:
        return cast(ApacheBroker, self._broker)

    async def _storm(self, n: int) -> None:
        """Let one more member come and go."""
        for _ in range(n):
            self._tally.note("member came and went")
            consumer = AIOKafkaConsumer(
                EVENTS,
                bootstrap_servers=self._broker.bootstrap,
                group_id=GROUP,
                enable_auto_commit=False,
                session_timeout_ms=int(self._broker.session_s * 1000),
                heartbeat_interval_ms=200,
            )
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(5.0):
                    await consumer.start()
            await asyncio.sleep(0.5)
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), 5.0)
            await asyncio.sleep(0.5)

    # -- members -----------------------------------------------------------------------------

    def _group_alive(self) -> None:
        for member in self.members:
            if member not in self._pending and not member.is_alive:
                raise Violation(self.case(), f"{member} ended by itself: {member.errors()}")

    async def _wait_free(self, member: Member) -> None:
        pending = self._pending.pop(member, None)
        if pending is not None:
            await pending

    def _later(self, member: Member, work: Coroutine[Any, Any, None]) -> None:
        self._pending[member] = asyncio.create_task(work)

    async def _kill(self, member: Member) -> None:
        await member.kill()
        await asyncio.to_thread(check_sound, member.data)

    async def _restart(self, member: Member, away_s: float) -> None:
        await asyncio.sleep(away_s)
        member.start()
        self._answering[member] = asyncio.create_task(self._time_answer(member))

    async def _time_answer(self, member: Member) -> None:
        took_s = await member.wait_answer()
        if took_s is not None:
            self.recoveries.append(took_s)
            self.say(f"{member} answers after {took_s:.2f}")

    async def _wait_serving(self, member: Member) -> None:
        if member in self._answering:
            await self._answering[member]

    async def _drain(self, member: Member) -> None:
        await self._wait_serving(member)
        member.send(signal.SIGTERM)
        code = await member.wait_end(15.0)
        assert code == 0, f"{member} ended with {code} after SIGTERM: {member.errors()}"
        await asyncio.to_thread(check_sound, member.data)

    async def _end_in_order(self) -> None:
        await asyncio.gather(*(self._drain(member) for member in self.members))

    # -- checks ------------------------------------------------------------------------------

    async def _check(self) -> None:
        for tries_left in reversed(range(TRIES)):
            self.say("quiet?")
            began = time.monotonic()
            await self._group.wait_quiet(self._topic, self._broker.n_partitions, self._quiet_s)
            self.say("quiet")
            self.recoveries.append(time.monotonic() - began)
            try:
                await self._compare()
                return
            except AssertionError as error:
                # The group may have begun to move while documents were read.
                if not tries_left:
                    raise
                self.say(f"once more: {error}")

    async def _compare(self) -> None:
        check_hints(self._topic.committed, [member.data for member in self.members])
        n_acknowledged = 0
        for path in self._folder.glob("*.journal"):
            n_acknowledged += self._topic.check_acknowledged(read_journal(path))
        n_docs = await check_union(self.members, self._topic.live.values())
        for client in self._clients:
            n_docs += await check_local(client.member, client.local)
        self._tally.notes["acknowledged"] = n_acknowledged
        self._tally.notes["documents compared"] = n_docs

    async def _sample(self) -> None:
        """Look again and again how many partitions are answered for, and at what is committed."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            free = [m for m in self.members if m.is_alive and not m.is_stopped]
            stats = await asyncio.gather(*(asyncio.to_thread(m.stats) for m in free))
            n_answered = sum(each["n_shards"] for each in stats if each is not None)
            self._answered.append(n_answered / self._broker.n_partitions)

    def tell(self) -> dict[str, float]:
        """Return how soon the servers answered again, and how much of the time."""
        return {
            "recovery_s": round(statistics.median(self.recoveries or [0.0]), 2),
            "slowest_s": round(max(self.recoveries or [0.0]), 2),
            "answered": round(statistics.mean(self._answered or [0.0]), 3),
        }


def _first(errors: BaseExceptionGroup[AssertionError]) -> AssertionError:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
