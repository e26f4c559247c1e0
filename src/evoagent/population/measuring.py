"""`Measuring`: the base of selectors and population scorers, whose `measure` gives figures of all survivors so far."""

from __future__ import annotations

from collections.abc import Mapping

from evoagent.models.plugin import Plugin
from evoagent.models.roles import Models
from evoagent.population.base import Population


class Measuring(Plugin):
    """A population scorer or a selector."""

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        """Figures of the whole dataset after a round, by name. `survivors` are those of all rounds, this one included.

        The ledger, the round's event and the dataset card show them as NAME.FIGURE.
        """
        return {}
