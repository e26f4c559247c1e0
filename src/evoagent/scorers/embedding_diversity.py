"""How far an instruction is from its nearest neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from evoagent.models.roles import Models
from evoagent.records import Candidate, Score
from evoagent.scorers.base import PopulationScorer
from evoagent.vectors import ancestors, embed_all, nearest


class EmbeddingDiversity(PopulationScorer):
    """Cosine distance, 0 to 2, to the nearest survivor or sibling; a candidate's own ancestors do not count."""

    async def score_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Score]:
        """`details` name the nearest neighbour."""
        pool = [*survivors, *candidates]
        vectors = await embed_all([member.prompt_text for member in pool], models)
        first = len(survivors)
        column = {member.id: number for number, member in enumerate(survivors)}
        by_id = {member.id: member for member in survivors}
        barred = [
            {first + number, *vectors.failed, *(column[name] for name in ancestors(member, by_id) if name in column)}
            for number, member in enumerate(candidates)
        ]
        similarity, row = await asyncio.to_thread(nearest, vectors.matrix[first:], vectors.matrix, barred)
        return [
            self._score(vectors.failed.get(first + number), float(similarity[number]), int(row[number]), pool)
            for number in range(len(candidates))
        ]

    @staticmethod
    def _score(failure: str | None, similarity: float, row: int, pool: Sequence[Candidate]) -> Score:
        if failure is not None:
            return Score(None, f"no embedding: {failure}")
        if row < 0:
            return Score(None, "there is no other instruction to compare with")
        return Score(max(0.0, 1.0 - similarity), None, {"nearest": pool[row].id})
