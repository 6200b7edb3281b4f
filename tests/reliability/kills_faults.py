"""What is done to servers and broker, and when: a schedule that its seed alone decides.

The schedule is the same for the same seed, what the processes are doing at that moment is not:
a replay does the same things to them, and may need some tries to hit the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tests.reliability.kills_points import POINTS, WHEN

N_MEMBERS = 3
ROUND_KILLS = 5
"""About so many kills, then there must be quiet, and all is compared."""
KILLS_PER_BROKER_KILL = 10

N_KILLED = {"kill": 1, "kill_at": 1, "kill_twice": 2, "kill_all": N_MEMBERS, "kill_broker": 1}
KILLS = ("kill_at", "kill", "kill_at", "kill_twice", "kill_at", "kill", "kill_at", "kill_all")
"""Turn by turn, in an order that the seed says."""
BESIDE = ("hold", "drain")
"""Faults that kill nobody: one in each round, turn by turn."""
BESIDE_DEEP = (*BESIDE, "storm", "hold_broker", "add_partition", "storm")
"""librdkafka's broker can do none of these, and forgets all when it dies."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    member: int
    delay_s: float
    """From the fault before it."""
    lasts_s: float
    """How long the process stays away, or is held."""
    order: str = ""
    """For `kill_at`: the place, as an order file says it."""

    @property
    def n_kills(self) -> int:
        return N_KILLED.get(self.kind, 0)


def plan_rounds(seed: int, n_kills: int, *, is_deep: bool = False) -> list[list[Fault]]:
    """Return rounds of faults that kill `n_kills` processes in all."""
    chance = Random(f"kills {seed}")
    draw = _Draw(chance)
    n_broker = n_kills // KILLS_PER_BROKER_KILL if is_deep else 0
    kinds = ["kill_broker"] * n_broker
    turns = _in_turn(chance, KILLS)
    left = n_kills - n_broker
    while left:
        kind = next(turns)
        if N_KILLED[kind] <= left:
            kinds.append(kind)
            left -= N_KILLED[kind]
    chance.shuffle(kinds)
    beside = _in_turn(chance, BESIDE_DEEP if is_deep else BESIDE)
    rounds: list[list[Fault]] = []
    while kinds:
        faults: list[Fault] = []
        while kinds and sum(fault.n_kills for fault in faults) < ROUND_KILLS:
            faults.append(draw.fault(kinds.pop()))
        faults.insert(chance.randrange(len(faults) + 1), draw.fault(next(beside)))
        rounds.append(faults)
    return rounds


class _Draw:
    """Says who, when and where; all places come before one comes again."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._places = _in_turn(chance, [*POINTS])

    def fault(self, kind: str) -> Fault:
        chance = self._chance
        order = ""
        if kind == "kill_at":
            order = f"{next(self._places)} {chance.choice(WHEN)} {chance.randint(1, 3)}"
        return Fault(
            kind,
            member=chance.randrange(N_MEMBERS),
            delay_s=round(chance.uniform(0.1, 0.8), 3),
            lasts_s=round(chance.choice((0.0, 0.0, chance.uniform(0.2, 2.0))), 3),
            order=order,
        )


def _in_turn(chance: Random, names: Sequence[str]) -> Iterator[str]:
    while True:
        yield from chance.sample(names, len(names))
