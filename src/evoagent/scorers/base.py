"""The scorer: straight-line code that puts a figure on one candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import ClassVar

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.population.base import Population
from evoagent.population.measuring import Measuring
from evoagent.records import Candidate, Score


class Scorer(Plugin, ABC):
    """Scores one candidate at a time; thousands of calls run at once.

    Attributes:
        ascending: small is good: selectors that go by this score choose the small ones, unless told otherwise.
    """

    kind = "scorer"
    population: ClassVar[bool] = False
    ascending: ClassVar[bool] = False

    @abstractmethod
    async def score(self, candidate: Candidate, models: Models) -> Score:
        """Return a figure, or None with the reason why there is none."""


class PopulationScorer(Measuring, ABC):
    """Scores a round's candidates together, for figures that one candidate alone does not have.

    Attributes:
        ascending: as a `Scorer` has it.
    """

    kind = "scorer"
    population: ClassVar[bool] = True
    ascending: ClassVar[bool] = False

    @abstractmethod
    def score_all(
        self, candidates: Population, survivors: Population, models: Models
    ) -> AsyncIterator[Score] | Awaitable[Sequence[Score]]:
        """Yield one score a candidate, in order; where they are few, a list of them may be returned instead.

        `survivors` are those of all earlier rounds.
        """
