"""The hook: what evoagent finds when it looks for plugins. Libraries load when a scorer is used."""

from __future__ import annotations

from collections.abc import Iterator

from evoagent import PopulationScorer, hookimpl
from evoagent_diversity.lexical import Lexical
from evoagent_diversity.self_bleu import SelfBleu
from evoagent_diversity.vendi import Vendi


@hookimpl
def evoagent_scorers() -> Iterator[type[PopulationScorer]]:
    """The three scorers, all of the population."""
    yield from (Vendi, Lexical, SelfBleu)
