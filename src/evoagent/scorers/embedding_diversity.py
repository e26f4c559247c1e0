"""How far an instruction is from its nearest neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from evoagent.models.roles import Models
from evoagent.population.base import Population, Vectors
from evoagent.population.lineage import ancestors
from evoagent.population.neighbours import QUERIES, Neighbours, searcher
from evoagent.population.ragged import Pairs, Ragged
from evoagent.records import Score
from evoagent.scorers.base import PopulationScorer


class EmbeddingDiversity(PopulationScorer):
    """Cosine distance, 0 to 2, to the nearest survivor or sibling; a candidate's own ancestors do not count."""

    async def score_all(self, candidates: Population, survivors: Population, models: Models) -> AsyncIterator[Score]:
        """`details` name the nearest neighbour."""
        members, first = survivors + candidates, len(survivors)
        vectors = await members.vectors(models)
        lines = await ancestors(candidates, survivors)
        found = await asyncio.to_thread(_nearest, vectors, first, lines)
        for number, (similarity, row) in enumerate(zip(found.similarity, found.row, strict=True), first):
            if number in vectors.failed:
                yield Score(None, f"no embedding: {vectors.failed[number]}")
            elif row < 0:
                yield Score(None, "there is no other instruction to compare with")
            else:
                yield Score(max(0.0, 1.0 - float(similarity)), None, {"nearest": str(members.ids[row])})


def _nearest(vectors: Vectors, first: int, lines: Ragged[np.intp]) -> Neighbours:
    """The nearest neighbours of the rows from `first` on."""
    sound = np.ones(len(vectors), dtype=np.bool_)
    sound[list(vectors.failed)] = False
    others = searcher(vectors)
    others.add(np.flatnonzero(sound))
    blocks = [np.arange(start, min(start + QUERIES, len(vectors))) for start in range(first, len(vectors), QUERIES)]
    found = [others.search(vectors[rows], _with_itself(rows, lines.pairs(rows - first))) for rows in blocks]
    empty = Neighbours(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.intp))
    return Neighbours(*(np.concatenate(each) for each in zip(empty, *found, strict=True)))


def _with_itself(rows: NDArray[np.intp], barred: Pairs) -> Pairs:
    own = np.arange(len(rows))
    return Pairs(np.concatenate([barred.owners, own]), np.concatenate([barred.values, rows]))
