"""Self-BLEU: how much of a text can be found, n-gram by n-gram, in the other texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from evoagent import Candidate, Models, Population, PopulationScorer, Score
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

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Score]:
        """`details` give the number of references."""
        pool = survivors + candidates
        # One more is drawn than is used, so that all have the same number of references.
        drawn = await pool.rows(by_hash(pool.ids)[: self.config.sample + 1])
        async for page in candidates.pages():
            for score in await asyncio.to_thread(self._score_page, page, drawn):
                yield score

    def _score_page(self, page: Sequence[Candidate], drawn: Sequence[Candidate]) -> list[Score]:
        bleu = self._bleu()
        scores = []
        for candidate in page:
            others = [member for member in drawn if member.id != candidate.id][: self.config.sample]
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

    async def measure(self, survivors: Population, models: Models) -> Mapping[str, float]:
        """`score`: the mean of each survivor against all others; on a fixed sample of `sample` + 1 if there are more.

        `texts`: how many were compared, since more references give a higher BLEU.
        """
        members = await survivors.rows(by_hash(survivors.ids)[: self.config.sample + 1])
        return await asyncio.to_thread(self._measure, members)

    def _measure(self, members: list[Candidate]) -> dict[str, float]:
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
