"""Rules reject candidates; a selector chooses among the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from evoagent.models.roles import Models
from evoagent.records import Candidate, Instruction, Verdict

KEEP = Verdict(kept=True)


class Eliminator(ABC):
    """A rule on one candidate at a time; thousands of calls run at once."""

    async def prepare(self, seeds: Sequence[Instruction], models: Models) -> None:  # noqa: B027 - optional
        """Called once a run, before the first verdict, with the run's seeds. Most rules need nothing of it."""

    @abstractmethod
    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """Keep or reject `candidate`, with the figure and the threshold that decided."""


class PopulationEliminator(ABC):
    """A rule that compares the candidates of a round with each other and with earlier survivors."""

    @abstractmethod
    async def judge_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """Return one verdict a candidate, in order."""


class Selector(ABC):
    """Chooses which candidates survive, once the rules have spoken.

    Attributes:
        keeps_all: everything survives, whatever it is: then nothing is read only to be kept.
    """

    keeps_all: ClassVar[bool] = False

    @abstractmethod
    async def select(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """Return one verdict a candidate, in order. `survivors` are those of all earlier rounds."""

    async def measure(self, survivors: Sequence[Candidate], models: Models) -> Mapping[str, float]:
        """Figures of the whole dataset after a round, by name. `survivors` are those of all rounds, this one included.

        The ledger, the round's event and the dataset card show them as NAME.FIGURE.
        """
        return {}
