"""A population in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evoagent.models.roles import Models
from evoagent.population.base import Population, Text, Vectors, numbers
from evoagent.population.embedding import embed_units
from evoagent.population.ragged import Ragged
from evoagent.records import Candidate


class Listed(Population):
    """Members that somebody has listed."""

    def __init__(self, members: Sequence[Candidate]) -> None:
        self._members = members
        self._ids = np.array([member.id for member in members], dtype=np.str_)
        self._ids.flags.writeable = False

    @property
    def ids(self) -> NDArray[np.str_]:
        """As listed."""
        return self._ids

    async def scores(self, name: str) -> NDArray[np.float64]:
        """Of the members themselves."""
        found = (score.value if (score := member.scores.get(name)) else None for member in self._members)
        return np.fromiter((np.nan if value is None else value for value in found), np.float64, len(self))

    async def vectors(self, models: Models, text: Text = "prompt_text") -> Vectors:
        """Embedded at each call."""
        found = await embed_units([getattr(member, text) for member in self._members], models)
        return Vectors((len(self), found.matrix.shape[1]), found.matrix.__getitem__, found.failed)

    async def rows(self, numbers: ArrayLike) -> list[Candidate]:
        """The members themselves."""
        return [self._members[number] for number in np.asarray(numbers, dtype=np.intp).tolist()]

    async def parents(self) -> Ragged[np.str_]:
        """With the grandparents, which members name too."""
        named = [[name for p in (m.parent, *m.parents) for name in (p.id, *p.parent_ids)] for m in self._members]
        flat = np.array([name for names in named for name in names], dtype=np.str_)
        return Ragged.of(np.array([len(names) for names in named], dtype=np.intp), flat)

    def where(self, keep: ArrayLike) -> Population:
        """A shorter list."""
        return Listed([self._members[number] for number in numbers(keep, len(self)).tolist()])

    def __add__(self, other: Population) -> Population:
        if not isinstance(other, Listed):
            return NotImplemented
        return Listed([*self._members, *other._members])
