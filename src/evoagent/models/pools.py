"""Instructions that a plugin draws: members of the population, and rows of corpora. A draw is made by a hash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from evoagent.records import Instruction, content_number


@dataclass(frozen=True, slots=True)
class Rows:
    """What can be drawn from: the population of a round, or a corpus.

    Attributes:
        size: how many there are.
        read: those at given positions, from 0, in that order.
    """

    size: int
    read: Callable[[Sequence[int]], Awaitable[Sequence[Instruction]]]


async def _nothing(positions: Sequence[int]) -> Sequence[Instruction]:
    return ()


NOTHING = Rows(0, _nothing)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a plugin's call can draw from."""

    pool: Rows = NOTHING
    corpora: Mapping[str, Rows] = field(default_factory=dict)


class Pool:
    """Instructions to draw from: `len()` of them, without the parents of the call."""

    def __init__(self, rows: Rows, key: str, without: Sequence[str] = ()) -> None:
        """Draw from `rows`; `key` tells these draws from others, and `without` names those that are never drawn."""
        self._rows, self._key, self._without = rows, key, frozenset(without)
        self._draws = 0

    def __len__(self) -> int:
        return max(0, self._rows.size - len(self._without))

    async def sample(self, count: int) -> list[Instruction]:
        """Draw `count` different ones; all of them, in drawn order, where there are fewer.

        The same call of the same run draws the same ones, on any machine and whatever happens to finish first; its
        next draw gives others, which may be among those drawn before.

        Raises:
            ValueError: `count` is below 0.
        """
        if count < 0:
            raise ValueError(f"sample: found {count}, expected a number from 0")
        key = f"{self._key}:{self._draws}"
        self._draws += 1
        found = await self._rows.read(draw(key, self._rows.size, count + len(self._without)))
        return [row for row in found if row.id not in self._without][:count]


class Corpora(dict[str, Pool]):
    """The corpora of a run by name."""

    def __missing__(self, name: str) -> Pool:
        there = f"expected one of {', '.join(sorted(self))}" if self else "none is configured"
        raise LookupError(f"corpora: found no `{name}`, {there}")


def draw(key: str, size: int, count: int) -> list[int]:
    """`count` different numbers below `size`, or all of them, in an order that `key` alone decides."""
    moved: dict[int, int] = {}  # the first steps of a Fisher-Yates shuffle, of which only what moves is kept
    found = []
    for step in range(min(size, count)):
        place = step + content_number(f"{key}:{step}", size - step)
        found.append(moved.get(place, place))
        moved[place] = moved.get(step, step)
    return found
