"""Seeds of the simulation that once broke a promise. They run first in every lane.

A seed means something else once the simulation or the order of events in the product changes, so
what each found is held by a mutant or a unit test as well.
"""

from __future__ import annotations

from typing import Final

SEEDS: Final = (
    # A record that aiokafka skips because it is too large was taken for a marker, and lost.
    110,
    # A last record that could not be asked for counted as unchanged: another log was read on.
    1013,
    1058,
    # The topic's id could not be asked for, and the log was taken for the one that was read.
    89819044303219,
)
