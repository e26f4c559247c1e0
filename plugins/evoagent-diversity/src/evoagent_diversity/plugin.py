"""The hook: what evoagent finds when it looks for plugins. Libraries load when a scorer is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from evoagent import ScorerSpec, hookimpl
from evoagent_diversity.config import LexicalConfig, SelfBleuConfig

if TYPE_CHECKING:
    from evoagent import PopulationScorer


def _vendi() -> PopulationScorer:
    from evoagent_diversity.vendi import Vendi

    return Vendi()


def _lexical(config: LexicalConfig) -> PopulationScorer:
    from evoagent_diversity.lexical import Lexical

    return Lexical(config)


def _self_bleu(config: SelfBleuConfig) -> PopulationScorer:
    from evoagent_diversity.self_bleu import SelfBleu

    return SelfBleu(config)


@hookimpl
def evoagent_scorers() -> Iterator[ScorerSpec]:
    """The three scorers, all of the population."""
    yield ScorerSpec(
        name="vendi",
        factory=_vendi,
        needs=("embedder.embed",),
        population=True,
        summary="what an instruction adds to the Vendi score, the effective number of different ones",
    )
    yield ScorerSpec(
        name="lexical",
        factory=_lexical,
        config=LexicalConfig,
        population=True,
        summary="MTLD: how many words run on before they repeat; HD-D and distinct-n of the dataset",
    )
    yield ScorerSpec(
        name="self_bleu",
        factory=_self_bleu,
        config=SelfBleuConfig,
        population=True,
        ascending=True,
        summary="BLEU against the other instructions: low is diverse",
    )
