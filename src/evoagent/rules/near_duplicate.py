"""Rule against candidates that say nearly what a survivor or a better sibling says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evoagent.config.model import Strict
from evoagent.models.roles import Models
from evoagent.population.base import Population, Vectors
from evoagent.population.lineage import ancestors
from evoagent.population.neighbours import QUERIES, Neighbours, searcher
from evoagent.population.ragged import Ragged
from evoagent.population.ranking import ranked
from evoagent.records import KEEP, Verdict
from evoagent.rules.base import PopulationRule


class NearDuplicateConfig(Strict):
    """Parameters of `near_duplicate`."""

    max_similarity: float = Field(
        0.9, gt=-1, le=1, description="Cosine similarity to one that is kept from which a candidate is its duplicate."
    )
    by: str = Field(
        "ic_ifd",
        description="The score whose better one of two duplicates is kept; missing ones lose.",
        json_schema_extra={"score": "optional"},
    )
    direction: Literal["descending", "ascending"] = Field(
        "descending",
        description="descending: a high score is better. Left out, it is as the scorer has it.",
        json_schema_extra={"direction_of": "by"},
    )


class NearDuplicate(PopulationRule):
    """Keeps the best of each cluster: greedy, best score first, against survivors and those kept so far.

    Comparing with all siblings instead would drop both twins (DEITA, arXiv 2312.15685). Own ancestors do not count.
    """

    def __init__(self, config: NearDuplicateConfig | None = None) -> None:
        self.config = config or NearDuplicateConfig()

    async def judge_all(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Verdict]:
        """The figure is the similarity to the nearest one that is kept."""
        values = await candidates.scores(self.config.by)
        order = await asyncio.to_thread(ranked, candidates.ids, values, self.config.direction)
        members = survivors + candidates
        vectors = await members.vectors(models)
        lines = await ancestors(candidates, survivors)
        limit = self.config.max_similarity
        # Minutes of products for a large population, in which the engines must not stand still.
        found = await asyncio.to_thread(_greedy, vectors, len(survivors), order, lines, limit)
        for rival, similarity in zip(found.row, found.similarity, strict=True):
            if rival < 0:
                yield KEEP
            else:
                yield Verdict(False, "near_duplicate", float(similarity), limit, f"nearly {members.ids[rival]}")


def _greedy(vectors: Vectors, known: int, order: NDArray[np.intp], lines: Ragged[np.intp], limit: float) -> Neighbours:
    """For each candidate, the kept row that it duplicates and their similarity; row -1 for the kept.

    Candidates are the rows of `vectors` from `known` on, and come in `order`.
    """
    kept = searcher(vectors)
    kept.add(np.arange(known))
    found = Neighbours(np.empty(len(order), dtype=np.float32), np.full(len(order), -1, dtype=np.intp))
    for start in range(0, len(order), QUERIES):
        numbers = order[start : start + QUERIES]
        block = vectors[known + numbers]
        similarity, row = kept.search(block, lines.pairs(numbers))
        among = block @ block.T
        fresh: list[int] = []
        for offset, number in enumerate(numbers.tolist()):
            rival, best = int(row[offset]), float(similarity[offset])
            if fresh:
                closest = fresh[int(among[offset, fresh].argmax())]
                if among[offset, closest] > best:
                    rival, best = known + int(numbers[closest]), float(among[offset, closest])
            found.similarity[number] = best
            if best >= limit:
                found.row[number] = rival
            else:
                fresh.append(offset)
        kept.add(known + numbers[fresh])
    return found
