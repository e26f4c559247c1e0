"""Who is combined with whom: a policy of one method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from evoagent.records import content_number


class Mating(Protocol):
    """Proposes further parents for an operator that takes several."""

    def propose(self, parent_id: str, operator: str, round: int, sample: int, population: int) -> Iterator[int]:
        """Positions in the population of `round`, the best first, without end.

        Whoever asks passes over the parent itself and those that it has already. Equal arguments give equal
        positions, in any process.
        """
        ...


@dataclass(frozen=True, slots=True)
class DrawnMates:
    """Any member is as likely as any other: drawn by a hash. `seed` is the run's."""

    seed: int

    def propose(self, parent_id: str, operator: str, round: int, sample: int, population: int) -> Iterator[int]:
        """See `Mating`."""
        for attempt in count():
            yield content_number(f"{self.seed}:{parent_id}:{operator}:{round}:{sample}:{attempt}", population)
