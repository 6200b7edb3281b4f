"""What is done to servers and broker, and when: a schedule that its seed alone decides.

The schedule is the same for the same seed, what the processes are doing at that moment is not:
a replay does the same things to them, and may need some tries to hit the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tests.reliability.kills_points import POINTS, WHEN

N_MEMBERS = 3

FAST: Mapping[str, int] = {
    "kill": 3,
    "kill_at": 5,
    "kill_all": 1,
    "kill_twice": 1,
}
"""Kind of fault -> how often it comes, relatively. librdkafka's broker forgets all when it dies."""

DEEP: Mapping[str, int] = {**FAST, "kill_at": 6, "kill_broker": 2}

QUIET: Mapping[str, int] = {"stop": 2, "drain": 2}
"""Faults that kill nobody, one in each round beside those that do."""

QUIET_DEEP: Mapping[str, int] = {**QUIET, "storm": 3, "hold_broker": 2, "add_partitions": 1}

N_KILLED = {"kill": 1, "kill_at": 1, "kill_all": N_MEMBERS, "kill_twice": 2, "kill_broker": 1}
ROUND_KILLS = 5
"""Kills after which there must be quiet, and all is compared."""


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


def plan_rounds(seed: int, n_kills: int, *, is_deep: bool) -> list[list[Fault]]:
    """Return rounds of faults that kill `n_kills` processes in all."""
    chance = Random(f"kills {seed}")
    kinds, beside = (DEEP, QUIET_DEEP) if is_deep else (FAST, QUIET)
    rounds: list[list[Fault]] = []
    left = n_kills
    while left:
        in_round = min(left, ROUND_KILLS)
        left -= in_round
        faults: list[Fault] = []
        while in_round:
            fault = _draw(chance, {k: n for k, n in kinds.items() if N_KILLED[k] <= in_round})
            in_round -= fault.n_kills
            faults.append(fault)
        faults.insert(chance.randrange(len(faults) + 1), _draw(chance, beside))
        rounds.append(faults)
    return rounds


def _draw(chance: Random, kinds: Mapping[str, int]) -> Fault:
    kind = chance.choices([*kinds], [*kinds.values()])[0]
    member = chance.randrange(N_MEMBERS)
    delay_s = round(chance.uniform(0.1, 1.0), 3)
    lasts_s = round(chance.choice((0.0, 0.0, chance.uniform(0.2, 2.0))), 3)
    order = ""
    if kind == "kill_at":
        order = f"{chance.choice([*POINTS])} {chance.choice(WHEN)} {chance.randint(1, 5)}"
    return Fault(kind, member, delay_s, lasts_s, order)
