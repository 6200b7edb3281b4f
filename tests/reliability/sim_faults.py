"""What goes wrong in a simulation, and what mends it.

Each fault is a function of the world; the seed chooses which, when and for how long. Most pass by
themselves. Some want an operator: a shard that has failed, a log that was cut. Who that is, is
`operate`: it does no more than docs/operations.md says.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorForGroupError,
    OutOfOrderSequenceNumber,
    RequestTimedOutError,
    UnknownMemberIdError,
)

from consumers.source import SourceError
from index.errors import CorruptionError
from tests.reliability.fake_broker import LATENCY_S
from tests.reliability.fake_log import Bad, Kind, Poison
from tests.reliability.fake_producer import OutcomeUnknownError
from tests.reliability.sim_loop import BEGINNING_S
from tests.reliability.sim_node import DEAD, GROUP, SimNode
from tests.reliability.sim_world import World

FAULTS_S: Final = 14.0
"""Over how much virtual time the faults of a seed happen, about."""
LONGEST_S: Final = BEGINNING_S + 1.5 * FAULTS_S
FREEZE_S: Final = 2.5
APIS: Final = (
    "fetch", "offsets", "produce", "commit", "heartbeat", "join", "committed", "metadata",
)  # fmt: skip


class Faults:
    def __init__(self, world: World, kinds: Kinds | None = None) -> None:
        self.world = world
        self._kinds = kinds or KINDS
        self._rng = world.rng
        self._down_until = 0.0
        self._n_damages = 0
        """Logs that were cut; few a seed, because each wants an operator."""
        self._operated: dict[str, float] = {}

    async def inject(self) -> None:
        rng, loop = self._rng, self.world.loop
        n_faults = rng.choice((50, 50, 60, 80, 120, 200))
        kinds, weights = list(self._kinds), list(self._kinds.values())
        while self.world.n_faults < n_faults and loop.time() < LONGEST_S:
            await asyncio.sleep(rng.expovariate(n_faults / FAULTS_S))
            kind = rng.choices(kinds, weights)[0]
            told = kind(self)
            if told:
                self.world.n_faults += 1
                self.world.trace(f"fault {told}")

    # --- nodes -----------------------------------------------------------------------------------
    def crash(self) -> str | None:
        node = self._some_node()
        if node is None:
            return None
        life = node.life
        node.kill()
        told = f"crash of {life}"
        if self._rng.random() < 0.5 and not self.world.is_shared:
            node.disk.lose_power(self._rng)
            for folder in node.disk.folders.values():
                self.world.checks.power_lost(folder)
            told += ", power lost"
        if self._rng.random() < 0.1 and not self.world.is_shared:
            self._wipe(node)
            told += ", disk lost"
        self._later(self._rng.uniform(0.05, 1.0), lambda: self._start(node))
        return told

    def restart(self) -> str | None:
        node = self._some_node()
        if node is None:
            return None
        node.stop()
        life = node.life
        # A process that does not end in its time is killed.
        self._later(8.0, lambda: node.kill() if node.is_up and node.life == life else None)
        self._later(8.0 + self._rng.random(), lambda: self._start(node))
        self._later(self._rng.uniform(0.5, 3.0), lambda: self._start(node))
        return f"stop of {life}"

    def pause(self) -> str | None:
        node = self._some_node()
        is_frozen = self.world.topic.partitions[0].is_frozen
        if node is None or self.world.loop.is_paused(node.life) or is_frozen:
            return None
        life = node.life
        pause_s = self._rng.choice((0.3, 1.0, 2.5, 4.0))
        self.world.loop.pause(life)
        self._later(pause_s, lambda: self.world.loop.go_on(life))
        return f"pause of {life} for {pause_s} s"

    def _some_node(self) -> SimNode | None:
        up = [node for node in self.world.nodes if node.is_up]
        return self._rng.choice(up) if up else None

    def _start(self, node: SimNode) -> None:
        if not node.is_up:
            self.world.trace(f"start of {node.name}")
            node.start()

    def _wipe(self, node: SimNode) -> None:
        for folder in node.disk.folders.values():
            folder.wipe()
            self.world.checks.wiped(folder)

    # --- the cluster -----------------------------------------------------------------------------
    def rebalance(self) -> str:
        self.world.cluster.group(GROUP).rebalance()
        return "rebalance"

    def evict(self) -> str | None:
        members = self.world.cluster.group(GROUP).members
        if not members:
            return None
        name = self._rng.choice(sorted(members))
        self.world.cluster.group(GROUP).leave(name)
        return f"eviction of {name}"

    def broker_down(self) -> str | None:
        cluster = self.world.cluster
        if cluster.is_down:
            return None
        down_s = self._rng.choice((0.05, 0.2, 1.0, 3.0))
        cluster.go_down()
        self._later(down_s, cluster.come_up)
        return f"broker away for {down_s} s"

    def coordinator_moves(self) -> str:
        self.world.cluster.move_coordinators(NotCoordinatorForGroupError())
        return "coordinator moves"

    def refusals(self) -> str:
        api = self._rng.choice(APIS)
        make = self._rng.choice(RETRIABLE)
        n = self._rng.randint(1, 4)
        self.world.cluster.push_errors(api, *[make() for _ in range(n)])
        return f"{n} x {make.__name__} at {api}"

    def lost_membership(self) -> str:
        self.world.cluster.push_errors("heartbeat", UnknownMemberIdError())
        return "a member is not known"

    def produce_trouble(self) -> str:
        make = self._rng.choice((OutcomeUnknownError, OutOfOrderSequenceNumber))
        self.world.cluster.push_errors("produce", make())
        return f"{make.__name__} at produce"

    def letters_refused(self) -> str:
        n = self._rng.choice((1, 10, 50))
        self.world.cluster.push_errors(
            f"produce {DEAD}", *[RequestTimedOutError() for _ in range(n)]
        )
        return f"{n} x RequestTimedOutError at dead letters"

    def slow_broker(self) -> str:
        latency_s = self._rng.choice((0.02, 0.02, 0.2, 0.8))
        slow_s = self._rng.uniform(0.2, 1.5)
        self.world.latency_s = latency_s
        self._later(slow_s, self._speed_up)
        return f"answers take {latency_s} s for {slow_s:.1f} s"

    def consumer_hangs(self) -> str | None:
        consumers = self.world.cluster.consumers
        if not consumers:
            return None
        number = self._rng.randrange(len(consumers))
        consumers[number].hang()
        return f"consumer {number} hangs"

    def _speed_up(self) -> None:
        self.world.latency_s = LATENCY_S

    # --- logs ------------------------------------------------------------------------------------
    def poison(self) -> str:
        partition = self._rng.choice(self.world.topic.partitions)
        offset = max(partition.end - self._rng.randint(-3, 6), partition.start)
        kind = self._rng.choice((Poison.CORRUPT, Poison.TOO_LARGE))
        times = self._rng.choice((1, 2, 2, 5))
        partition.bad[offset] = Bad(kind, times)
        return f"{kind.name} at {partition.tp.partition}:{offset}, {times} times"

    def retention(self) -> str | None:
        partition = self._rng.choice(self.world.topic.partitions)
        if partition.past:
            # With the record gone that a shard's checkpoint rests on, nobody can tell any more
            # that its log was cut: docs/resiliency.md does not promise it.
            return None
        if self._rng.random() < 0.2 and self._may_damage():
            start = partition.end - self._rng.randint(0, 10)
        else:
            start = min(self._checkpoints(partition.tp.partition), default=0)
        partition.retain_from(start)
        return f"retention of {partition.tp.partition} up to {start}"

    def truncation(self) -> str | None:
        partition = self._rng.choice(self.world.topic.partitions)
        end = partition.end - self._rng.randint(1, 5)
        lost = [entry for entry in partition.entries if entry.offset >= end]
        if len(lost) < partition.end - end or any(e.kind is not Kind.RECORD for e in lost):
            # A shard that has only passed markers there rests on a record that is not lost.
            return None
        if not self._may_damage():
            return None
        self._freeze()
        partition.truncate(end)
        self._rejoin_all()
        return f"log of {partition.tp.partition} cut to {end}"

    def re_creation(self) -> str | None:
        if not self._may_damage():
            return None
        self._freeze()
        topic = self.world.topic
        self.world.cluster.recreate(topic)
        self._rejoin_all()
        return "topic made anew"

    def _may_damage(self) -> bool:
        loop = self.world.loop
        is_paused = any(loop.is_paused(node.life) for node in self.world.nodes)
        if self._n_damages >= 1 or is_paused or self._rng.random() < 0.7:
            return False
        self._n_damages += 1
        return True

    def _freeze(self) -> None:
        """Have the logs grow again only when everybody has looked: a client that goes on at once
        cannot see that its log was cut and has grown since. Nobody can promise that."""
        for partition in self.world.topic.partitions:
            partition.is_frozen = True
        self._later(FREEZE_S, self._thaw)

    def _thaw(self) -> None:
        for partition in self.world.topic.partitions:
            partition.is_frozen = False

    def _rejoin_all(self) -> None:
        group = self.world.cluster.group(GROUP)
        for name in sorted(group.members):
            group.leave(name)

    def _checkpoints(self, number: int) -> list[int]:
        return [
            self.world.checks.checkpoint(node.disk.folder(Path(str(number))))
            for node in self.world.nodes
        ]

    # --- machines --------------------------------------------------------------------------------
    def disk_errors(self) -> str | None:
        node = self._some_node()
        if node is None or not node.disk.folders:
            return None
        folder = node.disk.folders[self._rng.choice(sorted(node.disk.folders))]
        number = self._rng.choice((errno.EIO, errno.ENOSPC, errno.ENOSPC, errno.EMFILE))
        n = self._rng.choice((1, 1, 2, 3))
        folder.errors += [number] * n
        return f"{n} x {errno.errorcode[number]} at {folder.name}"

    def slow_machine(self) -> str:
        self.world.job_delay_s = self._rng.choice((0.01, 0.05, 0.3))
        self._later(self._rng.uniform(0.2, 1.5), self._hurry)
        return f"jobs take up to {self.world.job_delay_s} s"

    def _hurry(self) -> None:
        self.world.job_delay_s = 0.0

    def clock_jump(self) -> str:
        jump_s = self._rng.choice((-315_360_000.0, -3600.0, -1.0, 1.0, 3600.0, 315_360_000.0))
        self.world.wall_offset_s += jump_s
        return f"wall clock jumps {jump_s:+.0f} s"

    def _later(self, delay_s: float, work: Callable[[], None]) -> None:
        self.world.cluster.later(delay_s, work)

    # --- the end of all faults -------------------------------------------------------------------
    def heal(self) -> None:
        """Undo what does not pass by itself."""
        world = self.world
        if world.cluster.is_down:
            world.cluster.come_up()
        world.cluster.forgive()
        self._speed_up()
        self._hurry()
        world.is_producing = False
        for node in world.nodes:
            world.loop.go_on(node.life)
            self._start(node)
            for folder in node.disk.folders.values():
                folder.errors.clear()
        for partition in world.topic.partitions:
            partition.bad.clear()

    def operate(self) -> None:
        """Start what has ended; take away what cannot be gone on with, and start again."""
        world = self.world
        for node in world.nodes:
            failures = node.failures()
            if not node.is_up or not failures:
                self._start(node)
                continue
            if world.loop.time() - self._operated.get(node.name, 0.0) < 1.0:
                continue
            self._operated[node.name] = world.loop.time()
            told = ", ".join(f"{number}: {error!r}" for number, error in failures.items())
            world.trace(f"operator restarts {node.name}: {told}")
            # What is taken away must have no owner, so all of them end where the disk is one.
            ending = world.nodes if world.is_shared else [node]
            for other in ending:
                other.kill()
            for number, error in failures.items():
                if isinstance(error, (SourceError, CorruptionError)) and number >= 0:
                    folder = node.disk.folder(Path(str(number)))
                    folder.wipe()
                    world.checks.wiped(folder)
            for other in ending:
                other.start()

    def describe(self) -> str:
        """Return what keeps the nodes from being caught up."""
        told = []
        for node in self.world.nodes:
            shards = node.index.shards if node.index is not None else {}
            stands = {n: (s.state.name, s.watermark.next_offset) for n, s in shards.items()}
            error = node.source.last_error if node.source is not None else "down"
            told.append(f"{node.life} {stands} {error} {node.failures()}")
        ends = [partition.end for partition in self.world.topic.partitions]
        return f"log ends {ends}; " + "; ".join(told)


RETRIABLE: tuple[type[KafkaError], ...] = (
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
)

Kinds: TypeAlias = dict[Callable[[Faults], str | None], float]

KINDS: Kinds = {
    Faults.crash: 3,
    Faults.restart: 1,
    Faults.pause: 3,
    Faults.rebalance: 3,
    Faults.evict: 2,
    Faults.broker_down: 2,
    Faults.coordinator_moves: 2,
    Faults.refusals: 10,
    Faults.lost_membership: 2,
    Faults.produce_trouble: 4,
    Faults.letters_refused: 1,
    Faults.slow_broker: 4,
    Faults.consumer_hangs: 1,
    Faults.poison: 4,
    Faults.retention: 4,
    Faults.truncation: 3,
    Faults.re_creation: 2,
    Faults.disk_errors: 5,
    Faults.slow_machine: 4,
    Faults.clock_jump: 5,
}
"""What may happen, and how often."""
