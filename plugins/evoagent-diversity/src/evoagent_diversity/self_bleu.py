"""Self-BLEU: how much of a text can be found, n-gram by n-gram, in the other texts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Candidate, Models, PopulationScorer, Score
from evoagent_diversity.population import TextOf, by_hash, text_of

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

CHARACTERS = 2000
"""Of each text; what comes after does not count."""


class SelfBleu(PopulationScorer):
    """BLEU of a candidate against other texts as its references, 0 to 100; low is diverse.

    Zhu et al., "Texygen: A Benchmarking Platform for Text Generation Models", SIGIR 2018 (arXiv 1802.01886). The
    references are the `sample` members of all survivors and the round's candidates whose ids have the lowest hashes,
    without the candidate itself. BLEU is sacrebleu's sentence BLEU: exponential smoothing, effective order.
    """

    name = "self_bleu"
    summary = "BLEU against the other instructions: low is diverse"
    ascending = True

    class Config(BaseModel):
        """Parameters of `self_bleu`."""

        model_config = ConfigDict(extra="forbid", frozen=True)

        text: TextOf = Field(
            "instruction", description="What is compared: instructions with their inputs, or responses."
        )
        sample: int = Field(
            100,
            ge=2,
            le=2000,
            description="So many other texts are the references; more references give a higher BLEU.",
        )
        max_order: int = Field(4, ge=1, le=9, description="Longest n-gram that counts.")
        tokenize: Literal["13a", "char"] = Field(
            "13a", description="13a: words, as BLEU is usually reported; char: for scripts without spaces."
        )

    config: Config

    async def score_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Score]:
        """`details` give the number of references."""
        return await asyncio.to_thread(self._score_all, candidates, survivors)

    def _score_all(self, candidates: Sequence[Candidate], survivors: Sequence[Candidate]) -> list[Score]:
        pool = by_hash([*survivors, *candidates])[: self.config.sample + 1]
        bleu = self._bleu()
        scores = []
        for candidate in candidates:
            # One more was drawn than is used, so that all have the same number of references.
            others = [member for member in pool if member.id != candidate.id][: self.config.sample]
            scores.append(self._score(bleu, candidate, others))
        return scores

    def _score(self, bleu: BLEU, candidate: Candidate, others: Sequence[Candidate]) -> Score:
        text = self._text(candidate)
        references = [found for other in others if (found := self._text(other))]
        if not text:
            return Score(None, f"the {self.config.text} is empty")
        if not references:
            return Score(None, "there is no other text to compare with")
        # Four equal precisions of 100 come out as 100.00000000000004.
        value = min(bleu.sentence_score(text, references).score, 100.0)
        return Score(value, None, {"references": len(references)})

    async def measure(self, survivors: Sequence[Candidate], models: Models) -> Mapping[str, float]:
        """`score`: the mean of each survivor against all others; on a fixed sample of `sample` + 1 if there are more.

        `texts`: how many were compared, since more references give a higher BLEU.
        """
        return await asyncio.to_thread(self._measure, survivors)

    def _measure(self, survivors: Sequence[Candidate]) -> dict[str, float]:
        members = by_hash(survivors)[: self.config.sample + 1]
        bleu = self._bleu()
        scores = [
            self._score(bleu, member, members[:number] + members[number + 1 :]) for number, member in enumerate(members)
        ]
        values = [score.value for score in scores if score.value is not None]
        return {"score": sum(values) / len(values), "texts": float(len(values))} if values else {}

    def _text(self, member: Candidate) -> str:
        return text_of(member, self.config.text)[:CHARACTERS].strip()

    def _bleu(self) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        config = self.config
        return BLEU(max_ngram_order=config.max_order, tokenize=config.tokenize, effective_order=True)
