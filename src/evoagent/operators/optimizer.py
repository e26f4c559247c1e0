"""The optimizer: improves the operators of a stage between two rounds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.records import Candidate, Verdict

DecidedPage = list[tuple[Candidate, Verdict]]


@dataclass(frozen=True, slots=True)
class FinishedRound:
    """A round that has just been decided.

    Attributes:
        number: counted through the whole run.
        operators: the parameters that the stage's operators had in it, by name.
        candidates: that it had: `survivors`, and those `rejected`, by rule.
        pages: iterates over its candidates with their verdicts, in order of position, a list of some hundreds at once.
    """

    number: int
    operators: Mapping[str, Mapping[str, Any]]
    candidates: int
    survivors: int
    rejected: Mapping[str, int]
    pages: Callable[[], AsyncIterator[DecidedPage]]


class Optimizer(Plugin, ABC):
    """Improves the operators of a stage, by what became of the candidates that they wrote."""

    kind = "optimizer"

    @abstractmethod
    async def improve(self, round: FinishedRound, models: Models) -> Mapping[str, Mapping[str, Any]]:
        """Return new parameters by operator, valid as in a configuration; what is left out stays as it is.

        They hold from the next round on, are kept in the ledger, and are part of what tells the candidates apart.
        """
