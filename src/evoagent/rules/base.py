"""Rules reject candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import ClassVar, Literal

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.population.base import Population
from evoagent.records import Candidate, Instruction, Verdict


class Rule(Plugin, ABC):
    """A rule on one candidate at a time; thousands of calls run at once.

    Attributes:
        looks_at: the least that it needs: "instruction" rules can spare the responder its work.
    """

    kind = "rule"
    looks_at: ClassVar[Literal["instruction", "response"]] = "response"

    async def prepare(self, seeds: Sequence[Instruction], models: Models) -> None:
        """Called before the first verdict of a stage, once a process. Most rules need nothing of it.

        Args:
            seeds: up to 2,000 members of the population that the stage began with; those of the first stage are seeds.
        """

    @abstractmethod
    async def judge(self, candidate: Candidate, models: Models) -> Verdict:
        """Keep or reject `candidate`, with the figure and the threshold that decided."""


class PopulationRule(Plugin, ABC):
    """A rule that compares the candidates of a round with each other and with earlier survivors."""

    kind = "rule"
    looks_at: ClassVar[Literal["population"]] = "population"

    @abstractmethod
    def judge_all(
        self, candidates: Population, survivors: Population, models: Models
    ) -> AsyncIterator[Verdict] | Awaitable[Sequence[Verdict]]:
        """Yield one verdict a candidate, in order; where they are few, a list of them may be returned instead."""
