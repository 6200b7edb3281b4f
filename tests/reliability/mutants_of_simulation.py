"""Wrong versions of the source and of the shards' life that the simulation must find out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from consumers.kafka_continuity import Continuity
from consumers.kafka_fetch import FetchLoop
from consumers.kafka_positions import Positions
from consumers.kafka_session import Session
from index import ownership
from index.directory import Directory
from index.errors import StorageError
from index.jobs import Job
from index.manifest import Manifest, encode_manifest, manifest_name
from pipeline.applier import Applier
from pipeline.maintenance import Maintenance
from pipeline.shard import Shard
from tests.reliability.fake_log import Bad, Poison
from tests.reliability.mutant import Mutant
from tests.reliability.sim_faults import Faults, Kinds
from tests.reliability.sim_node import GROUP
from tests.reliability.simulation import simulate

DAMAGE: Kinds = {
    Faults.crash: 3,
    Faults.rebalance: 3,
    Faults.retention: 8,
    Faults.truncation: 8,
    Faults.re_creation: 4,
}
OWNERS: Kinds = {Faults.pause: 6, Faults.rebalance: 2, Faults.evict: 3, Faults.restart: 1}
MOVING: Kinds = {
    Faults.slow_broker: 5,
    Faults.slow_machine: 3,
    Faults.rebalance: 4,
    Faults.pause: 3,
    Faults.crash: 2,
}
LETTERS: Kinds = {Faults.letters_refused: 1, Faults.clock_jump: 10}
READING: Kinds = {Faults.poison: 8, Faults.pause: 4, Faults.rebalance: 1, Faults.slow_broker: 2}


def _too_large_at_a_bad_moment(faults: Faults) -> str | None:
    """The next record is one that the client skips, and its owner sleeps while it comes."""
    for partition in faults.world.topic.partitions:
        partition.bad[partition.end] = Bad(Poison.TOO_LARGE, 1)
    return faults.pause()


TOO_LARGE: Kinds = {_too_large_at_a_bad_moment: 1, Faults.rebalance: 1}
HANGING: Kinds = {Faults.consumer_hangs: 3, Faults.clock_jump: 6}


def search() -> None:
    """Some seeds with all kinds of faults."""
    for seed in range(5):
        simulate(seed)


def search_moving() -> None:
    for seed in range(10, 22):
        simulate(seed, MOVING)


def search_letters() -> None:
    for seed in range(4):
        simulate(seed, LETTERS)


def search_damage() -> None:
    for seed in range(6):
        simulate(seed, DAMAGE)


def search_owners() -> None:
    for seed in range(5):
        simulate(seed, OWNERS)


def search_reading() -> None:
    for seed in range(3):
        simulate(seed, READING)


def search_too_large() -> None:
    for seed in range(2):
        simulate(seed, TOO_LARGE)


def search_hanging() -> None:
    for seed in range(3):
        simulate(seed, HANGING)


def _patch(owner: Any, name: str, wrong: Any) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def switched() -> Iterator[None]:
        with patch.object(owner, name, wrong):
            yield

    return switched


def _around(
    owner: Any, name: str, make: Callable[[Any], Any]
) -> Callable[[], AbstractContextManager[None]]:
    """Switch a method to what `make` makes of it."""
    return _patch(owner, name, make(getattr(owner, name)))


def _publish_blindly(directory: Directory, manifest: Manifest) -> list[str]:
    name = manifest_name(manifest.generation)
    names = directory.list()
    temporary = f"{name}.{manifest.epoch}.tmp"
    if temporary in names:
        directory.delete(temporary)
    directory.write_file(temporary, (encode_manifest(manifest),))
    directory.rename(temporary, name)
    directory.sync()
    return directory.list()


def _forget_nothing(self: Positions) -> None:
    return


def _hint_first(run_flush: Any) -> Any:
    async def wrong(self: Maintenance, shard: Shard, job: Job) -> None:
        self._on_durable(shard.number, shard.watermark.next_offset)
        await run_flush(self, shard, job)

    return wrong


def _seek_to_committed(open_shard: Any) -> Any:
    async def wrong(self: Session, tp: Any) -> Any:
        tp, stored = await open_shard(self, tp)
        cluster = self._consumer._cluster  # type: ignore[attr-defined]
        committed = cluster.group(GROUP).committed.get(tp)
        return tp, stored if committed is None or isinstance(stored, StorageError) else committed

    return wrong


async def _pass_at_once(self: FetchLoop, tp: Any, position: int) -> None:
    await self._hand_over(tp, [], position)


async def _find_nothing(self: Continuity, _: Any) -> dict[Any, Any]:
    return {}


async def _close_nothing(self: Session) -> None:
    self._opened.clear()


def _by_the_wall(init: Any) -> Any:
    def wrong(self: Session, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        self._clock = self._sink._threads.wall_s  # type: ignore[attr-defined]

    return wrong


def _no_log_is_another() -> AbstractContextManager[None]:
    both = ExitStack()
    both.enter_context(patch.object(Continuity, "find_other_topics", _find_nothing))
    both.enter_context(patch.object(Continuity, "find_other_records", _find_nothing))
    return both


MUTANTS: list[Mutant] = [
    Mutant(
        "simulated_epoch_not_checked",
        "who has lost a shard goes on to publish manifests over its next owner's",
        _patch(ownership, "_publish", _publish_blindly),
        search_owners,
    ),
    Mutant(
        "hint_before_durable",
        "offsets are told to the broker before their flush",
        _around(Maintenance, "_run_flush", _hint_first),
        search,
    ),
    Mutant(
        "seek_to_committed",
        "a shard reads on from the offset that the broker has, not from its own",
        _around(Session, "_open_shard", _seek_to_committed),
        search_moving,
    ),
    Mutant(
        "no_seek_after_error",
        "after an error the positions stay where the client left them",
        _patch(FetchLoop, "_seek", lambda self, tp, offset: None),
        search_reading,
    ),
    Mutant(
        "too_large_passed_as_marker",
        "a record that the client skips counts as one that is nobody's",
        _patch(FetchLoop, "_pass_marker", _pass_at_once),
        search_too_large,
    ),
    Mutant(
        "no_generations",
        "what was begun before a rebalance goes on after it, from its positions",
        _patch(Positions, "begin_generation", _forget_nothing),
        search_moving,
    ),
    Mutant(
        "revoked_shards_stay_open",
        "a member goes on serving what another one has by now",
        _patch(Session, "_close_shards", _close_nothing),
        search_owners,
    ),
    Mutant(
        "checkpoint_before_letters",
        "a flush does not wait for the dead letters",
        _around(
            Applier,
            "plan_flush",
            lambda plan: lambda self: (setattr(self, "_awaits_letters", False), plan(self))[1],
        ),
        search_letters,
    ),
    Mutant(
        "no_log_is_another",
        "neither the topic's id nor the last record is compared",
        _no_log_is_another,
        search_damage,
    ),
    Mutant(
        "gaps_not_looked_for",
        "a shard goes on though its log ends before it",
        _patch(Positions, "gap", lambda *_: None),
        search_damage,
    ),
    Mutant(
        "wall_clock_in_watchdog",
        "the time of day tells how long a consumer has been silent",
        _around(Session, "__init__", _by_the_wall),
        search_hanging,
    ),
]
