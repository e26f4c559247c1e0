"""The operator: straight-line code that evolves one instruction."""

from __future__ import annotations

from evoagent.models.roles import Models
from evoagent.records import Evolution, Instruction


class Operator:
    """Writes a new instruction from a parent, or from several. Define the one of the two methods that is needed.

    Thousands of calls run at once; keep no state between them.
    """

    async def evolve(self, parent: Instruction, models: Models) -> Evolution | list[Evolution]:
        """Return one evolution of `parent`; an empty one with a reason where the models gave none.

        A list of several where the spec's `evolutions` allows it.
        """
        raise NotImplementedError

    async def combine(self, parents: tuple[Instruction, ...], models: Models) -> Evolution | list[Evolution]:
        """As `evolve`, for operators whose spec asks for several parents."""
        raise NotImplementedError
