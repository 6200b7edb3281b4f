"""A consumer group as its coordinator sees it: members, generations, the eager protocol.

A join is answered when all members have joined, or when the rebalance has taken so long that
those who did not are dropped. The answer holds the assignment: joining and syncing are one step.
A member that is silent for its session timeout is dropped, unless its join is waiting here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

Later = Callable[[float, Callable[[], None]], object]
"""Runs something later, as the broker."""


class Joined(NamedTuple):
    member: str
    generation: int
    partitions: list[TopicPartition]


class GroupState(Enum):
    EMPTY = auto()
    PREPARING = auto()
    STABLE = auto()


@dataclass(slots=True, eq=False)
class Member:
    name: str
    instance: str | None
    topics: tuple[str, ...]
    session_s: float
    rebalance_s: float
    seen_at: float
    joining: asyncio.Future[Joined] | None = None
    partitions: list[TopicPartition] = field(default_factory=list)


class FakeGroup:
    def __init__(
        self,
        *,
        now: Callable[[], float],
        later: Later,
        partitions_of: Callable[[str], list[TopicPartition]],
        initial_delay_s: float = 0.0,
    ) -> None:
        self.state = GroupState.EMPTY
        self.generation = 0
        self.members: dict[str, Member] = {}
        self.committed: dict[TopicPartition, int] = {}
        self._now = now
        self._later = later
        self._partitions_of = partitions_of
        self._initial_delay_s = initial_delay_s
        self._n_members = 0
        self._round = 0
        self._is_away = False

    # --- requests ----------------------------------------------------------------------------
    def join(
        self,
        name: str,
        *,
        instance: str | None,
        topics: tuple[str, ...],
        session_s: float,
        rebalance_s: float,
    ) -> asyncio.Future[Joined]:
        """Return what is done when the member is in. Raises: UnknownMemberIdError."""
        if name and name not in self.members:
            raise UnknownMemberIdError(name)
        future: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        member = self.members.get(name)
        if member is None:
            member = self._admit(instance, topics, session_s, rebalance_s)
            if instance is not None and self.state is GroupState.STABLE and member.partitions:
                future.set_result(Joined(member.name, self.generation, member.partitions))
                return future
        member.joining = future
        member.seen_at = self._now()
        if self.state is not GroupState.PREPARING:
            self._prepare()
        self._complete_if_all()
        return future

    def heartbeat(self, name: str, generation: int) -> None:
        """Raises: UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError."""
        member = self._member(name, generation)
        member.seen_at = self._now()
        if self.state is GroupState.PREPARING:
            raise RebalanceInProgressError

    def commit(self, name: str, generation: int, offsets: dict[TopicPartition, int]) -> None:
        """Raises: UnknownMemberIdError, IllegalGenerationError."""
        self._member(name, generation).seen_at = self._now()
        self.committed.update(offsets)

    def leave(self, name: str) -> None:
        if self.members.pop(name, None) is not None:
            self._shrunk()

    # --- what happens to it ---------------------------------------------------------------------
    def drop_connections(self, error: KafkaError) -> None:
        """Answer no join that waits; members may come again."""
        for member in self.members.values():
            if member.joining is not None and not member.joining.done():
                member.joining.set_exception(error)
            member.joining = None

    def go_away(self) -> None:
        """The coordinator is not there: nobody can be late."""
        self._is_away = True

    def come_back(self) -> None:
        """It is there again, and gives everyone a whole session timeout."""
        self._is_away = False
        for member in self.members.values():
            member.seen_at = self._now()

    def rebalance(self) -> None:
        """Have everyone join anew, as when partitions are added."""
        if self.state is GroupState.STABLE:
            self._prepare()

    # --- inside -------------------------------------------------------------------------------
    def _member(self, name: str, generation: int) -> Member:
        member = self.members.get(name)
        if member is None:
            raise UnknownMemberIdError(name)
        if generation != self.generation:
            raise IllegalGenerationError(generation)
        return member

    def _admit(
        self, instance: str | None, topics: tuple[str, ...], session_s: float, rebalance_s: float
    ) -> Member:
        self._n_members += 1
        name = f"member-{self._n_members}"
        member = Member(name, instance, topics, session_s, rebalance_s, self._now())
        if instance is not None:
            for old in [m for m in self.members.values() if m.instance == instance]:
                # A static member that comes back takes its place; whoever held it is fenced.
                member.partitions = old.partitions
                del self.members[old.name]
        self.members[name] = member
        self._later(session_s, lambda: self._expire(member))
        return member

    def _expire(self, member: Member) -> None:
        if self.members.get(member.name) is not member:
            return
        left_s = member.seen_at + member.session_s - self._now()
        if member.joining is not None or self._is_away:
            left_s = member.session_s
        if left_s > 0:
            self._later(left_s, lambda: self._expire(member))
            return
        del self.members[member.name]
        self._shrunk()

    def _shrunk(self) -> None:
        if not self.members:
            self.state = GroupState.EMPTY
        elif self.state is GroupState.STABLE:
            self._prepare()
        elif self.state is GroupState.PREPARING:
            self._complete_if_all()

    def _prepare(self) -> None:
        was_empty = self.state is GroupState.EMPTY
        self.state = GroupState.PREPARING
        self._round += 1
        number = self._round
        self._is_delayed = was_empty and self._initial_delay_s > 0
        if self._is_delayed:
            self._later(self._initial_delay_s, lambda: self._end_delay(number))
        longest_s = max(member.rebalance_s for member in self.members.values())
        self._later(longest_s, lambda: self._give_up_waiting(number))

    def _end_delay(self, number: int) -> None:
        if number == self._round:
            self._is_delayed = False
            self._complete_if_all()

    def _give_up_waiting(self, number: int) -> None:
        if number != self._round or self.state is not GroupState.PREPARING:
            return
        for member in [m for m in self.members.values() if m.joining is None]:
            del self.members[member.name]
        if not self.members:
            self.state = GroupState.EMPTY
            return
        self._is_delayed = False
        self._complete_if_all()

    def _complete_if_all(self) -> None:
        members = list(self.members.values())
        if self.state is not GroupState.PREPARING or self._is_delayed or not members:
            return
        if any(member.joining is None for member in members):
            return
        self.generation += 1
        self.state = GroupState.STABLE
        for member in members:
            member.partitions = []
        topics = sorted({topic for member in members for topic in member.topics})
        for number, tp in enumerate(tp for topic in topics for tp in self._partitions_of(topic)):
            members[number % len(members)].partitions.append(tp)
        for member in members:
            joining, member.joining = member.joining, None
            member.seen_at = self._now()
            assert joining is not None
            if not joining.done():
                joining.set_result(Joined(member.name, self.generation, member.partitions))

    _is_delayed = False
