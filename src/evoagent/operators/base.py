"""The operator: straight-line code that evolves one instruction."""

from __future__ import annotations

from typing import ClassVar

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.records import Evolution, Instruction


class Operator(Plugin):
    """Writes a new instruction from a parent, or from several. Define the one of the two methods that is needed.

    Thousands of calls run at once; keep no state between them.

    Attributes:
        family: "depth", or "breadth" for what may leave its parent's topic: rule `drift` asks less of it.
        parents: how many instructions it takes; above one `combine` is called, not `evolve`.
        evolutions: how many one call may give at the most; above one, a list may be returned.
        exempt: rules that are not asked about what it writes, since they mistake it.
    """

    kind = "operator"
    family: ClassVar[str] = "depth"
    parents: ClassVar[int] = 1
    evolutions: ClassVar[int] = 1
    exempt: ClassVar[tuple[str, ...]] = ()

    async def evolve(self, parent: Instruction, models: Models) -> Evolution | list[Evolution]:
        """Return one evolution of `parent`; an empty one with a reason where the models gave none.

        A list of several where `evolutions` allows it.
        """
        raise NotImplementedError

    async def combine(self, parents: tuple[Instruction, ...], models: Models) -> Evolution | list[Evolution]:
        """As `evolve`, for operators with several `parents`."""
        raise NotImplementedError
