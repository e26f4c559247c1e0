"""The operator: straight-line code that evolves one instruction."""

from __future__ import annotations

from abc import ABC, abstractmethod

from evoagent.models.roles import Models
from evoagent.records import Evolution, Instruction


class Operator(ABC):
    """Writes a new instruction from a parent. Thousands of `evolve` calls run at once; keep no state between them."""

    @abstractmethod
    async def evolve(self, parent: Instruction, models: Models) -> Evolution:
        """Return one evolution of `parent`; an empty one with a reason where the models gave none."""

    async def combine(self, parents: tuple[Instruction, ...], models: Models) -> Evolution:
        """As `evolve`, for operators whose spec asks for several parents."""
        return await self.evolve(parents[0], models)
