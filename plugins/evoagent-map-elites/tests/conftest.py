"""Candidates with scores, and embeddings that are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from evoagent import Candidate, Instruction, RequestError, Score

PARENT = Instruction(id="p", instruction="Name a colour.", seed_id="p")


def candidate(id: str, objective: float | None, difficulty: float | None = 0.5, **changes: Any) -> Candidate:
    values = {"ic_ifd": objective, "ifd": difficulty}
    reason = "the response is empty"
    scores = {name: Score(value, reason if value is None else None) for name, value in values.items()}
    fields: dict[str, Any] = {"instruction": id, "operator": "constraints", "round": 1, "scores": scores, **changes}
    return Candidate(id=id, parent=PARENT, **fields)


@dataclass
class Embedder:
    """Knows the vectors of some texts, and refuses the others."""

    vectors: Mapping[str, Sequence[float]]

    async def embed(self, text: str) -> NDArray[np.float32]:
        if text not in self.vectors:
            raise RequestError("the text is too long for the model")
        vector = np.array(self.vectors[text], dtype=np.float32)
        return vector / np.linalg.norm(vector)


@dataclass
class Known:
    """The one role that a selector of this package asks."""

    embedder: Embedder


@pytest.fixture
def known() -> Callable[..., Known]:
    return lambda vectors: Known(Embedder(vectors))
