"""The scorer: straight-line code that puts a figure on one candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from evoagent.models.roles import Models
from evoagent.records import Candidate, Score


class Scorer(ABC):
    """Scores one candidate at a time; thousands of calls run at once."""

    @abstractmethod
    async def score(self, candidate: Candidate, models: Models) -> Score:
        """Return a figure, or None with the reason why there is none."""


class PopulationScorer(ABC):
    """Scores a round's candidates together, for figures that one candidate alone does not have."""

    @abstractmethod
    async def score_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Score]:
        """Return one score a candidate, in order. `survivors` are those of all earlier rounds."""
