"""Which operators are called on which parent: policies of one method, pure functions of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from evoagent.records import content_number


class Schedule(Protocol):
    """Assigns operators to a parent."""

    def choose(self, position: int, round: int, parent_id: str) -> Sequence[str]:
        """The operators for the parent at `position`, from 0, of the population of `round`, from 1."""
        ...


@dataclass(frozen=True, slots=True)
class Rotation:
    """`operators[(position + round) % n]`, as in "Smaller Language Models Are Better Instruction Evolvers"."""

    operators: Sequence[str]

    def choose(self, position: int, round: int, parent_id: str) -> Sequence[str]:
        """See `Schedule`."""
        return [self.operators[(position + round) % len(self.operators)]]


@dataclass(frozen=True, slots=True)
class Random:
    """One, drawn by a hash of (seed, parent, round)."""

    operators: Sequence[str]
    seed: int

    def choose(self, position: int, round: int, parent_id: str) -> Sequence[str]:
        """See `Schedule`."""
        return [self.operators[content_number(f"{self.seed}:{parent_id}:{round}", len(self.operators))]]


@dataclass(frozen=True, slots=True)
class All:
    """Every one of them."""

    operators: Sequence[str]

    def choose(self, position: int, round: int, parent_id: str) -> Sequence[str]:
        """See `Schedule`."""
        return self.operators


def schedule(name: Literal["rotation", "random", "all"], operators: Sequence[str], seed: int) -> Schedule:
    """The schedule that a configuration names; `seed` is the run's."""
    if name == "all":
        return All(operators)
    return Rotation(operators) if name == "rotation" else Random(operators, seed)
