"""A selector chooses among the candidates that no rule has rejected; a response selector among the responses of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import ClassVar

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.population.base import Population
from evoagent.population.measuring import Measuring
from evoagent.records import Candidate, Verdict


class Selector(Measuring, ABC):
    """Chooses which candidates survive, once the rules have spoken.

    Attributes:
        keeps_all: everything survives, whatever it is: then nothing is read only to be kept.
    """

    kind = "selector"
    keeps_all: ClassVar[bool] = False

    @abstractmethod
    def select(
        self, candidates: Population, survivors: Population, models: Models
    ) -> AsyncIterator[Verdict] | Awaitable[Sequence[Verdict]]:
        """Yield one verdict a candidate, in order; where they are few, a list of them may be returned instead.

        `survivors` are those of all earlier rounds.
        """


class ResponseSelector(Plugin, ABC):
    """Chooses among several responses to one instruction; thousands of calls run at once."""

    kind = "response-selector"

    @abstractmethod
    async def rank(self, answered: Sequence[Candidate], models: Models) -> Sequence[float | None]:
        """Return how good each response is, in order: the highest is kept, of equals the first.

        None is for a response that is no good at all: it is kept only where all are. Two responses of different rank
        make a preference pair; equals do not.

        Args:
            answered: the candidate with each of its responses, and that one's scores and data.
        """
