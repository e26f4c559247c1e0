"""Candidates made of a text, and embeddings that are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent import Candidate, Instruction, Population, PopulationScorer, RequestError, Score
from evoagent.testing import collect

PARENT = Instruction(id="p", instruction="Name a colour.", seed_id="p")


def candidate(number: int, text: str, response: str = "") -> Candidate:
    return Candidate(
        id=f"{number:016x}", instruction=text, parent=PARENT, operator="constraints", round=1, response=response
    )


@dataclass
class Embedder:
    """Knows the vectors of some texts, and refuses the others."""

    vectors: Mapping[str, Sequence[float]]

    async def embed(self, text: str) -> NDArray[np.float32]:
        if text not in self.vectors:
            raise RequestError("the text is too long for the model")
        return np.array(self.vectors[text], dtype=np.float32)


@dataclass
class Known:
    """The one role that a scorer of this package asks."""

    embedder: Embedder


@pytest.fixture
def known() -> Callable[..., Known]:
    return lambda **vectors: Known(Embedder(vectors))


async def score_all(
    scorer: PopulationScorer, candidates: list[Candidate], survivors: list[Candidate], models: Any
) -> list[Score]:
    return await collect(scorer.score_all(Population.of(candidates), Population.of(survivors), models))


async def measure(scorer: PopulationScorer, survivors: list[Candidate], models: Any) -> dict[str, float]:
    return dict(await scorer.measure(Population.of(survivors), models))
