"""A consumer's life in its group, as aiokafka's coordination task leads it.

Revoke, join, assign, in this order and in one task: while a listener works, nothing else of it
happens but heartbeats. Leaving waits for a join that is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tests.reliability.fake_broker import FakeCluster
from tests.reliability.fake_group import GroupState, Joined

log = logging.getLogger(__name__)

RETRY_S = 0.1


class FakeMembership:
    def __init__(
        self,
        cluster: FakeCluster,
        group: str,
        topics: tuple[str, ...],
        listener: ConsumerRebalanceListener,
        *,
        begin: Callable[[], list[TopicPartition]],
        assign: Callable[[list[TopicPartition]], None],
        group_instance_id: str | None = None,
        session_timeout_ms: int = 10_000,
        heartbeat_interval_ms: int = 3_000,
        rebalance_timeout_ms: int = 30_000,
        **_: Any,
    ) -> None:
        self._cluster = cluster
        self._group = group
        self._topics = topics
        self._listener = listener
        self._begin = begin
        self._assign = assign
        self._instance = group_instance_id
        self._session_s = session_timeout_ms / 1000
        self._heartbeat_s = heartbeat_interval_ms / 1000
        self._rebalance_s = rebalance_timeout_ms / 1000
        self._member = ""
        self._generation = -1
        self._is_closing = False
        self._must_join = True
        self._wake = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._failure: KafkaError | None = None
        self._task = asyncio.create_task(self._coordinate())

    async def close(self) -> None:
        self._is_closing = True
        self._wake.set()
        await asyncio.wait([self._task])
        await self._stop_beating()
        if self._generation > 0 and self._instance is None:
            try:
                await self._cluster.reach("leave")
                self._cluster.group(self._group).leave(self._member)
            except KafkaError as error:
                log.info("not left: %r", error)

    def check_errors(self) -> None:
        """Raise once what only the user can mend."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        while True:
            member, generation = self._member, self._generation
            try:
                await self._cluster.reach("commit")
                self._cluster.group(self._group).commit(member, generation, offsets)
            except (UnknownMemberIdError, IllegalGenerationError) as error:
                self._forget_generation()
                raise CommitFailedError from error
            except RebalanceInProgressError as error:
                self._rejoin()
                raise CommitFailedError from error
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_S)
            else:
                self._cluster.on_commit(self._group, offsets)
                return

    def unowned(self, topics: list[str]) -> set[TopicPartition]:
        """Return what a stable group gave to nobody, to its first member alone."""
        group = self._cluster.group(self._group)
        if group.state is not GroupState.STABLE or self._member != min(group.members):
            return set()
        owned = {tp for member in group.members.values() for tp in member.partitions}
        wanted = {p.tp for topic in topics for p in self._cluster.topics[topic].partitions}
        return wanted - owned

    def leave_for_good(self) -> None:
        self._instance = None

    # --- the coordination task ---------------------------------------------------------------
    async def _coordinate(self) -> None:
        is_prepared = False
        while not self._is_closing:
            if not self._must_join:
                self._wake.clear()
                await self._wake.wait()
                continue
            if not is_prepared:
                await self._tell("on_partitions_revoked", set(self._begin()))
                is_prepared = True
            await self._stop_beating()
            joined = await self._join()
            if joined is None:
                await asyncio.sleep(RETRY_S)
                continue
            is_prepared = False
            self._assign(joined.partitions)
            await self._tell("on_partitions_assigned", set(joined.partitions))
            self._beating = asyncio.create_task(self._beat())

    async def _tell(self, name: str, partitions: set[TopicPartition]) -> None:
        try:
            await getattr(self._listener, name)(partitions)
        except Exception:
            log.exception("listener failed")

    async def _join(self) -> Joined | None:
        """Return None where it has to be tried again."""
        try:
            await self._cluster.reach("join")
            joined = await self._cluster.group(self._group).join(
                self._member,
                instance=self._instance,
                topics=self._topics,
                session_s=self._session_s,
                rebalance_s=self._rebalance_s,
            )
        except UnknownMemberIdError:
            self._forget_generation()
            return None
        except KafkaError as error:
            if not error.retriable:
                self._failure = error
            return None
        self._must_join = False
        self._member, self._generation = joined.member, joined.generation
        return joined

    async def _beat(self) -> None:
        while self._member:
            await asyncio.sleep(self._heartbeat_s)
            try:
                await self._cluster.reach("heartbeat")
                self._cluster.group(self._group).heartbeat(self._member, self._generation)
            except RebalanceInProgressError:
                self._rejoin()
            except (UnknownMemberIdError, IllegalGenerationError):
                self._forget_generation()
            except KafkaError:
                await asyncio.sleep(RETRY_S)

    async def _stop_beating(self) -> None:
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating])

    def _rejoin(self) -> None:
        self._must_join = True
        self._wake.set()

    def _forget_generation(self) -> None:
        self._member, self._generation = "", -1
        self._rejoin()
