"""Rule against candidates that say nearly what a survivor or a better sibling says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evoagent.config import Strict
from evoagent.models.roles import Models
from evoagent.ranking import ranked
from evoagent.records import KEEP, Candidate, Verdict
from evoagent.rules.base import PopulationRule
from evoagent.vectors import ancestors, embed_all, nearest

_BLOCK = 512


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

    async def judge_all(
        self, candidates: Sequence[Candidate], survivors: Sequence[Candidate], models: Models
    ) -> list[Verdict]:
        """The figure is the similarity to the nearest one that is kept."""
        order = ranked(candidates, self.config.by, self.config.direction)
        members = [*survivors, *(candidates[number] for number in order)]
        vectors = await embed_all([member.prompt_text for member in members], models)
        column = {member.id: number for number, member in enumerate(survivors)}
        by_id = {member.id: member for member in survivors}
        barred = [{column[name] for name in ancestors(candidates[number], by_id) if name in column} for number in order]
        limit = self.config.max_similarity
        # Minutes of products for a large population, in which the engines must not stand still.
        rivals = await asyncio.to_thread(_greedy, vectors.matrix, len(survivors), barred, limit)
        verdicts = [KEEP] * len(candidates)
        for number, (rival, similarity) in zip(order, rivals, strict=True):
            if rival >= 0:
                detail = f"nearly {members[rival].id}"
                verdicts[number] = Verdict(False, "near_duplicate", similarity, limit, detail)
        return verdicts


def _greedy(
    matrix: NDArray[np.float32], known: int, barred: Sequence[set[int]], limit: float
) -> list[tuple[int, float]]:
    """For each row from `known` on, the kept row that it duplicates and their similarity; row -1 for the kept."""
    kept = np.empty_like(matrix)
    kept[:known] = matrix[:known]
    rows = list(range(known))
    found: list[tuple[int, float]] = []
    for start in range(known, len(matrix), _BLOCK):
        block = matrix[start : start + _BLOCK]
        # Survivors stand first in `kept` as they do in `matrix`, so the barred columns hold.
        similarity, place = nearest(block, kept[: len(rows)], barred[start - known : start - known + len(block)])
        among = block @ block.T
        fresh: list[int] = []
        for offset in range(len(block)):
            rival = rows[place[offset]] if place[offset] >= 0 else -1
            best = float(similarity[offset])
            if fresh:
                closest = fresh[int(among[offset, fresh].argmax())]
                if among[offset, closest] > best:
                    rival, best = start + closest, float(among[offset, closest])
            found.append((rival if best >= limit else -1, best))
            if best < limit:
                fresh.append(offset)
        kept[len(rows) : len(rows) + len(fresh)] = block[fresh]
        rows += [start + offset for offset in fresh]
    return found
